//! Presets and sizes: a number and a slider for each, and the sentence that says why a model cannot be.

use inkling_core::presets;
use leptos::prelude::*;

use super::plan::{Draft, Field, PRESETS, Plan, Trouble};
use crate::ui::number::count;
use crate::ui::reactive::{live, memo};

/// The slider's stop that a size is nearest to, by ratio.
fn nearest(stops: &[u64], size: u64) -> usize {
    let distance = |stop: u64| (stop as f64 / size.max(1) as f64).ln().abs();
    (0..stops.len()).min_by(|&a, &b| distance(stops[a]).total_cmp(&distance(stops[b]))).unwrap_or_default()
}

/// The panel.
#[component]
pub fn Editor(
    /// What the fields say.
    draft: RwSignal<Option<Draft>>,
    /// What comes of it.
    #[prop(into)]
    plan: Signal<Option<Result<Plan, Trouble>>>,
    /// The loaded model's sizes.
    #[prop(into)]
    original: Signal<Option<Draft>>,
    /// Called when the visitor changes something.
    touched: impl Fn() + Copy + 'static,
) -> impl IntoView {
    let start = move |preset: Option<&'static str>| {
        draft.set(match preset {
            Some(name) => Draft::preset(name),
            None => original.get_untracked(),
        });
        touched();
    };
    let is_original = move || draft.get() == original.get();
    let is_preset = move |name: &'static str| draft.with(|draft| draft.is_some() && *draft == Draft::preset(name));
    let reason = move || {
        let preset = draft.with(|draft| draft.as_ref()?.preset);
        Some(match preset.and_then(presets::find) {
            Some(preset) => format!("{}: {}.", preset.name, preset.reason),
            None if is_original() => "The loaded model. Change a size, or start from a preset.".into(),
            None => "The loaded model with other sizes.".to_owned(),
        })
    };
    let trouble = move |field: Field| plan.with(|plan| matches!(plan, Some(Err(trouble)) if trouble.field == field));
    let sentence = move || plan.with(|plan| plan.as_ref()?.as_ref().err().map(|trouble| trouble.sentence.clone()));
    let set = move |field: Field, text: String| {
        draft.update(|draft| {
            if let Some(draft) = draft {
                draft.texts[field as usize] = text;
            }
        });
        touched();
    };
    let fields = Field::ALL.map(|field| {
        let text = memo(move || draft.with(|draft| draft.as_ref().map(|draft| draft.texts[field as usize].clone())));
        let follows = memo(move || draft.with(|draft| draft.as_ref().and_then(|draft| draft.follows(field))));
        let size = move || text.get().and_then(|text| text.trim().parse().ok()).or(follows.get());
        let id = format!("stack-{}", field.label().to_ascii_lowercase().replace(' ', "-"));
        let (least, most) = field.range();
        let stops = field.stops();
        view! {
            <div class="stack-field">
                <label for=id.clone()>{field.label()}</label>
                <input
                    id=id.clone()
                    type="text"
                    inputmode="numeric"
                    autocomplete="off"
                    placeholder=move || follows.get().map(|size| size.to_string())
                    aria-invalid=move || trouble(field).to_string()
                    aria-describedby="stack-trouble"
                    prop:value=move || text.get().unwrap_or_default()
                    on:input=move |event| set(field, event_target_value(&event))
                />
                <input
                    type="range"
                    aria-label=format!("{}, slider", field.label())
                    min="0"
                    max=(stops.len() - 1).to_string()
                    aria-valuetext=move || size().map(count)
                    title=format!("{} to {}", count(least), count(most))
                    prop:value=move || size().map(|size| nearest(stops, size).to_string())
                    on:input=move |event| {
                        let stop = event_target_value(&event).parse::<usize>().ok().and_then(|stop| stops.get(stop));
                        if let Some(stop) = stop {
                            set(field, stop.to_string());
                        }
                    }
                />
            </div>
        }
    });
    view! {
        <div class="stack-presets" role="group" aria-label="Start from">
            <button type="button" aria-pressed=move || is_original().to_string() on:click=move |_| start(None)>"loaded model"</button>
            {PRESETS
                .map(|name| {
                    view! {
                        <button type="button" aria-pressed=move || is_preset(name).to_string() on:click=move |_| start(Some(name))>
                            {name}
                        </button>
                    }
                })
                .into_iter()
                .collect_view()}
        </div>
        <p class="soft small stack-reason">{live(reason)}</p>
        <div class="stack-fields">{fields.into_iter().collect_view()}</div>
        <p class="sentence" id="stack-trouble">{live(sentence)}</p>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sliders_stand_at_the_nearest_stop() {
        for field in Field::ALL {
            let stops = field.stops();
            assert!(stops.is_sorted());
            assert!(stops.iter().all(|stop| (field.range().0..=field.range().1).contains(stop)));
            assert!(stops.iter().enumerate().all(|(i, &stop)| nearest(stops, stop) == i));
        }
        assert_eq!(nearest(&[1, 10, 100], 40), 2);
        assert_eq!(nearest(&[1, 10], 0), 0);
    }
}
