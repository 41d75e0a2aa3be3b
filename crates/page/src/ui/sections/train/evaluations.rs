//! The evaluations in numbers, and what became of the run.

use leptos::prelude::*;

use super::lab::Lab;
use super::verdict::Verdict;
use crate::protocol::train::RunState;
use crate::ui::number::{count, three};
use crate::ui::reactive::memo;

/// Newest evaluations that are listed.
const MOST: usize = 12;

/// The verdict and the table.
pub fn view(lab: Lab) -> AnyView {
    let verdict = memo(move || {
        let run = lab.picked.get()?;
        let finished = run.state.get() == RunState::Finished;
        let uniform = run.card.with_value(|card| card.uniform_loss);
        Verdict::of(&run.log.read().evaluations, uniform).filter(|_| finished)
    });
    let words = move || {
        verdict.get().map(|verdict| {
            let (sentence, next) = verdict.words();
            view! { <strong>{sentence}</strong> " " {next} }
        })
    };
    let rows = move || {
        let log = lab.picked.get()?.log.read();
        let row = |e: &crate::protocol::train::Evaluated| {
            let train = log.at(e.step).map_or_else(|| "–".into(), |(_, mean)| three(mean.into()));
            let best = if e.best { "best so far" } else { "" };
            view! {
                <tr>
                    <th scope="row" class="number">{count(e.step)}</th>
                    <td class="number">{train}</td>
                    <td class="number">{three(e.val_loss)}</td>
                    <td class="number">{three(e.bits_per_char)}</td>
                    <td>{best}</td>
                </tr>
            }
        };
        Some(log.evaluations.iter().rev().take(MOST).map(row).collect_view())
    };
    view! {
        <p class="train-verdict" id="train-verdict" role="status">{words}</p>
        <details>
            <summary>"The last evaluations as a table"</summary>
            <div class="table-frame train-table" tabindex="0" role="region" aria-label="Evaluations">
                <table id="train-evaluations">
                    <thead>
                        <tr>
                            <th scope="col" class="number">"step"</th>
                            <th scope="col" class="number">"train, smoothed"</th>
                            <th scope="col" class="number">"val"</th>
                            <th scope="col" class="number">"bits per character"</th>
                            <td></td>
                        </tr>
                    </thead>
                    <tbody>{rows}</tbody>
                </table>
            </div>
        </details>
    }
    .into_any()
}
