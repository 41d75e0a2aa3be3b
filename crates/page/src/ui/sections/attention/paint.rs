//! Drawing on a canvas in CSS pixels, as sharp as the screen is.

use leptos::prelude::*;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{CanvasRenderingContext2d, HtmlCanvasElement};

use crate::ui::reactive::effect;

/// A canvas of this size in CSS pixels, wiped.
pub fn surface(canvas: &HtmlCanvasElement, width: f64, height: f64) -> Option<CanvasRenderingContext2d> {
    // Larger than this no browser draws.
    let sharp = window().device_pixel_ratio().clamp(1.0, 3.0).min(16_000.0 / width.max(1.0));
    canvas.set_width((width * sharp).round() as u32);
    canvas.set_height((height * sharp).round() as u32);
    let context: CanvasRenderingContext2d = canvas.get_context("2d").ok()??.unchecked_into();
    context.scale(sharp, sharp).ok()?;
    Some(context)
}

/// Colours of what is not data.
#[derive(Clone, Copy)]
pub struct Ink {
    /// Text.
    pub text: &'static str,
    /// Less important text.
    pub soft: &'static str,
    /// Lines.
    pub line: &'static str,
    /// Hatch of what is masked.
    pub hatch: &'static str,
    /// The query.
    pub query: &'static str,
    /// The key.
    pub accent: &'static str,
    /// Behind the key.
    pub accent_soft: &'static str,
}

/// As base.css has them.
pub fn ink(dark: bool) -> Ink {
    if dark {
        Ink {
            text: "#e8e9ed",
            soft: "#a5abb8",
            line: "#353b49",
            hatch: "#4a5060",
            query: "#ffb066",
            accent: "#7db3f0",
            accent_soft: "#22304a",
        }
    } else {
        Ink {
            text: "#1c1e24",
            soft: "#565b66",
            line: "#d9dbe0",
            hatch: "#b9bcc4",
            query: "#a84300",
            accent: "#2f5fb3",
            accent_soft: "#e3edfa",
        }
    }
}

/// Hatches a rectangle.
pub fn hatch(context: &CanvasRenderingContext2d, [x, y, width, height]: [f64; 4], color: &str) {
    context.save();
    context.begin_path();
    context.rect(x, y, width, height);
    context.clip();
    context.set_stroke_style_str(color);
    context.set_line_width(1.0);
    context.begin_path();
    // Lines start at multiples of their distance, so that hatches side by side are one.
    let step = 5.0;
    let mut from = ((x - height) / step).floor() * step;
    while from < x + width {
        context.move_to(from, y + height);
        context.line_to(from + height, y);
        from += step;
    }
    context.stroke();
    context.restore();
}

/// The width of an element in CSS pixels, now and whenever it changes.
pub fn width_of<E>(element: NodeRef<E>) -> RwSignal<f64>
where
    E: leptos::html::ElementType + 'static,
    E::Output: JsCast + Clone + 'static,
{
    let width = RwSignal::new(0.0);
    effect(move || {
        let Some(element) = element.get() else { return };
        let element: web_sys::Element = element.unchecked_into();
        let measured = element.clone();
        let on_resize = wasm_bindgen::closure::Closure::<dyn FnMut(JsValue)>::new(move |_| {
            let now = f64::from(measured.client_width());
            if (now - width.get_untracked()).abs() > 0.5 {
                width.set(now);
            }
        });
        if let Ok(observer) = web_sys::ResizeObserver::new(on_resize.as_ref().unchecked_ref()) {
            observer.observe(&element);
        }
        // The figure is there as long as the page.
        on_resize.forget();
    });
    width
}
