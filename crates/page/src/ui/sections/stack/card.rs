//! What there is to say of a part: its tensors, its weights and their share, bytes, FLOPs, and what it does.

use inkling_core::ModelConfig;
use leptos::prelude::*;

use super::costs::{change, flops};
use super::parts::{Id, Kind, Part};
use crate::ui::number::{bytes, count, percent};
use crate::ui::reactive::live;

/// How a file stores a weight, by the bytes of all files and the number of weights: what else they hold is small.
pub fn stored(file_bytes: u64, weights: u64) -> (f64, &'static str) {
    match file_bytes as f64 / weights.max(1) as f64 {
        share if share >= 4.0 => (4.0, "float32"),
        share if share >= 2.0 => (2.0, "16 bits a weight"),
        share => (share, "in codes, on average"),
    }
}

/// Everything that a card tells of.
#[derive(Clone, PartialEq)]
pub struct Facts {
    /// The part.
    pub part: Part,
    /// Of it in the loaded model, if that is another one.
    pub before: Option<u64>,
    /// Weights of the model.
    pub total: u64,
    /// Bytes of a weight in the loaded model's file, and in words.
    pub stored: (f64, &'static str),
    /// The model.
    pub config: ModelConfig,
}

/// The card of a part.
#[component]
pub fn Card(
    /// What to tell; nothing if no part is picked.
    #[prop(into)]
    facts: Signal<Option<Facts>>,
    /// In that case.
    #[prop(into)]
    hint: Signal<String>,
    /// Whether it stays when the pointer goes.
    #[prop(into)]
    locked: Signal<Option<Id>>,
) -> impl IntoView {
    let card = move || {
        let Some(Facts { part, before, total, stored, config }) = facts.get() else {
            return view! { <p class="soft stack-hint">{hint}</p> }.into_any();
        };
        let does = part.does(&config);
        let is_locked = locked.get() == Some(part.id);
        let tensors = part.tensors.iter().map(|(name, shape)| {
            let weights: usize = shape.iter().product();
            view! {
                <tr>
                    <td class="mono">{name.clone()}</td>
                    <td class="mono">{format!("{shape:?}")}</td>
                    <td class="number">{count(weights as u64)}</td>
                </tr>
            }
        });
        let tensors = tensors.collect_view();
        let share = match before {
            Some(before) => {
                format!(
                    "{} of all, {} against the loaded model",
                    percent(part.count as f64 / total as f64),
                    change(part.count as f64, before as f64)
                )
            }
            None => format!("{} of all", percent(part.count as f64 / total as f64)),
        };
        let memory = format!(
            "{} in the file ({}), {} in memory (float32)",
            bytes(part.count as f64 * stored.0),
            stored.1,
            bytes(part.count as f64 * 4.0),
        );
        let compute = match part.id.kind {
            Kind::Mix => format!("{}, on average over {} positions", flops(part.flops), config.n_positions),
            _ if part.flops == 0.0 => "none counted: no matrix product".into(),
            _ => flops(part.flops),
        };
        let has_weights = part.count > 0;
        view! {
            <h3>
                <span class="mono">{part.id.name()}</span>
                {is_locked.then_some(view! { <span class="soft small">" locked, Esc clears"</span> })}
            </h3>
            <p>{does}</p>
            <table class="stack-tensors"><tbody>{tensors}</tbody></table>
            <dl class="stack-facts">
                <dt>"Weights"</dt>
                <dd>{if has_weights { format!("{}, {share}", count(part.count)) } else { "none of its own".into() }}</dd>
                {has_weights.then(|| view! { <dt>"Bytes"</dt> <dd>{memory}</dd> })}
                <dt>"FLOPs per token"</dt>
                <dd>{compute}</dd>
                <dt>"Gives"</dt>
                <dd class="mono">{format!("[{}, {}]", part.out[0], part.out[1])}</dd>
            </dl>
        }
        .into_any()
    };
    view! { <div class="panel stack-card">{live(card)}</div> }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_tell_how_they_store() {
        assert_eq!(stored(1_643_720, 818_048).0, 2.0);
        assert_eq!(stored(3_300_000, 818_048).0, 4.0);
        assert!(stored(900_000, 818_048).0 < 2.0);
    }
}
