//! Neighbours as bars, with what chance puts at the same rank.

use leptos::prelude::*;

use super::named;
use crate::protocol::embed::{Baseline, Near, Neighbours};
use crate::protocol::embed::{BaselineFound, NeighboursFound};
use crate::ui::number::three;
use crate::ui::reactive::live;
use crate::ui::remote::{Remote, remote};
use crate::ui::store::Store;

/// Neighbours and what chance would have put there, for a question that changes.
#[derive(Clone, Copy)]
pub struct Found {
    /// What is near.
    pub nearest: Remote<NeighboursFound>,
    /// What chance puts there.
    pub chance: Remote<BaselineFound>,
}

/// Asks for the nearest `count`, and for the same of shuffled tables.
pub fn found(store: Store, count: usize, of: impl Fn() -> Option<Near> + Copy + 'static) -> Found {
    let question = move || of().map(|of| Neighbours { of, count });
    Found { nearest: remote(store.client, question), chance: remote(store.client, move || question().map(Baseline)) }
}

/// One bar: from 0 to a cosine, with marks of chance.
struct Bar {
    id: u32,
    cosine: f32,
    chance: Option<(f32, f32)>,
}

impl Bar {
    fn beyond_chance(&self) -> bool {
        self.chance.is_some_and(|(_, largest)| self.cosine > largest)
    }
}

impl Found {
    /// The nearest with their chances, as far as these are known and of the same question.
    fn bars(self) -> Option<Vec<Bar>> {
        let nearest = self.nearest.get()?;
        let chance = self.chance.get().filter(|chance| chance.of == nearest.of);
        let bars = nearest.nearest.iter().enumerate().map(|(rank, &(id, cosine))| {
            let chance = chance.as_ref().and_then(|chance| chance.ranks.get(rank).copied());
            Bar { id, cosine, chance }
        });
        Some(bars.collect())
    }

    /// How many are nearer than in any shuffled table.
    fn verdict(self) -> Option<String> {
        let bars = self.bars()?;
        let chance = self.chance.get()?;
        if bars.iter().any(|bar| bar.chance.is_none()) {
            return Some("Shuffling the table to see what chance gives …".into());
        }
        let beyond = bars.iter().filter(|bar| bar.beyond_chance()).count();
        Some(format!(
            "{beyond} of {} are nearer than the same rank in any of {} shuffled tables.",
            bars.len(),
            chance.shuffles
        ))
    }
}

/// Tenths at which the axis ends: the first that no bar and no chance passes.
fn axis(bars: &[Bar]) -> u32 {
    let largest = bars.iter().map(|bar| bar.cosine.max(bar.chance.unwrap_or_default().1)).fold(0.0, f32::max);
    ((largest * 10.0).ceil() as u32).clamp(1, 10)
}

fn width(cosine: f32, tenths: u32) -> String {
    format!("{}%", (cosine * 1000.0 / tenths as f32).clamp(0.0, 100.0))
}

/// The bars.
#[component]
pub fn Bars(
    /// What all figures share.
    store: Store,
    /// What to show.
    found: Found,
    /// What the bars are, for readers.
    #[prop(into)]
    label: Signal<String>,
    /// Called with a token that is pressed.
    pick: Callback<u32>,
) -> impl IntoView {
    let row = move |(bar, end): (Bar, u32)| {
        let model = store.model.get_untracked();
        let (name, ear) = (named(model.as_ref(), bar.id), super::spoken(model.as_ref(), bar.id));
        let beyond = bar.beyond_chance();
        let (mean, largest) = bar.chance.unwrap_or_default();
        let marks = bar.chance.map(|(mean, largest)| {
            view! {
                <span class="embed-chance" style:width=width(largest, end)></span>
                <span class="embed-mean" style:left=width(mean, end)></span>
            }
        });
        view! {
            <tr class:embed-beyond=beyond>
                <th scope="row">
                    <button type="button" class="embed-token" aria-label=format!("Look at {ear}") on:click=move |_| pick.run(bar.id)>{name}</button>
                </th>
                <td class="embed-bar-cell" aria-hidden="true">
                    <span class="embed-track">{marks}<span class="embed-bar" style:width=width(bar.cosine, end)></span></span>
                </td>
                <td class="number">{three(bar.cosine.into())}</td>
                <td class="number soft">{bar.chance.map(|_| three(mean.into()))}</td>
                <td class="number soft">{bar.chance.map(|_| three(largest.into()))}</td>
                <td class="embed-tick">{beyond.then(|| view! { <span aria-label="beyond chance">"✓"</span> })}</td>
            </tr>
        }
    };
    let rows = move || {
        let bars = found.bars()?;
        let end = axis(&bars);
        Some(bars.into_iter().map(|bar| row((bar, end))).collect_view())
    };
    let scale = move || {
        let tenths = axis(&found.bars()?);
        Some(
            view! { <span class="embed-scale"><span>"0"</span><span>{if tenths == 10 { "1".into() } else { format!("0.{tenths}") }}</span></span> },
        )
    };
    let failure = move || found.nearest.failure.get().or(found.chance.failure.get()).map(|failure| failure.message);
    view! {
        <p class="sentence">{live(failure)}</p>
        <table class="embed-bars">
            <caption class="unseen">{label}</caption>
            <thead>
                <tr>
                    <th>"token"</th>
                    <td aria-hidden="true">{live(scale)}</td>
                    <th class="number">"cosine"</th>
                    <th class="number">"chance: mean"</th>
                    <th class="number">"chance: largest"</th>
                    <td></td>
                </tr>
            </thead>
            <tbody>{live(rows)}</tbody>
        </table>
        <p class="small embed-verdict">{move || found.verdict()}</p>
    }
}
