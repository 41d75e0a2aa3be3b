//! The heat map of the text's own pairs of characters.

use leptos::html::Div;
use leptos::prelude::*;
use web_sys::{KeyboardEvent, MouseEvent};

use super::bigrams::{Bigrams, bigrams};
use super::chips::spoken;
use crate::ui::canvas::{Picture, Pixels};
use crate::ui::chip::{Chip, Source};
use crate::ui::color::sequential;
use crate::ui::number::{count, percent, visible};
use crate::ui::reactive::{live, memo};
use crate::ui::store::Store;

/// Rows and columns at most: smaller cells cannot be pointed at.
const MOST: usize = 40;
/// Pairs in the table.
const TOP: usize = 10;

/// Row and column.
type Cell = (usize, usize);

/// Which character follows which in the visitor's text.
#[component]
pub fn Heat(store: Store) -> impl IntoView {
    let found = memo(move || store.view.text.with(|text| bigrams(text, MOST, TOP)));
    let (locked, hovered) = (RwSignal::new(None::<Cell>), RwSignal::new(None::<Cell>));
    let size = memo(move || found.with(|found| found.characters.len()));
    let cell =
        memo(move || hovered.get().or(locked.get()).filter(|&(row, column)| row < size.get() && column < size.get()));
    let shape = Signal::derive(move || {
        found.with(|found| {
            let n = found.characters.len();
            if n == 0 {
                return String::new();
            }
            let of = if found.distinct > n {
                format!(", the commonest of {}", count(found.distinct as u64))
            } else {
                String::new()
            };
            format!("pairs of your text [{n}, {n}]{of}")
        })
    });
    view! {
        <div class="panel tk-pairs">
            <div class="tk-head"><h3>"Which character follows which"</h3> <Chip source=Source::Live shape/></div>
            <p class="small soft">
                "Counted in your text alone. A model that knew no more than this table would guess the next character from the one before it."
            </p>
            <Show
                when=move || found.with(|found| found.pairs > 0)
                fallback=|| view! { <p>"A pair needs two characters: type some more."</p> }
            >
                <div class="tk-pairs-body">
                    <div class="tk-map-side">
                        <Map found size cell locked hovered dark=store.dark/>
                        <p class="tk-readout" id="tokenize-pair">{move || found.with(|found| readout(found, cell.get()))}</p>
                        <Legend found dark=store.dark/>
                    </div>
                    <table>
                        <caption class="small soft">"The ten commonest pairs"</caption>
                        <thead><tr><th scope="col">"pair"</th><th scope="col" class="number">"times"</th><th scope="col" class="number">"share"</th></tr></thead>
                        <tbody>{move || found.with(table)}</tbody>
                    </table>
                </div>
            </Show>
        </div>
    }
}

