//! `#modern`: what today's models have that GPT-2 had not, each changed by itself in a small model, with three seeds. One guesses first.

mod cache;
mod verdict;

use std::sync::Arc;

use leptos::prelude::*;

use self::verdict::{Outcome, Verdict, range};
use super::measured::entry::Entry;
use super::measured::file::Recorded;
use super::train::plot::scale::{Scale, decimal, level_ticks, levels};
use crate::ui::chip::{Chip, Source};
use crate::ui::number::{bytes, count};
use crate::ui::reactive::live;
use crate::ui::store::Store;

/// Rows of a strip, in hundredths of its height: the baseline's and the variant's.
const ROWS: [i32; 2] = [25, 75];

/// The figure of `#modern`.
#[component]
pub fn ModernFigure(
    /// What all figures share.
    store: Store,
) -> impl IntoView {
    let file = Recorded::of(store, "modern-figure");
    view! {
        <div class="modern" node_ref=file.figure>
            <p class="sentence">{file.failure}</p>
            {move || file.entries.get().map(|entries| compared(store, entries))}
            {cache::view(store)}
        </div>
    }
}

/// A card for each variant.
fn compared(store: Store, entries: Arc<Vec<Entry>>) -> AnyView {
    let [baseline, variants @ ..] = &entries[..] else { return ().into_any() };
    let all: Vec<f64> = entries.iter().flat_map(|entry| entry.seeds.iter().copied()).collect();
    let (low, high) = range(&all);
    let levels = levels(low - 0.005, high + 0.005);
    let strip = Strip { levels, across: Scale::linear(levels.0, levels.1, 0.0, 1000.0) };
    // Guesses that were right, and all.
    let guesses = RwSignal::new((0, 0));
    let number = variants.len();
    let score = move || match guesses.get() {
        (_, 0) => format!("{number} questions. Guess, then see what was measured."),
        (right, made) => format!("{right} of {made} guesses right, {} to go.", number - made),
    };
    let shape = format!("validation loss [{} models, {} seeds]", entries.len(), baseline.seeds.len());
    let cards = variants.iter().map(|variant| card(store, strip, baseline, variant, guesses));
    view! {
        <div class="modern-head">
            <p class="modern-score" id="modern-score">{live(score)}</p>
            <Chip source=Source::Recorded shape />
        </div>
        <div class="modern-cards">{cards.collect_view()}</div>
        <p class="small soft">
            {baseline.title.clone()} ": " {baseline.says.clone()} " " {count(baseline.parameters as u64)} " weights, "
            {count(baseline.updates as u64)} " updates, " {baseline.machine.clone()} ". " <code>{baseline.command.clone()}</code>
            ", and likewise with other seeds."
        </p>
    }
    .into_any()
}

/// What all strips share: losses that are marked, and where a loss lies, in thousandths.
#[derive(Clone, Copy)]
struct Strip {
    levels: (f64, f64, f64),
    across: Scale,
}

impl Strip {
    /// Dots, as a path.
    fn dots(self, losses: &[f64], row: i32) -> String {
        losses.iter().map(|&loss| format!("M{} {row}h0", self.place(loss))).collect()
    }

    /// Where the seeds of a model are, as a path.
    fn band(self, losses: &[f64]) -> String {
        let (low, high) = range(losses);
        format!("M{} 8V92H{}V8Z", self.place(low), self.place(high))
    }

    fn place(self, loss: f64) -> i32 {
        self.across.place(loss).round() as i32
    }
}

/// A path of a strip.
fn path(class: &'static str, d: String) -> AnyView {
    view! { <path class=class d=d vector-effect="non-scaling-stroke"></path> }.into_any()
}

