//! The whole of a head: a row per query, a column per key.

use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::MouseEvent;

use super::state::State;
use crate::ui::canvas::{Picture, Pixels};
use crate::ui::color::sequential;
use crate::ui::number::three;
use crate::ui::reactive::live;

/// The picked head's weights.
#[component]
pub fn Map(
    /// Of the figure.
    state: State,
) -> impl IntoView {
    let dark = state.store.dark;
    let picture = Signal::derive(move || {
        let Some(view) = state.view.get() else { return Picture::default() };
        let (n, scale, dark) = (view.tokens.len(), state.scale.get(), dark.get());
        let most: Vec<f32> = view.weights.chunks_exact(n).map(|row| row.iter().copied().fold(0.0, f32::max)).collect();
        Picture::new(n, n, |query, key| {
            let weight = view.weights[query * n + key];
            (!view.is_masked(query, key)).then(|| sequential(scale.share(weight, query, most[query]), dark))
        })
    });
    // Where the pointer is: query and key.
    let pointed = RwSignal::new(None::<(usize, usize)>);
    let place = move |event: &MouseEvent| {
        let n = state.view.value.get_untracked()?.tokens.len();
        let map: web_sys::Element = event.current_target()?.dyn_into().ok()?;
        let side = f64::from(map.client_width()).max(1.0);
        let cell = |offset: i32, start: i32| {
            let at = f64::from(offset - start) / side * n as f64;
            (at.max(0.0) as usize).min(n - 1)
        };
        let bounds = map.get_bounding_client_rect();
        Some((cell(event.client_y(), bounds.top() as i32), cell(event.client_x(), bounds.left() as i32)))
    };
    let pick = move |event: MouseEvent| {
        if let Some((query, key)) = place(&event) {
            state.set_query(query);
            state.key.set(Some(key));
        }
    };
    let share = move |at: usize| {
        let n = state.view.get().map_or(1, |view| view.tokens.len()) as f64;
        (percent(at as f64 / n), percent(1.0 / n))
    };
    let query = move || state.row.get().map(|row| share(row.query));
    let key = move || state.shown_key().map(share);
    let readout = move || {
        let view = state.view.get()?;
        let (query, key) = pointed.get().or_else(|| Some((state.row.get()?.query, state.shown_key()?)))?;
        let n = view.tokens.len();
        let weight = *view.weights.get(query * n + key)?;
        let said = if view.is_masked(query, key) { "masked".into() } else { three(f64::from(weight)) };
        let [from, to] = [query, key].map(|at| (at + view.skipped, state.glyph_at(at)));
        Some(format!("query {} ‘{}’ → key {} ‘{}’: {said}", from.0, from.1, to.0, to.1))
    };
    view! {
        <div class="attn-map-column">
            <div
                class="attn-map masked"
                on:click=pick
                on:pointermove=move |event| pointed.set(place(&event))
                on:pointerleave=move |_| pointed.set(None)
            >
                <Pixels picture/>
                <div
                    class="attn-map-query"
                    style:top=move || query().map(|(at, _)| at)
                    style:height=move || query().map(|(_, size)| size)
                ></div>
                <div
                    class="attn-map-key"
                    style:left=move || key().map(|(at, _)| at)
                    style:width=move || key().map(|(_, size)| size)
                ></div>
            </div>
            <p class="small soft attn-readout">{live(readout)}</p>
        </div>
    }
}

fn percent(share: f64) -> String {
    let mut text = (share * 100.0).to_string();
    text.push('%');
    text
}