/// Axes, canvas and crosshair.
#[component]
fn Map(
    found: Memo<Bigrams>,
    size: Memo<usize>,
    cell: Memo<Option<Cell>>,
    locked: RwSignal<Option<Cell>>,
    hovered: RwSignal<Option<Cell>>,
    dark: RwSignal<bool>,
) -> impl IntoView {
    let area = NodeRef::<Div>::new();
    let picture = Signal::derive(move || {
        let dark = dark.get();
        found.with(|found| {
            let n = found.characters.len();
            let share = |count: u32| (count as f32 / found.largest.max(1) as f32).sqrt();
            Picture::new(n, n, |row, column| match found.counts[row * n + column] {
                0 => None,
                count => Some(sequential(share(count), dark)),
            })
        })
    });
    let at = move |event: &MouseEvent| -> Option<Cell> {
        let bounds = area.get_untracked()?.get_bounding_client_rect();
        let n = size.get_untracked() as f64;
        let index = |offset: f64, whole: f64| (offset / whole * n).clamp(0.0, n - 1.0) as usize;
        let (x, y) = (f64::from(event.client_x()) - bounds.left(), f64::from(event.client_y()) - bounds.top());
        Some((index(y, bounds.height()), index(x, bounds.width())))
    };
    let on_key = move |event: KeyboardEvent| {
        let last = size.get_untracked().saturating_sub(1);
        let (row, column) = locked.get_untracked().map_or((0, 0), |(row, column)| (row.min(last), column.min(last)));
        let first = locked.get_untracked().is_none();
        let to = match event.key().as_str() {
            "Escape" => None,
            "ArrowRight" | "ArrowLeft" | "ArrowUp" | "ArrowDown" if first => Some((0, 0)),
            "ArrowRight" => Some((row, (column + 1).min(last))),
            "ArrowLeft" => Some((row, column.saturating_sub(1))),
            "ArrowDown" => Some(((row + 1).min(last), column)),
            "ArrowUp" => Some((row.saturating_sub(1), column)),
            "PageDown" => Some(((row + 8).min(last), column)),
            "PageUp" => Some((row.saturating_sub(8), column)),
            "Home" => Some((row, 0)),
            "End" => Some((row, last)),
            _ => return,
        };
        event.prevent_default();
        hovered.set(None);
        locked.set(to);
    };
    let axis =
        move || found.with(|found| found.characters.iter().map(|&c| view! { <span>{shown(c)}</span> }).collect_view());
    let place = move |index: fn(Cell) -> usize| {
        move || {
            let tenths = cell.get().map_or(0, |cell| index(cell) * 1000 / size.get().max(1));
            format!("{}.{}%", tenths / 10, tenths % 10)
        }
    };
    let side = move || {
        let tenths = 1000 / size.get().max(1);
        format!("{}.{}%", tenths / 10, tenths % 10)
    };
    view! {
        <div class="tk-map" style=("--count", move || size.get().to_string())>
            <span class="tk-corner small soft">"↓ this, then that →"</span>
            <div class="tk-axis tk-next" aria-hidden="true">{live(axis)}</div>
            <div class="tk-axis tk-current" aria-hidden="true">{live(axis)}</div>
            <div
                class="tk-area"
                role="slider"
                tabindex="0"
                aria-label="Pair of characters: arrow keys move to another row or column, Escape leaves"
                aria-valuemin="0"
                aria-valuemax=move || (size.get() * size.get()).saturating_sub(1)
                aria-valuenow=move || cell.get().map_or(0, |(row, column)| row * size.get() + column)
                aria-valuetext=move || found.with(|found| readout(found, cell.get()))
                node_ref=area
                on:pointermove=move |event| hovered.set(at(&event))
                on:pointerleave=move |_| hovered.set(None)
                on:click=move |event| locked.set(at(&event))
                on:keydown=on_key
            >
                <Pixels picture/>
                <div class="tk-row" class:off=move || cell.get().is_none() style:top=live(place(|cell| cell.0)) style:height=live(side)></div>
                <div class="tk-column" class:off=move || cell.get().is_none() style:left=live(place(|cell| cell.1)) style:width=live(side)></div>
            </div>
        </div>
    }
}

/// What colours mean.
#[component]
fn Legend(found: Memo<Bigrams>, dark: RwSignal<bool>) -> impl IntoView {
    let ramp = Signal::derive(move || {
        let dark = dark.get();
        Picture::new(64, 1, |_, column| Some(sequential(column as f32 / 63.0, dark)))
    });
    view! {
        <p class="tk-legend small soft">
            <span>"0"</span> <Pixels picture=ramp class="tk-ramp"/> <span>{move || found.with(|found| count(found.largest.into()))}</span>
            <span>"times; colour by √(count ÷ largest), empty where never"</span>
        </p>
    }
}

fn shown(c: char) -> String {
    visible(c.encode_utf8(&mut [0; 4]))
}

/// A cell in words.
fn readout(found: &Bigrams, cell: Option<Cell>) -> String {
    let n = found.characters.len();
    let Some((row, column)) = cell.filter(|&(row, column)| row < n && column < n) else {
        return "Point at a cell, or move with the arrow keys.".into();
    };
    let name = |at: usize| spoken(found.characters[at].encode_utf8(&mut [0; 4]));
    let (times, total) = (found.counts[row * n + column], found.totals[row]);
    let share = if times == 0 {
        String::new()
    } else {
        format!(", {} of what follows it", percent(f64::from(times) / f64::from(total)))
    };
    let times = match times {
        0 => "never".to_owned(),
        1 => "once".to_owned(),
        times => format!("{} times", count(times.into())),
    };
    format!("{}, then {}: {times}{share}.", name(row), name(column))
}

fn table(found: &Bigrams) -> impl IntoView + use<> {
    let share = |count: u32| percent(f64::from(count) / found.pairs.max(1) as f64);
    let row = |&(first, second, times): &(char, char, u32)| {
        view! {
            <tr>
                <td><code>{shown(first)}{shown(second)}</code></td>
                <td class="number">{count(times.into())}</td>
                <td class="number">{share(times)}</td>
            </tr>
        }
    };
    found.top.iter().map(row).collect_view()
}
