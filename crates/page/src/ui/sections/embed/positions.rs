//! The cosine map of positions.

use inkling_core::PositionEmbedding;
use leptos::html::Div;
use leptos::prelude::*;

use super::Place;
use super::legend::SignedLegend;
use crate::protocol::embed::{PositionMap, PositionSimilarity};
use crate::ui::canvas::{Picture, Pixels};
use crate::ui::chip::{Chip, Source};
use crate::ui::color::signed;
use crate::ui::number::three;
use crate::ui::order::largest_first;
use crate::ui::reactive::{effect, live, memo};
use crate::ui::remote::remote;
use crate::ui::store::Store;

/// The most positions that are compared.
const MOST: usize = 256;

/// Rows of the table.
const TOP: usize = 10;

/// The positions most alike to one, itself left out: position and cosine.
fn most_alike(map: &PositionSimilarity, row: usize) -> Vec<(usize, f32)> {
    let cosines = &map.cosines[row * map.positions..][..map.positions];
    let others = largest_first(cosines.iter().copied()).into_iter().filter(|&position| position != row);
    others.take(TOP).map(|position| (position, cosines[position])).collect()
}

/// Where a key leads from a cell: up and down change the row, left and right the column.
fn step(key: &str, (row, column): (usize, usize), n: usize) -> Option<(usize, usize)> {
    let last = n.checked_sub(1)?;
    Some(match key {
        "ArrowUp" => (row.saturating_sub(1), column),
        "ArrowDown" => ((row + 1).min(last), column),
        "ArrowLeft" => (row, column.saturating_sub(1)),
        "ArrowRight" => (row, (column + 1).min(last)),
        "PageUp" => (row.saturating_sub(8), column),
        "PageDown" => ((row + 8).min(last), column),
        "Home" => (row, 0),
        "End" => (row, last),
        _ => return None,
    })
}

