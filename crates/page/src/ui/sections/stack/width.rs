//! How wide an element is, as a signal.

use leptos::html::Div;
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use wasm_bindgen::closure::Closure;

use crate::ui::reactive::effect;

/// The width of an element's content, in whole pixels; 0 until it is there.
pub fn of(element: NodeRef<Div>) -> RwSignal<f64> {
    let width = RwSignal::new(0.0);
    effect(move || {
        let Some(element) = element.get() else { return };
        let measured: web_sys::Element = (*element).clone().unchecked_into();
        let set = {
            let measured = measured.clone();
            move || {
                let now = f64::from(measured.client_width());
                if width.get_untracked() != now {
                    width.set(now);
                }
            }
        };
        set();
        let on_resize = Closure::<dyn FnMut()>::new(set);
        if let Ok(observer) = web_sys::ResizeObserver::new(on_resize.as_ref().unchecked_ref()) {
            observer.observe(&measured);
        }
        // The figure stays as long as the page.
        on_resize.forget();
    });
    width
}
