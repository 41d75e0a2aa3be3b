//! Every setting of model and training, by its name in plain words and in `trainer`'s.

use leptos::prelude::*;

use super::draft::Draft;
use super::recipe::{FIELDS, MODEL_FIELDS, Slot};
use crate::protocol::model::MOST_THREADS;
use crate::ui::reactive::{live, memo};
use crate::view::View;

/// All fields.
pub fn view(draft: Draft, view: View) -> AnyView {
    let group = |name: &'static str, range: std::ops::Range<usize>| {
        let fields = range.map(|at| field(draft, at)).collect_view();
        view! { <fieldset class="train-fields"><legend>{name}</legend>{fields}</fieldset> }
    };
    view! {
        {group("The model", 0..MODEL_FIELDS)}
        {group("Its training", MODEL_FIELDS..FIELDS.len())}
        <fieldset class="train-fields"><legend>"This device"</legend>{threads(view)}</fieldset>
    }
    .into_any()
}

/// With how many threads the CPU trains: the one setting that changes no loss but by rounding.
fn threads(view: View) -> AnyView {
    let processors = window().navigator().hardware_concurrency() as usize;
    let named = view.threads.get_untracked().unwrap_or(1);
    let options = (1..=processors.max(named).min(MOST_THREADS)).map(|threads| {
        view! { <option value=threads prop:selected=move || view.threads.get() == Some(threads)>{threads}</option> }
    });
    let set = move |event| view.threads.set(event_target_value(&event).parse::<usize>().ok());
    view! {
        <div class="train-field">
            <label for="train-threads">"Threads, on the CPU " <code>"threads"</code></label>
            <select id="train-threads" on:change=set>
                <option value="" prop:selected=move || view.threads.get().is_none()>"as many as suit it"</option>
                {options.collect_view()}
            </select>
        </div>
    }
    .into_any()
}

fn field(draft: Draft, at: usize) -> AnyView {
    let field = &FIELDS[at];
    let id = format!("train-{}", field.name);
    let text = memo(move || draft.recipe.with(|recipe| recipe.text(at)));
    let words = draft.recipe.with_untracked(|recipe| match recipe.clone().slot(at) {
        Slot::Choice(choice) => Some(choice.words()),
        _ => None,
    });
    let wrong = move || {
        let unreadable = draft.unreadable.with(|unreadable| unreadable.iter().any(|(field, _)| *field == at));
        let named = move || draft.plan.with(|plan| matches!(plan, Some(Err(why)) if why.starts_with(field.name)));
        (unreadable || named()).then_some("true")
    };
    let set = move |event| draft.set(at, &event_target_value(&event));
    let input = match words {
        Some(words) => {
            let options = words.iter().enumerate().map(|(place, word)| {
                view! { <option value=place prop:selected=move || text.get() == *word>{*word}</option> }
            });
            view! { <select id=id.clone() aria-invalid=live(wrong) on:change=set>{options.collect_view()}</select> }
                .into_any()
        }
        None => view! {
            <input
                id=id.clone()
                inputmode="decimal"
                autocomplete="off"
                aria-invalid=live(wrong)
                aria-describedby="train-trouble"
                prop:value=move || text.get()
                on:input=set
            />
        }
        .into_any(),
    };
    view! {
        <div class="train-field">
            <label for=id>{field.label} " " <code>{field.name}</code></label>
            {input}
        </div>
    }
    .into_any()
}
