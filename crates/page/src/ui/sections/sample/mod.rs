//! `#sample`: a text is written, and any of its characters can be asked where it came from.

mod branches;
mod columns;
mod controls;
mod distribution;
mod place;
mod readout;
mod speech;
mod text;
mod text_view;
mod writing;

use leptos::prelude::*;

use self::branches::Branches;
use self::columns::Columns;
use self::controls::Controls;
use self::place::Place;
use self::readout::{Readout, TopTen};
use self::text_view::{STEPS, TextView, Tint};
use self::writing::Desk;
use crate::ui::chip::{Chip, Source};
use crate::ui::number::{count, percent, three};
use crate::ui::reactive::{live, memo};
use crate::ui::store::Store;

/// The figure of `#sample`.
#[component]
pub fn SampleFigure(
    /// What all figures share.
    store: Store,
) -> impl IntoView {
    let desk = Desk::new(store);
    let place = Place::new(desk);
    let tint = RwSignal::new(Tint::Chance);
    speech::tell(desk);
    let failure = move || desk.failure.get().map(|failure| failure.message);
    view! {
        <div class="sample">
            <Controls desk />
            <p class="sentence" id="sample-failure">{live(failure)}</p>
            <div class="sample-halves">
                <div class="panel sample-half">
                    <Status desk />
                    <TextView desk tint />
                    <Legend tint />
                    <ChangeSays desk />
                    <Actions desk />
                    <Branches desk />
                </div>
                <div class="panel sample-half">
                    <PlaceSays place />
                    <Columns place />
                    <Readout place />
                    <TopTen place />
                </div>
            </div>
        </div>
    }
}

/// How much was written, and how fast.
#[component]
fn Status(
    /// Writes.
    desk: Desk,
) -> impl IntoView {
    let written = memo(move || desk.text.with(|text| text.fresh));
    let speed = move || desk.speed.get().map(|speed| format!("{} per second", count(speed.round() as u64)));
    view! {
        <p class="sample-status small soft">
            <span><strong>{move || count(written.get() as u64)}</strong> " tokens written"</span>
            <span id="sample-speed">{live(speed)}</span>
        </p>
    }
}

/// What the colours say.
#[component]
fn Legend(
    /// Which of them.
    tint: RwSignal<Tint>,
) -> impl IntoView {
    let names = move || match tint.get() {
        Tint::Chance => ["½ or more", "¼", "⅛", "1⁄16", "1⁄32", "less"],
        _ => ["under 1 bit", "1", "2", "3", "4", "5 and more"],
    };
    let says = move || match tint.get() {
        Tint::Chance => "Chance that the character had where it was drawn",
        Tint::Entropy => "Entropy there: how open the choice was",
        Tint::Off => "",
    };
    let steps = move || {
        let steps = (0..STEPS).zip(names());
        steps.map(|(i, name)| view! { <span class=format!("token bits-{i}")>{name}</span> }).collect_view()
    };
    let option = move |which: Tint, name: &'static str| {
        view! {
            <label class="small">
                <input
                    type="radio"
                    name="sample-tint"
                    prop:checked=move || tint.get() == which
                    on:change=move |_| tint.set(which)
                />
                {format!(" {name}")}
            </label>
        }
    };
    view! {
        <div class="sample-legend">
            <fieldset>
                <legend class="small soft">"Colour by"</legend>
                {option(Tint::Chance, "chance")}
                {option(Tint::Entropy, "entropy")}
                {option(Tint::Off, "nothing")}
            </fieldset>
            <p class="small soft" hidden=move || tint.get() == Tint::Off>
                {live(says)}": " <span class="legend-steps">{live(steps)}</span>
            </p>
        </div>
    }
}

/// What the newest change of the settings did to the text.
#[component]
fn ChangeSays(
    /// Has both texts.
    desk: Desk,
) -> impl IntoView {
    let change = memo(move || {
        desk.text.with(|text| {
            if text.before.is_empty() || text.writing {
                return None;
            }
            let at = text.first_change();
            Some(at.map(|at| (at, text.before[at], text.tokens[at].id)))
        })
    });
    let says = move || {
        let hint = "Move a setting: the same dice are thrown again, and what becomes different is underlined.";
        change.get().map_or_else(|| hint.to_owned(), |change| match change {
            None => "The change of settings changed no character.".to_owned(),
            Some((at, before, now)) => format!(
                "The same dice: {} as before, then ‘{}’ became ‘{}’, and the model goes on from there. Underlined is what differs.",
                match at {
                    0 => "nothing".into(),
                    1 => "the first character".into(),
                    at => format!("the first {at} characters"),
                },
                desk.glyph(before),
                desk.glyph(now)
            ),
        })
    };
    view! { <p class="small soft sample-change">{live(says)}</p> }
}

/// What can be done with the text.
#[component]
fn Actions(
    /// Has it.
    desk: Desk,
) -> impl IntoView {
    let copied = RwSignal::new(None::<&'static str>);
    let none = move || desk.picked().is_none();
    view! {
        <p class="sample-actions">
            <button
                id="sample-fork"
                disabled=live(none)
                on:click=move |_| {
                    if let Some(at) = untrack(|| desk.picked()) {
                        desk.fork(at);
                    }
                }
            >
                {move || {
                    let at = desk.picked().map_or(0, |at| at + 1);
                    format!("Keep {at} and write on with other dice")
                }}
            </button>
            <button disabled=live(none) on:click=move |_| speech::copy(desk, copied)>"Copy text"</button>
            <span class="small soft">{copied}</span>
        </p>
    }
}

/// Which place of the text the columns are of.
#[component]
fn PlaceSays(
    /// The place.
    place: Place,
) -> impl IntoView {
    let desk = place.desk;
    let heading = move || match (desk.picked(), place.written()) {
        (Some(at), Some(id)) => format!("Where character {}, ‘{}’, came from", at + 1, desk.glyph(id)),
        _ => "Where a character came from".into(),
    };
    let shape = Signal::derive(move || {
        place.distribution.with(|at| if at.vocab == 0 { String::new() } else { format!("logits [{}]", at.vocab) })
    });
    let says = move || {
        let (left, entropy, vocab, rest) = place.distribution.with(|at| (at.left, at.entropy, at.vocab, at.rest));
        if vocab == 0 {
            return String::new();
        }
        let open = format!("Entropy {} of at most {} bits.", three(entropy.into()), three((left as f64).log2()));
        match rest {
            (0, _) => open,
            (hidden, chance) => {
                format!(
                    "{open} {} tokens are not shown; together they have {}.",
                    count(hidden as u64),
                    percent(chance.into())
                )
            }
        }
    };
    view! {
        <div class="place-head">
            <h3>{live(heading)}</h3>
            <Chip source=Source::Live shape />
        </div>
        <p class="small soft place-says">{live(says)}</p>
    }
}
