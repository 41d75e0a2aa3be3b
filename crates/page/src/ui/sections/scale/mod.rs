//! `#scale`: presets of the trainer side by side, each as a run left it: what it took, what it loses, what it writes.
//!
//! A dot of the picture is a label of the radio button in the table's row, so whatever picks one picks the other.

mod plot;

use std::sync::Arc;

use leptos::prelude::*;

use self::plot::Plot;
pub use self::plot::share;
use super::measured::entry::Entry;
use super::measured::file::Recorded;
use super::train::plot::scale::decimal;
use crate::ui::chip::{Chip, Source};
use crate::ui::clipboard;
use crate::ui::number::{count, three};
use crate::ui::reactive::{live, memo};
use crate::ui::segment::segment;
use crate::ui::store::Store;

/// The figure of `#scale`.
#[component]
pub fn ScaleFigure(
    /// What all figures share.
    store: Store,
) -> impl IntoView {
    let file = Recorded::of(store, "scale-figure");
    view! {
        <div class="panel scale" node_ref=file.figure>
            <p class="sentence">{file.failure}</p>
            {move || file.entries.get().map(|runs| shown(store, runs))}
        </div>
    }
}

/// The runs.
fn shown(store: Store, runs: Arc<Vec<Entry>>) -> AnyView {
    let by_time = RwSignal::new(false);
    let plots = StoredValue::new([false, true].map(|by_time| Plot::of(&runs, by_time)));
    let runs = StoredValue::new(runs);
    let number = runs.with_value(|runs| runs.len());
    // The last one writes best.
    let picked = memo(move || {
        let place = |name: &String| runs.with_value(|runs| runs.iter().position(|run| run.name == *name));
        store.view.run.with(|run| run.as_ref().and_then(place)).unwrap_or(number - 1)
    });
    let pick = move |at: usize| {
        let run = runs.with_value(|runs| runs[at].clone());
        store.announce(format!("{} writes: {}", run.name, run.sample));
        store.view.run.set(Some(run.name));
    };
    let plot = move |of: fn(&Plot) -> AnyView| plots.with_value(|plots| of(&plots[usize::from(by_time.get())]));
    let curves = move || {
        let picked = picked.get();
        plots.with_value(|plots| {
            let plot = &plots[usize::from(by_time.get())];
            let curve = |(at, path): (usize, &String)| {
                let class = if at == picked { "scale-curve scale-picked" } else { "scale-curve" };
                view! { <path class=class d=path.clone() vector-effect="non-scaling-stroke"></path> }
            };
            plot.curves.iter().enumerate().map(curve).collect_view()
        })
    };
    let dot = move |at: usize| {
        // Its name stands where there is room.
        let to_the_left = move || plots.with_value(|plots| plots[usize::from(by_time.get())].ends[at].0 > 60.0);
        let place = move || plots.with_value(|plots| plots[usize::from(by_time.get())].ends[at]);
        let run = runs.with_value(|runs| runs[at].clone());
        view! {
            <label
                class="scale-dot"
                class:scale-picked=move || picked.get() == at
                class:scale-left=to_the_left
                aria-hidden="true"
                for=format!("scale-run-{at}")
                style:left=move || share(place().0)
                style:top=move || share(place().1)
            >
                <span class="scale-word">{run.name} " " <small>{time(run.seconds)}</small></span>
            </label>
        }
    };
    let row = move |at: usize| {
        let run = runs.with_value(|runs| runs[at].clone());
        let cells = [
            ("number", count(run.parameters as u64)),
            ("number", time(run.seconds)),
            ("number scale-more", three(run.tokens_per_second)),
            ("number", decimal(run.best, 3)),
            ("number scale-more", three(run.bits_per_char)),
        ];
        view! {
            <tr class:scale-picked=move || picked.get() == at>
                <th scope="row">
                    <label class="scale-name">
                        <input
                            type="radio"
                            name="scale-run"
                            id=format!("scale-run-{at}")
                            prop:checked=move || picked.get() == at
                            on:change=move |_| pick(at)
                        />
                        {run.name}
                    </label>
                </th>
                {cells.map(|(class, text)| view! { <td class=class>{text}</td> }).into_iter().collect_view()}
            </tr>
        }
    };
    let axis = [(false, "weights"), (true, "time of training")].map(|(is_time, word)| {
        segment("scale-axis", word, word, move || by_time.get() == is_time, move || by_time.set(is_time))
    });
    let shape = format!("validation loss [{number} runs]");
    view! {
        <div class="scale-head">
            <fieldset class="scale-axis"><legend class="small soft">"Loss over"</legend> <span class="segments">{axis.into_iter().collect_view()}</span></fieldset>
            <Chip source=Source::Recorded shape=shape />
        </div>
        <div class="scale-plot">
            <svg viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">
                {move || plot(|plot| view! { <path class="scale-grid" d=plot.grid() vector-effect="non-scaling-stroke"></path> }.into_any())}
                {live(curves)}
            </svg>
            <div class="scale-marks" aria-hidden="true">{move || plot(marks)}</div>
            {(0..number).map(dot).collect_view()}
        </div>
        <div class="scale-text">{move || written(store, runs.with_value(|runs| runs[picked.get()].clone()))}</div>
        <table class="scale-table">
            <caption class="small soft">
                "Losses are nats per character over the whole validation split, the best of each run; less is better."
            </caption>
            <thead>
                <tr>
                    <th scope="col">"model"</th>
                    <th scope="col" class="number">"weights"</th>
                    <th scope="col" class="number">"time"</th>
                    <th scope="col" class="number scale-more">"tokens/s"</th>
                    <th scope="col" class="number">"val loss"</th>
                    <th scope="col" class="number scale-more">"bits/char"</th>
                </tr>
            </thead>
            <tbody>{(0..number).map(row).collect_view()}</tbody>
        </table>
    }
    .into_any()
}

