//! From logits to a draw, as columns of bars: one column per token, one row of bars per stage, all aligned.

use leptos::html::Div;
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use wasm_bindgen::closure::Closure;
use web_sys::{KeyboardEvent, PointerEvent, ResizeObserver};

use super::distribution::{Distribution, Row};
use super::place::Place;
use crate::ui::keys::slide;
use crate::ui::number::{percent, three};
use crate::ui::reactive::{effect, live, memo};

/// Pixels of a row of bars.
const HEIGHT: f32 = 60.0;
/// Scores so far below the largest are at the bottom.
const SCORES: f64 = 16.0;

/// A row of bars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Logit,
    Scaled,
    Chance,
    Kept,
    Score,
}

impl Stage {
    const ALL: [Self; 5] = [Self::Logit, Self::Scaled, Self::Chance, Self::Kept, Self::Score];

    fn name(self) -> &'static str {
        match self {
            Self::Logit => "1 Logits, as the model gives them",
            Self::Scaled => "2 Divided by T",
            Self::Chance => "3 Softmax: chances of all tokens",
            Self::Kept => "4 Top-k, top-p; the rest sums to 1 again",
            Self::Score => "5 Row 2 plus noise: the largest is drawn",
        }
    }

    /// Bottom and top of a token's bar, 0 to 1 upwards; none where it was cut off.
    fn bar(self, row: &Row, scale: &Scale) -> Option<(f32, f32)> {
        let signed =
            |x: f32| (scale.zero.min(scale.zero + x / scale.range), scale.zero.max(scale.zero + x / scale.range));
        match self {
            Self::Logit => Some(signed(row.logit)),
            Self::Scaled => Some(signed(row.scaled)),
            Self::Chance => Some((0.0, row.chance / scale.chance)),
            Self::Kept => row.kept.map(|kept| (0.0, kept / scale.chance)),
            Self::Score => row.score().map(|score| (0.0, (1.0 - (scale.score - score) / SCORES) as f32)),
        }
    }
}

/// What is how high.
struct Scale {
    /// Logits: where zero is, and what the whole height is.
    zero: f32,
    range: f32,
    /// The chance that is as high as the row.
    chance: f32,
    /// The largest score.
    score: f64,
}

impl Scale {
    fn of(distribution: &Distribution) -> Self {
        let rows = &distribution.rows;
        let extreme = |f: fn(f32, f32) -> f32| rows.iter().map(|row| row.logit).fold(0.0, f);
        // Room for dividing by 2/3; what grows beyond is cut.
        let (low, high) = (1.5 * extreme(f32::min), 1.5 * extreme(f32::max));
        let range = (high - low).max(1e-6);
        let largest = rows.iter().map(|row| row.kept.unwrap_or(0.0).max(row.chance)).fold(0.0, f32::max);
        let chance = [0.05, 0.1, 0.25, 0.5].into_iter().find(|&top| largest <= top).unwrap_or(1.0);
        let score = rows.iter().filter_map(Row::score).fold(f64::NEG_INFINITY, f64::max);
        Self { zero: -low / range, range, chance, score }
    }
}

/// The bars of a stage as three outlines: tokens that are left, those that were cut off, the drawn one.
fn paths(stage: Stage, distribution: &Distribution, drawn: Option<u32>, width: f32) -> [String; 3] {
    use std::fmt::Write;

    let scale = Scale::of(distribution);
    let pitch = width / distribution.rows.len().max(1) as f32;
    let mut paths = [String::new(), String::new(), String::new()];
    for (i, row) in distribution.rows.iter().enumerate() {
        let bar = stage.bar(row, &scale);
        let cut = row.kept.is_none() && matches!(stage, Stage::Chance | Stage::Kept | Stage::Score);
        let (bottom, top) = if cut { (0.0, 1.0) } else { bar.unwrap_or_default() };
        let (bottom, top) = (bottom.clamp(0.0, 1.0), top.clamp(0.0, 1.0));
        // A bar that is there is seen.
        let height = ((top - bottom) * HEIGHT).max(0.75);
        let path = if Some(row.id) == drawn && !cut { 2 } else { usize::from(cut) };
        let (x, y) = (i as f32 * pitch + pitch * 0.1, (1.0 - bottom) * HEIGHT - height);
        let _ = write!(paths[path], "M{x:.1} {y:.1}h{:.1}v{height:.1}h{:.1}z", pitch * 0.8, -pitch * 0.8);
        if cut && stage == Stage::Chance {
            // What it would have had, in front of the hatch.
            let height = (row.chance / scale.chance).clamp(0.0, 1.0) * HEIGHT;
            let y = HEIGHT - height;
            let _ = write!(paths[0], "M{x:.1} {y:.1}h{:.1}v{height:.1}h{:.1}z", pitch * 0.8, -pitch * 0.8);
        }
    }
    paths
}

