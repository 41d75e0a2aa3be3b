//! The token table on its two principal components: a letter at its place, or a dot where there are many.

use std::fmt::Write;

use leptos::prelude::*;
use leptos::svg::Svg;

use super::bars::Found;
use super::classes::{Class, capital};
use super::{SHOWN_WHOLE, named};
use crate::protocol::embed::{MAX_MAP_TOKENS, TokenMap, TokenMapFound};
use crate::ui::number::{count, percent};
use crate::ui::reactive::{live, memo};
use crate::ui::remote::remote;
use crate::ui::store::Store;

/// Of the drawing.
const WIDTH: f32 = 560.0;
const HEIGHT: f32 = 440.0;
const MARGIN: f32 = 20.0;

/// Directions are of length 1: a map narrower than this has its tokens in one place.
const NARROW: f32 = 1e-6;

/// Places on the drawing: one scale for both axes, so that distances are true.
fn lay_out(map: &TokenMapFound) -> Vec<[f32; 2]> {
    let range = |axis: usize| {
        let values = map.places.iter().skip(axis).step_by(2);
        values.fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &x| (low.min(x), high.max(x)))
    };
    let ((left, right), (bottom, top)) = (range(0), range(1));
    let (width, height) = ((right - left).max(NARROW), (top - bottom).max(NARROW));
    let scale = ((WIDTH - 2.0 * MARGIN) / width).min((HEIGHT - 2.0 * MARGIN) / height);
    let centre = [(left + right) / 2.0, (bottom + top) / 2.0];
    map.places
        .chunks_exact(2)
        .map(|place| [WIDTH / 2.0 + (place[0] - centre[0]) * scale, HEIGHT / 2.0 - (place[1] - centre[1]) * scale])
        .collect()
}

/// How far marks keep from each other.
const APART: f32 = 21.0;

/// Moves marks apart that would cover each other, each as little as it takes.
fn move_apart(mut places: Vec<[f32; 2]>) -> Vec<[f32; 2]> {
    for _ in 0..60 {
        for a in 0..places.len() {
            for b in 0..a {
                let [x, y] = [places[a][0] - places[b][0], places[a][1] - places[b][1]];
                let distance = x.hypot(y);
                if distance < APART {
                    let (x, y) = if distance > 0.0 { (x / distance, y / distance) } else { (1.0, 0.0) };
                    let half = (APART - distance) / 2.0;
                    for (mark, sign) in [(a, half), (b, -half)] {
                        places[mark][0] = (places[mark][0] + x * sign).clamp(MARGIN, WIDTH - MARGIN);
                        places[mark][1] = (places[mark][1] + y * sign).clamp(MARGIN, HEIGHT - MARGIN);
                    }
                }
            }
        }
    }
    places
}

/// The token whose place is nearest to a point.
fn nearest(places: &[[f32; 2]], point: [f32; 2]) -> Option<u32> {
    let distance = |place: &[f32; 2]| (place[0] - point[0]).powi(2) + (place[1] - point[1]).powi(2);
    (0..).zip(places).min_by(|a, b| distance(a.1).total_cmp(&distance(b.1))).map(|(id, _)| id)
}