/// The second panel.
#[component]
pub fn Positions(
    /// What all figures share.
    store: Store,
    /// The picked token, whose position is the row that is looked at.
    place: Memo<Option<Place>>,
) -> impl IntoView {
    let map = remote(store.client, move || store.model.get().map(|_| PositionMap { positions: MOST }));
    let n = memo(move || map.get().map_or(0, |map| map.positions));
    let cell = RwSignal::new((0_usize, 0_usize));
    let pointed = RwSignal::new(None::<(usize, usize)>);
    // The text's picked token leads; what is picked here stays until another is picked there.
    effect(move || {
        let position = place.get().and_then(|place| place.position).unwrap_or(0);
        let position = position.min(n.get().saturating_sub(1));
        cell.set((position, position.saturating_sub(1)));
    });
    let inside = move |(row, column): (usize, usize)| {
        let last = n.get().saturating_sub(1);
        (row.min(last), column.min(last))
    };
    let locked = memo(move || inside(cell.get()));
    let shown = memo(move || pointed.get().map_or(locked.get(), inside));
    let picture = Signal::derive(move || {
        let Some(map) = map.get() else { return Picture::default() };
        let n = map.positions;
        Picture::new(n, n, |row, column| Some(signed(map.cosines[row * n + column], store.dark.get())))
    });
    let words = move |(row, column): (usize, usize)| {
        let map = map.get()?;
        let cosine = map.cosines.get(row * map.positions + column)?;
        Some(format!("position {row} and position {column}: {}", three((*cosine).into())))
    };
    let square = NodeRef::<Div>::new();
    let under = move |event: &web_sys::PointerEvent| -> Option<(usize, usize)> {
        let bounds = square.get_untracked()?.get_bounding_client_rect();
        let n = n.get_untracked();
        let index = |at: i32, start: f64, size: f64| {
            let share = (f64::from(at) - start) / size;
            (0.0..1.0).contains(&share).then_some((share * n as f64) as usize)
        };
        let row = index(event.client_y(), bounds.top(), bounds.height())?;
        Some((row, index(event.client_x(), bounds.left(), bounds.width())?))
    };
    let on_key = move |event: web_sys::KeyboardEvent| {
        if event.key() == "Escape" {
            pointed.set(None);
            let row = place.get_untracked().and_then(|place| place.position).unwrap_or(0);
            cell.set((row, row.saturating_sub(1)));
        } else if let Some(to) = step(&event.key(), locked.get_untracked(), n.get_untracked()) {
            event.prevent_default();
            pointed.set(None);
            cell.set(to);
        }
    };
    let share = move |index: usize| format!("{}%", (index as f64 + 0.5) / n.get().max(1) as f64 * 100.0);
    let table = move || {
        let map = map.get()?;
        let (row, _) = locked.get();
        (row < map.positions).then(|| {
            most_alike(&map, row)
                .into_iter()
                .map(|(position, cosine)| {
                    let away = position as i64 - row as i64;
                    let away = if away < 0 { format!("{} before", -away) } else { format!("{away} after") };
                    view! {
                        <tr>
                            <td class="number">{position}</td>
                            <td class="number">{three(cosine.into())}</td>
                            <td class="soft">{away}</td>
                        </tr>
                    }
                })
                .collect_view()
        })
    };
    let none = move || {
        let map = map.get()?;
        (map.positions == 0)
            .then_some("This model has no rows of positions to compare: it knows places otherwise, or not at all.")
    };
    let origin = move || {
        let learned = store.model.get()?.config.position_embedding_type == PositionEmbedding::Learned;
        Some(if learned {
            "Nobody told it that 12 comes after 11: it learnt that from text."
        } else {
            "Here that is by design: the rows are sines and cosines, and nothing of them is learnt."
        })
    };
    let part = move || {
        let map = map.get()?;
        (map.positions < map.all).then(|| format!("The first {} of {} positions.", map.positions, map.all))
    };
    let chip = Signal::derive(move || {
        let n = n.get();
        if n == 0 { String::new() } else { format!("cos(wpe, wpe) [{n}, {n}]") }
    });
    view! {
        <div class="panel embed-panel">
            <div class="embed-head">
                <h3>"Near places have like rows"</h3>
                <Chip source=Source::Live shape=chip />
            </div>
            <p class="sentence">{move || map.failure.get().map(|failure| failure.message)}</p>
            <p class="soft">{live(none)}</p>
            <div class="embed-positions" hidden=move || n.get() == 0>
                <div>
                    <div
                        class="embed-square"
                        id="embed-positions"
                        node_ref=square
                        role="slider"
                        tabindex="0"
                        aria-label="Two positions: up and down choose the first, left and right the second"
                        aria-valuemin="0"
                        aria-valuemax=move || n.get().saturating_sub(1).to_string()
                        aria-valuenow=move || locked.get().1.to_string()
                        aria-valuetext=move || words(locked.get())
                        on:keydown=on_key
                        on:pointermove=move |event| pointed.set(under(&event))
                        on:pointerleave=move |_| pointed.set(None)
                        on:pointerdown=move |event| if let Some(to) = under(&event) { cell.set(to) }
                    >
                        <Pixels picture=picture class="embed-map-pixels" />
                        <div class="embed-cross-row" style:top=move || share(shown.get().0)></div>
                        <div class="embed-cross-column" style:left=move || share(shown.get().1)></div>
                    </div>
                    <p class="embed-readout mono" id="embed-position-pair">{move || words(shown.get())}</p>
                    <SignedLegend store=store limit=Signal::derive(|| "1".to_owned()) />
                    <p class="soft small">{live(part)}</p>
                </div>
                <div>
                    <p class="small">
                        "Each cell compares the rows of two positions: 1 is the same direction, 0 unrelated, −1 opposite. Along the diagonal a position meets itself. A band beside it means that neighbours have like rows, so the model can tell near from far. "
                        {live(origin)}
                    </p>
                    <table>
                        <caption class="embed-caption">"Most alike to position " <b>{move || locked.get().0}</b></caption>
                        <thead>
                            <tr><th class="number">"position"</th><th class="number">"cosine"</th><th>"places away"</th></tr>
                        </thead>
                        <tbody id="embed-alike">{live(table)}</tbody>
                    </table>
                </div>
            </div>
        </div>
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Values;

    #[test]
    fn the_most_alike_come_first_and_never_itself() {
        let cosines = Values(vec![1.0, 0.2, 0.2, 0.2, 1.0, -0.5, 0.2, -0.5, 1.0]);
        let map = PositionSimilarity { positions: 3, all: 3, cosines };
        assert_eq!(most_alike(&map, 0), [(1, 0.2), (2, 0.2)]);
        assert_eq!(most_alike(&map, 2), [(0, 0.2), (1, -0.5)]);
    }

    #[test]
    fn keys_move_the_cell_inside_the_map() {
        assert_eq!(step("ArrowUp", (0, 3), 4), Some((0, 3)));
        assert_eq!(step("ArrowDown", (0, 3), 4), Some((1, 3)));
        assert_eq!(step("ArrowRight", (0, 3), 4), Some((0, 3)));
        assert_eq!(step("PageDown", (0, 3), 4), Some((3, 3)));
        assert_eq!(step("Home", (2, 3), 4), Some((2, 0)));
        assert_eq!(step("x", (2, 3), 4), None);
        assert_eq!(step("End", (0, 0), 0), None);
    }
}
