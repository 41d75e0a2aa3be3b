//! What running the model really does: the recorded program, op by op. The program is data; nothing here is a formula of the page's own.

use std::sync::Arc;

use leptos::prelude::*;

use super::costs::flops;
use crate::protocol::stack::{Estimated, OpCard};
use crate::ui::number::{count, percent};
use crate::ui::reactive::live;

/// Which list.
#[derive(Clone, Copy, PartialEq, Eq)]
enum List {
    Forward,
    Decode,
    Backward,
}

impl List {
    const ALL: [Self; 3] = [Self::Forward, Self::Decode, Self::Backward];

    fn label(self) -> &'static str {
        ["Read a full context", "Write one token", "Learn: backward and update"][self as usize]
    }

    fn of(self, estimated: &Estimated) -> &[OpCard] {
        match self {
            Self::Forward => &estimated.forward,
            Self::Decode => &estimated.decode,
            Self::Backward => &estimated.backward,
        }
    }
}

/// The folded table.
#[component]
pub fn Operations(
    /// Of the model as it is set.
    #[prop(into)]
    estimated: Signal<Option<Arc<Estimated>>>,
) -> impl IntoView {
    let list = RwSignal::new(List::Forward);
    let open = RwSignal::new(false);
    let buttons = List::ALL.map(|this| {
        view! {
            <button type="button" aria-pressed=move || (list.get() == this).to_string() on:click=move |_| list.set(this)>
                {this.label()}
            </button>
        }
    });
    let summary = move || {
        let estimated = estimated.get()?;
        let ops = list.get().of(&estimated);
        let times: usize = ops.iter().map(|op| op.times).sum();
        let sum: u64 = ops.iter().map(|op| op.flops).sum();
        Some(format!("{} operations, {}.", count(times as u64), flops(sum as f64)))
    };
    let rows = move || {
        if !open.get() {
            return None;
        }
        let estimated = estimated.get()?;
        let ops = list.get().of(&estimated);
        let total = ops.iter().map(|op| op.flops).sum::<u64>().max(1) as f64;
        let row = |op: &OpCard| {
            let share = op.flops as f64 / total;
            let (times, of) = (op.times, op.of.clone());
            let class = if op.in_block { "stack-op-block" } else { "" };
            view! {
                <tr class=class>
                    <td>{op.name.clone()}</td>
                    <td class="mono">{of}</td>
                    <td class="number">{if times > 1 { format!("{times} ×") } else { String::new() }}</td>
                    <td class="number">{if op.flops == 0 { "–".into() } else { flops(op.flops as f64) }}</td>
                    <td class="number">{if op.flops == 0 { String::new() } else { percent(share) }}</td>
                    <td class="stack-op-bar" aria-hidden="true"><span style:width=format!("{}%", (share * 100.0).round() as u32)></span></td>
                </tr>
            }
        };
        Some(ops.iter().map(row).collect_view())
    };
    view! {
        <details class="stack-program" on:toggle=move |_| open.update(|open| *open = !*open)>
            <summary>"What a pass really runs, operation by operation"</summary>
            <p class="small">
                "Before a model runs, it is recorded: a list of operations on tensors of fixed shapes, which CPU and GPU then replay. This is \
                 that list for the sizes set above. Indented ones belong to a block, and run once for each. A dash means that only memory is \
                 moved."
            </p>
            <div class="stack-presets" role="group" aria-label="Which pass">{buttons.into_iter().collect_view()}</div>
            <p class="small soft">{live(summary)}</p>
            <div class="stack-scroll" role="region" aria-label="Operations of a pass" tabindex="0">
                <table>
                    <thead>
                        <tr>
                            <th scope="col">"operation"</th>
                            <th scope="col">"applies"</th>
                            <th scope="col" class="number">"times"</th>
                            <th scope="col" class="number">"FLOPs"</th>
                            <th scope="col" class="number">"share"</th>
                            <td></td>
                        </tr>
                    </thead>
                    <tbody>{live(rows)}</tbody>
                </table>
            </div>
        </details>
    }
}
