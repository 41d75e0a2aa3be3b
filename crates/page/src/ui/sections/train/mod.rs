//! `#train`: a model learns in this tab, in a worker of its own, while every other figure goes on.
//!
//! What is computed from what was heard of a run (`log`, `plot`, `verdict`, `difference`, `estimate`) is plain arithmetic with tests of its own;
//! `lab` asks and hears; the rest are views.

mod chart;
mod controls;
mod difference;
mod draft;
mod estimate;
mod evaluations;
mod fields;
mod lab;
mod log;
mod next;
pub mod plot;
mod presets;
mod recipe;
mod runs;
mod samples;
mod scrubber;
mod texts;
mod verdict;
mod wake;

use leptos::html::Div;
use leptos::prelude::*;

use self::lab::Lab;
use crate::ui::near;
use crate::ui::store::Store;

/// The figure of `#train`.
#[component]
pub fn TrainFigure(
    /// What all figures share.
    store: Store,
) -> impl IntoView {
    let lab = Lab::new(store);
    let figure = NodeRef::<Div>::new();
    near::watch(store, figure, lab.draft.near);
    wake::follow(lab);
    lab.follow_near();
    view! {
        <div class="train" node_ref=figure>
            {next::view(lab)}
            <div class="panel train-run">
                {controls::view(lab)}
                {chart::view(lab)}
                {evaluations::view(lab)}
                {scrubber::view(lab)}
                {samples::view(lab)}
            </div>
            {runs::view(lab)}
        </div>
    }
}
