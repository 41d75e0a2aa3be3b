//! `#embed`: a token's row and its position's become one; which positions are alike; which tokens are.

mod analogy;
mod bars;
mod classes;
mod explorer;
mod legend;
mod map;
mod picker;
mod positions;
mod rows;
mod strips;
mod token_list;

use std::sync::Arc;

use leptos::prelude::*;

use crate::protocol::model::ModelCard;
use crate::ui::number::visible;
use crate::ui::reactive::memo;
use crate::ui::store::Store;

/// Vocabularies up to this size are shown whole: as buttons, as letters on a map, in selects.
pub(super) const SHOWN_WHOLE: usize = 300;

/// The figure of `#embed`.
#[component]
pub fn EmbedFigure(
    /// What all figures share.
    store: Store,
) -> impl IntoView {
    let place = memo(move || place(store));
    view! {
        <rows::Rows store=store place=place />
        <positions::Positions store=store place=place />
        <explorer::Explorer store=store place=place />
        <analogy::Analogies store=store />
    }
}

/// The picked token and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// In the text.
    pub index: usize,
    /// Of the token.
    pub id: u32,
    /// Where the model sees it; `None` where the text is longer than the context and it is cut off.
    pub position: Option<usize>,
}

fn place(store: Store) -> Option<Place> {
    let index = store.query()?;
    let model = store.model.get()?;
    let tokens = store.tokens.get()?;
    let id = tokens.tokens.get(index)?.id;
    // The tokens of another model may still be there.
    if id as usize >= model.vocabulary.len() {
        return None;
    }
    let skipped = tokens.tokens.len().saturating_sub(model.config.n_positions);
    Some(Place { index, id, position: index.checked_sub(skipped) })
}

/// A token as it is written between words: `e`, `·`, `↵`; `?` where the model has none of that id.
pub(crate) fn named(model: Option<&Arc<ModelCard>>, id: u32) -> String {
    model.and_then(|model| model.vocabulary.get(id as usize)).map_or_else(|| "?".into(), |text| visible(text))
}

/// The same for ears: white space by its name, one capital letter as such.
pub(crate) fn spoken(model: Option<&Arc<ModelCard>>, id: u32) -> String {
    let text = model.and_then(|model| model.vocabulary.get(id as usize)).map_or("", String::as_str);
    match text {
        " " => "space".into(),
        "\n" => "new line".into(),
        "\t" => "tab".into(),
        _ if text.len() == 1 && text.chars().all(char::is_uppercase) => format!("capital {text}"),
        _ => visible(text),
    }
}
