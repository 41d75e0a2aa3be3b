//! While a run plays: the screen stays on where the browser can see to that, and who hides the tab is told what that does.

use leptos::ev;
use leptos::prelude::*;
use wasm_bindgen::prelude::wasm_bindgen;

use super::estimate::clock;
use super::lab::{Lab, Run};
use crate::ui::number::count;
use crate::ui::reactive::effect;

#[wasm_bindgen]
extern "C" {
    /// Of web/start.js: keeps the screen on, or no longer.
    #[wasm_bindgen(js_name = inklingStayAwake)]
    fn stay_awake(wanted: bool);
}

/// Sees to both from now on.
pub fn follow(lab: Lab) {
    let plays = crate::ui::reactive::memo(move || lab.runs.get().into_iter().any(Run::plays));
    effect(move || stay_awake(plays.get()));
    // When it was hidden, and the step of each run.
    let hidden: StoredValue<Option<(f64, Run, u64)>> = StoredValue::new(None);
    let look = move |_| {
        let now = js_sys::Date::now();
        if document().hidden() {
            let playing = untrack(|| lab.runs.get().into_iter().find(|run| run.plays()));
            hidden.set_value(playing.map(|run| (now, run, run.log.read_untracked().step)));
            if playing.is_some() {
                lab.away.set(Some("This tab is hidden. Browsers may slow down or stop what hidden tabs do.".into()));
            }
        } else if let Some((since, run, step)) = hidden.try_update_value(Option::take).flatten() {
            stay_awake(plays.get_untracked());
            let steps = run.log.read_untracked().step.saturating_sub(step);
            lab.away.set(Some(format!(
                "While this tab was hidden, for {}, {} did {} steps. Browsers may slow down or stop what hidden tabs do.",
                clock((now - since) / 1000.0),
                run.name(),
                count(steps)
            )));
        }
    };
    let listener = window_event_listener(ev::visibilitychange, look);
    on_cleanup(move || listener.remove());
}
