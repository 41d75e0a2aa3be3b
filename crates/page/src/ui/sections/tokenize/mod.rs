//! `#tokenize`: a text, its tokens, and what other vocabularies would make of it.

mod bigrams;
mod chips;
mod compare;
mod curve;
mod editor;
mod growth;
mod heat;
mod live_bits;
mod marks;
mod report;
mod splitting;
mod switch;

use leptos::prelude::*;

use self::chips::Chips;
use self::compare::Compare;
use self::editor::Editor;
use self::growth::Growth;
use self::heat::Heat;
use self::report::Report;
use self::splitting::Splitting;
use self::switch::Switch;
use crate::ui::store::Store;

/// The figure of `#tokenize`.
#[component]
pub fn TokenizeFigure(
    /// What all figures share.
    store: Store,
) -> impl IntoView {
    let splitting = Splitting::new(store);
    view! {
        <div class="tk-text panel">
            <Editor splitting/>
            <Switch splitting/>
            <Chips splitting/>
            <Report splitting/>
        </div>
        <Growth splitting/>
        <Compare splitting/>
        <Heat store/>
    }
}