/// What is written at the edges.
fn marks(plot: &Plot) -> AnyView {
    let across =
        plot.across.iter().map(|&(at, text)| view! { <span class="scale-across" style:left=share(at)>{text}</span> });
    let up =
        plot.up.iter().map(|(at, text)| view! { <span class="scale-up" style:top=share(*at)>{text.clone()}</span> });
    view! { {across.collect_view()} {up.collect_view()} }.into_any()
}

/// The picked run's text, and how to repeat it.
fn written(store: Store, run: Entry) -> AnyView {
    let says = RwSignal::new(None);
    let command = run.command.clone();
    view! {
        <h3>{run.name}</h3>
        <p class="small">{run.says}</p>
        <blockquote class="scale-sample" id="scale-sample">{run.sample}</blockquote>
        <p class="small soft">
            {count(run.updates as u64)} " updates, " {three(run.tokens)} " characters read, " {three(run.tokens_per_second)} " a second, "
            {three(run.bits_per_char)} " bits per character. " {run.machine} "."
        </p>
        <p class="scale-command">
            <code>{run.command}</code>
            <button type="button" on:click=move |_| clipboard::copy(store, &command, says)>"Copy"</button>
            <span class="small soft">{says}</span>
        </p>
    }
    .into_any()
}

/// A duration: `0.268 s`, `43.9 s`, `9.81 min`, `2.00 h`.
fn time(seconds: f64) -> String {
    let (value, unit) = match seconds {
        ..60.0 => (seconds, "s"),
        ..3600.0 => (seconds / 60.0, "min"),
        _ => (seconds / 3600.0, "h"),
    };
    format!("{}\u{202f}{unit}", three(value))
}

#[cfg(test)]
mod tests {
    use super::time;

    #[test]
    fn times_have_the_unit_that_suits_them() {
        for (seconds, text) in [(0.268, "0.268 s"), (43.94, "43.9 s"), (118.0, "1.97 min"), (7200.0, "2.00 h")] {
            assert_eq!(time(seconds).replace('\u{202f}', " "), text);
        }
    }
}