/// The map. Everything on it can be chosen in the list of tokens too.
#[component]
pub fn Map(
    /// What all figures share.
    store: Store,
    /// The chosen token.
    chosen: Memo<Option<u32>>,
    /// Its neighbours.
    found: Found,
    /// Called with a token that is pressed.
    pick: Callback<u32>,
) -> impl IntoView {
    let map = remote(store.client, move || store.model.get().map(|_| TokenMap));
    let places = memo(move || {
        let places = map.get().map(|map| lay_out(&map)).unwrap_or_default();
        if places.len() <= SHOWN_WHOLE { move_apart(places) } else { places }
    });
    let at = move |id: u32| places.get().get(id as usize).copied();
    let svg = NodeRef::<Svg>::new();
    let on_click = move |event: web_sys::MouseEvent| {
        let Some(svg) = svg.get_untracked() else { return };
        let bounds = svg.get_bounding_client_rect();
        let x = (f64::from(event.client_x()) - bounds.left()) / bounds.width();
        let y = (f64::from(event.client_y()) - bounds.top()) / bounds.height();
        if let Some(id) = nearest(&places.get_untracked(), [x as f32 * WIDTH, y as f32 * HEIGHT]) {
            pick.run(id);
        }
    };
    let mark = move |id: u32, class: &str| {
        let model = store.model.get()?;
        let text = model.vocabulary.get(id as usize)?;
        let [x, y] = at(id)?;
        let capital = if capital(text) { " embed-capital" } else { "" };
        Some(view! {
            <g class=format!("embed-mark {}{capital} {class}", Class::of(text).name()) transform=format!("translate({x:.1} {y:.1})")>
                <path d=Class::of(text).outline()></path>
                <text y="5">{named(Some(&model), id)}</text>
            </g>
        })
    };
    let all = move || {
        let places = places.get();
        if places.len() <= SHOWN_WHOLE {
            return (0..places.len() as u32).map(|id| mark(id, "")).collect_view().into_any();
        }
        let dots = places.iter().fold(String::new(), |mut path, [x, y]| {
            let _ = write!(path, "M{x:.0} {y:.0}h0");
            path
        });
        view! { <path class="embed-dots" d=dots></path> }.into_any()
    };
    let near =
        move || found.nearest.get().map(|found| found.nearest.iter().take(5).map(|&(id, _)| id).collect::<Vec<_>>());
    let lines = move || {
        let [x1, y1] = at(chosen.get()?)?;
        let line = |id: u32| {
            let [x2, y2] = at(id)?;
            Some(view! { <line class="embed-line" x1=x1 y1=y1 x2=x2 y2=y2></line> })
        };
        Some(near()?.into_iter().filter_map(line).collect_view())
    };
    let front = move || {
        let chosen = chosen.get()?;
        let near = near()?.into_iter().filter_map(|id| mark(id, "embed-near")).collect_view();
        Some((near, mark(chosen, "embed-chosen")))
    };
    let none = move || {
        let (map, model) = (map.get()?, store.model.get()?);
        (map.places.is_empty()).then(|| {
            format!(
                "{} tokens would be a grey cloud: the map is drawn for vocabularies of up to {}.",
                count(model.vocabulary.len() as u64),
                count(MAX_MAP_TOKENS as u64)
            )
        })
    };
    let shares = move || {
        let shares = map.get()?.shares;
        Some(format!(
            "Of all flat pictures of these directions, the one that shows most: {} of their variance across, {} upwards. Letters that would cover each other are moved apart. Lines lead to the five nearest in all channels, which need not be near here.",
            percent(shares[0].into()),
            percent(shares[1].into())
        ))
    };
    let legend = Class::ALL.map(|(class, name)| {
        view! {
            <span class="embed-key">
                <svg viewBox="-14 -14 28 28" aria-hidden="true"><g class=format!("embed-mark {}", class.name())><path d=class.outline()></path></g></svg>
                {name}
            </span>
        }
    });
    let empty = move || places.with(Vec::is_empty);
    view! {
        <div class="embed-map">
            <p class="sentence">{move || map.failure.get().map(|failure| failure.message)}</p>
            <p class="soft">{live(none)}</p>
            <div hidden=live(empty)>
                <svg node_ref=svg id="embed-map" viewBox=format!("0 0 {WIDTH} {HEIGHT}") aria-hidden="true" on:click=on_click>
                    {live(all)}
                    {live(lines)}
                    {live(front)}
                </svg>
                <p class="small embed-keys">{legend} <span class="embed-key">"capitals are filled"</span></p>
                <p class="small soft">{live(shares)}</p>
            </div>
        </div>
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Values;

    fn map(places: &[f32]) -> TokenMapFound {
        TokenMapFound { places: Values(places.to_vec()), shares: [0.5, 0.2] }
    }

    #[test]
    fn places_fill_the_drawing_and_keep_their_shape() {
        let places = lay_out(&map(&[-1.0, 0.0, 1.0, 0.0, 0.0, 0.5]));
        assert_eq!(places[0][0], MARGIN);
        assert_eq!(places[1][0], WIDTH - MARGIN);
        // Upwards is up.
        assert!(places[2][1] < places[0][1]);
        let scale = (places[1][0] - places[0][0]) / 2.0;
        assert!((places[0][1] - places[2][1] - 0.5 * scale).abs() < 1e-3);
        assert!(lay_out(&map(&[0.0; 4])).iter().all(|place| *place == [WIDTH / 2.0, HEIGHT / 2.0]));
        assert!(lay_out(&map(&[])).is_empty());
    }

    #[test]
    fn marks_do_not_cover_each_other() {
        let places = move_apart(vec![[100.0, 100.0], [100.0, 100.0], [105.0, 100.0], [300.0, 300.0]]);
        for a in 0..4 {
            for b in 0..a {
                let distance = (places[a][0] - places[b][0]).hypot(places[a][1] - places[b][1]);
                assert!(distance > APART - 1.0, "{places:?}");
            }
        }
        assert_eq!(places[3], [300.0, 300.0]);
    }

    #[test]
    fn a_press_picks_the_nearest() {
        assert_eq!(nearest(&[[0.0, 0.0], [10.0, 0.0]], [7.0, 3.0]), Some(1));
        assert_eq!(nearest(&[], [0.0, 0.0]), None);
    }
}