/// The figure: a slider over tokens, whose Enter puts the pointed one into the text.
#[component]
pub fn Columns(
    /// What is shown.
    place: Place,
) -> impl IntoView {
    let frame = NodeRef::<Div>::new();
    let width = RwSignal::new(600.0_f32);
    effect(move || {
        if let Some(frame) = frame.get() {
            let measured = frame.clone();
            let measure = Closure::<dyn FnMut()>::new(move || {
                let now = measured.client_width() as f32;
                if now > 0.0 {
                    width.set(now);
                }
            });
            if let Ok(observer) = ResizeObserver::new(measure.as_ref().unchecked_ref()) {
                observer.observe(&frame);
            }
            // The figure stays as long as the page.
            measure.forget();
        }
    });
    let count = move || place.distribution.with(|at| at.rows.len());
    let step = move |event: &PointerEvent| {
        let bounds = frame.get_untracked()?.get_bounding_client_rect();
        let share = (f64::from(event.client_x()) - bounds.left()) / bounds.width();
        let rows = untrack(count);
        (rows > 0).then(|| ((share * rows as f64).max(0.0) as usize).min(rows - 1))
    };
    let on_keydown = move |event: KeyboardEvent| {
        let (Some(at), rows) = (untrack(|| place.index()), untrack(count)) else { return };
        match event.key().as_str() {
            "Escape" => place.pointed.set(None),
            "Enter" => {
                event.prevent_default();
                place.force();
            }
            key => {
                if let Some(to) = slide(key, at, rows) {
                    event.prevent_default();
                    place.point(to);
                }
            }
        }
    };
    // A mouse points by being there, and its button decides. A finger points first; the button below decides.
    let on_move = move |event: PointerEvent| step(&event).into_iter().for_each(|at| place.point(at));
    let on_up = move |event: PointerEvent| {
        step(&event).into_iter().for_each(|at| place.point(at));
        if event.pointer_type() == "mouse" && event.button() == 0 {
            place.force();
        }
    };
    let says = move || {
        let row = place.row()?;
        let kept = row.kept.map_or("cut off".into(), |kept| format!("{} after the cuts", percent(kept.into())));
        let logit = three(row.logit.into());
        Some(format!("‘{}’, logit {logit}, chance {}, {kept}", place.desk.glyph(row.id), percent(row.chance.into())))
    };
    let rows = Stage::ALL.map(|stage| {
        let paths = memo(move || place.distribution.with(|at| paths(stage, at, place.marked(), width.get())));
        let path = move |which: usize| move || paths.with(|paths| paths[which].clone());
        let scale = move || {
            place.distribution.with(|at| {
                let scale = Scale::of(at);
                match stage {
                    Stage::Logit => "rows 1 and 2 have one scale".to_owned(),
                    Stage::Scaled => place.temperature_says(),
                    Stage::Chance => format!("full height is {}", percent(scale.chance.into())),
                    Stage::Kept => format!("{} of {} tokens left", at.left, at.vocab),
                    Stage::Score => place.dice_say(),
                }
            })
        };
        view! {
            <div class="stage" data-stage=format!("{stage:?}").to_ascii_lowercase()>
                <p class="stage-name small"><span>{stage.name()}</span> <span class="soft">{live(scale)}</span></p>
                <svg
                    width="100%"
                    height=HEIGHT
                    viewBox=move || format!("0 0 {} {HEIGHT}", width.get())
                    preserveAspectRatio="none"
                    aria-hidden="true"
                    focusable="false"
                >
                    <path class="bar-cut" d=live(path(1))></path>
                    <path class="bar" d=live(path(0))></path>
                    <path class="bar-drawn" d=live(path(2))></path>
                </svg>
            </div>
        }
    });
    let pitch = memo(move || width.get() / count().max(1) as f32);
    let glyphs = move || {
        let pitch = pitch.get();
        place.distribution.with(|at| {
            // Narrow columns take turns in two lines; of narrower ones only some have their names.
            let lines = if pitch < 9.0 { 2 } else { 1 };
            let every = (4.2 / pitch).ceil().max(1.0) as usize;
            let labelled = at.rows.iter().enumerate().filter(|(i, _)| i % every == 0);
            labelled
                .map(|(i, row)| {
                    let glyph: String =
                        place.desk.glyph(row.id).chars().take(if pitch < 16.0 { 1 } else { 4 }).collect();
                    let class = if Some(row.id) == place.marked() { "glyph drawn" } else { "glyph" };
                    let y = 11 + 12 * (i / every % lines);
                    view! { <text class=class x=(i as f32 + 0.5) * pitch y=y>{glyph}</text> }
                })
                .collect_view()
        })
    };
    let pointer = move || place.index().map(|at| (at as f32 * pitch.get(), pitch.get()));
    view! {
        <div
            class="stages"
            node_ref=frame
            role="slider"
            tabindex="0"
            aria-label="Tokens that could stand here; Enter puts the one pointed at into the text"
            aria-valuemin="1"
            aria-valuemax=move || count().max(1)
            aria-valuenow=move || place.index().map_or(1, |at| at + 1)
            aria-valuetext=live(says)
            on:keydown=on_keydown
            on:pointermove=on_move
            on:pointerup=on_up
            on:pointerleave=move |event| {
                // A finger leaves whenever it is lifted.
                if event.pointer_type() == "mouse" {
                    place.pointed.set(None);
                }
            }
        >
            <svg width="0" height="0" class="unseen" aria-hidden="true" focusable="false">
                <pattern id="cut-hatch" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
                    <path class="hatch" d="M0 0V5"></path>
                </pattern>
            </svg>
            {rows.into_iter().collect_view()}
            <svg class="glyphs" width="100%" height="26" aria-hidden="true" focusable="false">{live(glyphs)}</svg>
            <div
                class="column-pointer"
                hidden=move || pointer().is_none()
                style:left=move || format!("{:.1}px", pointer().unwrap_or_default().0)
                style:width=move || format!("{:.1}px", pointer().unwrap_or_default().1)
            ></div>
        </div>
    }
}