/// A question, and its answer once somebody guessed.
fn card(store: Store, strip: Strip, baseline: &Entry, variant: &Entry, guesses: RwSignal<(usize, usize)>) -> AnyView {
    let guess = RwSignal::new(None);
    let verdict = Verdict::of(&baseline.seeds, &variant.seeds);
    let (baseline, variant) = (baseline.clone(), StoredValue::new(variant.clone()));
    let Entry { name, title, says, seeds, .. } = variant.get_value();
    let answered = answer(&verdict);
    let spoken = answered.clone();
    let choose = move |outcome: Outcome| {
        // The first guess counts: after it the answer is known.
        if guess.with_untracked(Option::is_none) {
            guess.set(Some(outcome));
            guesses.update(|(right, made)| {
                *right += usize::from(outcome == verdict.outcome);
                *made += 1;
            });
            store.announce(spoken.clone());
        }
    };
    let buttons = Outcome::ALL.map(|(outcome, word)| {
        let choose = choose.clone();
        view! {
            <button
                type="button"
                class:modern-right=move || guess.get().is_some() && outcome == verdict.outcome
                aria-pressed=move || (guess.get() == Some(outcome)).to_string()
                aria-disabled=move || guess.get().is_some().to_string()
                on:click=move |_| choose(outcome)
            >
                {word}
            </button>
        }
    });
    let dots = strip.dots(&seeds, ROWS[1]);
    let arrow = format!("M{} 50H{}", strip.place(verdict.means[0]), strip.place(verdict.means[1]));
    let measured = move || {
        guess.get().map(|_| {
            view! { {path("modern-arrow", arrow.clone())} {path("modern-own", dots.clone())} }
        })
    };
    let reveal = move || {
        guess.get().map(|guess| {
            let right = if guess == verdict.outcome { "You guessed right. " } else { "Not what you guessed. " };
            let entry = variant.get_value();
            view! {
                <p class="modern-answer"><strong>{right}</strong> {answered.clone()}</p>
                <p class="small">{entry.why}</p>
                <p class="small soft">
                    {count(entry.parameters as u64)} " weights; the cache takes " {bytes(entry.cache)} " a token in float32. "
                    <code>{entry.command}</code>
                </p>
            }
        })
    };
    let marks = level_ticks(strip.levels).into_iter().map(|(loss, text)| {
        view! { <span style:left=super::scale::share(strip.across.place(loss) / 10.0)>{text}</span> }
    });
    view! {
        <article class="panel modern-card" data-variant=name>
            <h3>{title.clone()}</h3>
            <p class="small">{says}</p>
            <div class="modern-strip">
                <span class="modern-lane small soft">{baseline.title}</span>
                <span class="modern-lane small">{move || if guess.get().is_some() { "with it" } else { "with it: ?" }}</span>
                <svg viewBox="0 0 1000 100" preserveAspectRatio="none" aria-hidden="true">
                    {path("modern-band", strip.band(&baseline.seeds))}
                    {path("modern-base", strip.dots(&baseline.seeds, ROWS[0]))}
                    {live(measured)}
                </svg>
                <div class="modern-marks" aria-hidden="true">{marks.collect_view()}</div>
            </div>
            <div class="modern-guess" role="group" aria-label=format!("Your guess: {title}")>{buttons.into_iter().collect_view()}</div>
            <div class="modern-reveal">{live(reveal)}</div>
        </article>
    }
    .into_any()
}

/// What was measured, in words.
fn answer(verdict: &Verdict) -> String {
    let [base, own] = verdict.means;
    let than = if own < base { "lower" } else { "higher" };
    let counts = match verdict.outcome {
        Outcome::Same => "That is no more than seeds make",
        Outcome::Better => "It is better: that is more than seeds make",
        Outcome::Worse => "It is worse: that is more than seeds make",
    };
    format!(
        "Mean loss {}, that is {} {than} than {}. {counts}, which is up to {} here.",
        decimal(own, 3),
        decimal((own - base).abs(), 3),
        decimal(base, 3),
        decimal(verdict.spread, 3)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_whether_the_difference_counts() {
        let verdict = Verdict::of(&[1.75, 1.76, 1.77], &[1.70, 1.71, 1.72]);
        assert_eq!(
            answer(&verdict),
            "Mean loss 1.710, that is 0.050 lower than 1.760. It is better: that is more than seeds make, which is up to 0.020 here."
        );
        assert!(answer(&Verdict::of(&[1.75, 1.77], &[1.75, 1.775])).contains("no more than seeds make"));
    }

    #[test]
    fn strips_are_paths_of_whole_numbers() {
        let strip = Strip { levels: (1.7, 1.8, 0.05), across: Scale::linear(1.7, 1.8, 0.0, 1000.0) };
        assert_eq!(strip.dots(&[1.75, 1.8], 28), "M500 28h0M1000 28h0");
        assert_eq!(strip.band(&[1.72, 1.75, 1.71]), "M100 8V92H500V8Z");
    }
}
