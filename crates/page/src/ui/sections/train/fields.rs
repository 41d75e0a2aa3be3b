//! Every setting of model and training, by its name in plain words and in `trainer`'s.

use leptos::prelude::*;

use super::draft::Draft;
use super::recipe::{FIELDS, MODEL_FIELDS, Slot};
use crate::ui::reactive::{live, memo};

/// All fields.
pub fn view(draft: Draft) -> AnyView {
    let group = |name: &'static str, range: std::ops::Range<usize>| {
        let fields = range.map(|at| field(draft, at)).collect_view();
        view! { <fieldset class="train-fields"><legend>{name}</legend>{fields}</fieldset> }
    };
    view! {
        {group("The model", 0..MODEL_FIELDS)}
        {group("Its training", MODEL_FIELDS..FIELDS.len())}
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
