//! Costs in words: durations, changes, and the table of what a model costs beside what the loaded one does.

use std::sync::Arc;

use leptos::prelude::*;

use super::plan::Plan;
use crate::protocol::stack::{Estimated, Probed};
use crate::ui::number::{bytes, count, three};
use crate::ui::reactive::live;

/// A duration that is only about right: two digits. `40 s`, `12 min`, `3.4 h`, `2.1 days`.
pub fn about(seconds: f64) -> String {
    const UNITS: [(f64, &str); 5] =
        [(1.0, "s"), (60.0, "min"), (3600.0, "h"), (86_400.0, "days"), (31_557_600.0, "years")];
    if seconds < 1.0 {
        return "< 1\u{202f}s".into();
    }
    let (size, unit) = UNITS.into_iter().rev().find(|(size, _)| seconds >= *size).unwrap_or(UNITS[0]);
    let number = seconds / size;
    let number = if number < 9.95 {
        let tenths = (number * 10.0).round() as u64;
        if tenths.is_multiple_of(10) { count(tenths / 10) } else { format!("{}.{}", tenths / 10, tenths % 10) }
    } else {
        let step = 10_f64.powi(number.log10().floor() as i32 - 1);
        count(((number / step).round() * step) as u64)
    };
    format!("{number}\u{202f}{unit}")
}

/// FLOPs with a prefix: `1.64 MFLOP`.
pub fn flops(number: f64) -> String {
    let units = ["FLOP", "kFLOP", "MFLOP", "GFLOP", "TFLOP"];
    let power = if number < 1000.0 { 0 } else { ((number.log10() / 3.0) as usize).min(units.len() - 1) };
    format!("{}\u{202f}{}", three(number / 1000_f64.powi(power as i32)), units[power])
}

/// A change: `×2.00`; `same` where there is none.
pub fn change(now: f64, before: f64) -> String {
    if now == before {
        "same".into()
    } else if before == 0.0 {
        "new".into()
    } else {
        format!("×{}", three(now / before))
    }
}

/// What a tab can have: 32-bit addresses reach four gigabytes.
const TAB_BYTES: u64 = 4 << 30;

/// A row: what it is, the model as it is set, the loaded one.
type Row = (&'static str, String, String, String);

fn row(what: &'static str, [now, before]: [f64; 2], in_words: fn(f64) -> String) -> Row {
    (what, in_words(now), in_words(before), change(now, before))
}

fn rows(plans: [&Plan; 2], estimated: Option<[&Estimated; 2]>, probed: Option<Probed>) -> Vec<Row> {
    let mut rows = vec![row("Parameters", plans.map(|plan| plan.config.num_parameters() as f64), |n| count(n as u64))];
    let Some(estimated) = estimated else { return rows };
    rows.push(row("FLOPs per token, reading", estimated.map(|costs| costs.forward_flops), flops));
    rows.push(row("FLOPs per token, training", estimated.map(|costs| costs.training_flops), flops));
    rows.push(row("Memory to write text", estimated.map(|costs| costs.sampling_bytes as f64), bytes));
    rows.push(row("Memory to train", estimated.map(|costs| costs.training_bytes as f64), bytes));
    if let Some(Probed { flops_per_second, .. }) = probed {
        let seconds = |plan: &Plan, costs: &Estimated| plan.tokens as f64 * costs.training_flops / flops_per_second;
        let [now, before] = [0, 1].map(|i| seconds(plans[i], estimated[i]));
        rows.push(row("Time to train here, about", [now, before], about));
    }
    rows
}

/// The table of costs, what the time assumes, and the button that measures.
#[component]
pub fn Costs(
    /// The model as it is set.
    #[prop(into)]
    plan: Signal<Option<Plan>>,
    /// The loaded one.
    #[prop(into)]
    loaded: Signal<Option<Plan>>,
    /// Of the model as it is set.
    #[prop(into)]
    estimated: Signal<Option<Arc<Estimated>>>,
    /// Of the loaded one.
    #[prop(into)]
    reference: Signal<Option<Arc<Estimated>>>,
    /// How fast this device is, where it was measured.
    #[prop(into)]
    probed: Signal<Option<Probed>>,
    /// While it is being measured.
    #[prop(into)]
    probing: Signal<bool>,
    /// Measures it.
    measure: impl Fn() + 'static,
) -> impl IntoView {
    let table = move || {
        let (plan, loaded) = (plan.get()?, loaded.get()?);
        let (estimated, reference) = (estimated.get(), reference.get());
        let costs = estimated.as_deref().zip(reference.as_deref()).map(|(now, before)| [now, before]);
        let rows = rows([&plan, &loaded], costs, probed.get());
        let row = |(what, now, before, change): Row| {
            let class = if change == "same" { "number soft" } else { "number changed" };
            view! {
                <tr>
                    <th scope="row">{what}</th>
                    <td class="number">{now}</td>
                    <td class=class>{change}</td>
                    <td class="number soft stack-before">{before}</td>
                </tr>
            }
        };
        Some(rows.into_iter().map(row).collect_view())
    };
    let too_large = move || {
        let bytes = estimated.get()?.training_bytes;
        (bytes > TAB_BYTES)
            .then_some("Training it takes more memory than a browser tab can have, 4 GB: it is a job for the trainer.")
    };
    let assumption = move || {
        let plan = plan.get()?;
        Some(match probed.get() {
            Some(Probed { flops_per_second, steps, seconds, parameters, .. }) => format!(
                "For {} tokens in batches of {}. Measured here: {}/s, over {} steps of a model of {} parameters in {} s. Other sizes reach \
                 another share of the device's peak, so the time is about right, not exact.",
                count(plan.tokens),
                plan.batch,
                flops(flops_per_second),
                steps,
                count(parameters),
                three(seconds),
            ),
            None => format!(
                "For {} tokens in batches of {}. How long that takes here is not known before this device is measured.",
                count(plan.tokens),
                plan.batch
            ),
        })
    };
    let label = move || match (probing.get(), probed.get()) {
        (true, _) => "Measuring …",
        (false, None) => "Measure this device",
        (false, Some(_)) => "Measure again",
    };
    view! {
        <table class="stack-costs">
            <caption class="unseen">"What the model costs"</caption>
            <thead>
                <tr>
                    <td></td>
                    <th scope="col" class="number">"as set"</th>
                    <th scope="col" class="number">"change"</th>
                    <th scope="col" class="number stack-before">"loaded"</th>
                </tr>
            </thead>
            <tbody>{live(table)}</tbody>
        </table>
        <p class="note">{live(too_large)}</p>
        <p class="stack-measure">
            <button id="stack-measure" type="button" disabled=move || probing.get() on:click=move |_| measure()>{live(label)}</button>
            <span class="soft small">{live(assumption)}</span>
        </p>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_two_digits() {
        for (seconds, text) in [
            (0.3, "< 1\u{202f}s"),
            (42.4, "42\u{202f}s"),
            (90.0, "1.5\u{202f}min"),
            (7200.0, "2\u{202f}h"),
            (1234.0 * 31_557_600.0, "1\u{202f}200\u{202f}years"),
        ] {
            assert_eq!(about(seconds), text);
        }
    }

    #[test]
    fn changes_are_factors() {
        assert_eq!(change(4.0, 2.0), "×2.00");
        assert_eq!(change(2.0, 2.0), "same");
        assert_eq!(change(2.0, 0.0), "new");
        assert_eq!(flops(1_640_000.0), "1.64\u{202f}MFLOP");
        assert_eq!(flops(0.0), "0\u{202f}FLOP");
    }
}
