//! The stack as a picture: the spine, the branches off it, a rectangle per matrix.
//!
//! One tab stop; arrows move between parts, Enter (or a click) locks, Esc clears. What is drawn of a part follows the scene by attributes:
//! a change of size moves rectangles, it does not make new ones.

use leptos::ev::KeyboardEvent;
use leptos::prelude::*;
use wasm_bindgen::JsCast;

use super::parts::{Id, Kind, Part};
use super::scene::{Area, Branch, Placed, SPINE, Scene};
use crate::ui::number::{count, percent};
use crate::ui::reactive::{live, memo};

/// What is drawn, and what is picked in it.
#[derive(Clone, Copy)]
pub struct Picked {
    /// Under the pointer, or with the focus.
    pub over: RwSignal<Option<Id>>,
    /// Locked.
    pub locked: RwSignal<Option<Id>>,
    /// Where the tab stop is.
    pub stop: RwSignal<Option<Id>>,
}

impl Picked {
    /// Nothing.
    pub fn new() -> Self {
        Self { over: RwSignal::new(None), locked: RwSignal::new(None), stop: RwSignal::new(None) }
    }

    /// What to tell of.
    pub fn shown(self) -> Option<Id> {
        self.over.get().or(self.locked.get())
    }
}

/// A part's element.
fn element_id(id: Id) -> String {
    format!("stack-{}", id.name().replace('.', "-"))
}

fn number(value: f64) -> String {
    let tenths = (value * 10.0).round() as i64;
    let sign = if tenths < 0 { "-" } else { "" };
    format!("{sign}{}.{}", tenths.abs() / 10, tenths.abs() % 10)
}

fn path(points: &[(f64, f64)]) -> String {
    let mut path = String::new();
    for (i, (x, y)) in points.iter().enumerate() {
        path.push(if i == 0 { 'M' } else { 'L' });
        path += &number(*x);
        path.push(' ');
        path += &number(*y);
    }
    path
}

/// The spine, from the first branch to the last.
fn spine(scene: &Scene) -> String {
    let (Some(first), Some(last)) = (scene.branches.first(), scene.branches.last()) else { return String::new() };
    path(&[(SPINE, first.y), (SPINE, last.y)])
}

/// All branches as one path: out, along, and back.
fn branches(scene: &Scene) -> String {
    let way = |branch: &Branch| match branch.back {
        Some(back) => {
            path(&[(SPINE, branch.y), (branch.right + 8.0, branch.y), (branch.right + 8.0, back), (SPINE + 5.0, back)])
        }
        None => path(&[(SPINE, branch.y), (branch.right, branch.y)]),
    };
    scene.branches.iter().map(way).collect()
}

/// From a tied head to the table that it borrows.
fn tie(scene: &Scene, tied: bool) -> String {
    let of = |kind| scene.placed.iter().find(|placed| placed.id.kind == kind);
    let (Some(tokens), Some(head)) = (of(Kind::Tokens), of(Kind::Head)) else { return String::new() };
    if !tied {
        return String::new();
    }
    let y = |placed: &Placed| placed.area.y + placed.area.h / 2.0 + 7.0;
    path(&[(tokens.area.x, y(tokens)), (8.0, y(tokens)), (8.0, y(head)), (head.area.x, y(head))])
}

/// Whether a part's label has room in it.
fn label_fits(id: Id, area: Area) -> bool {
    area.w >= 6.7 * id.kind.label().len() as f64 + 4.0 && area.h >= 15.0
}

/// A text somewhere.
type Note = (f64, f64, &'static str, String);

/// Names of blocks, and the shapes that flow.
fn notes(scene: &Scene, parts: &[Part], layers: usize) -> Vec<Note> {
    let mut notes = Vec::new();
    let shape = |id: Id| {
        let part = parts.iter().find(|part| part.id == id)?;
        Some(format!("[{}, {}]", part.out[0], part.out[1]))
    };
    for placed in &scene.placed {
        let branch = &scene.branches[placed.row];
        let bottom = branch.back.map_or(branch.y + placed.target.h / 2.0 + 4.0, |back| back + 1.0);
        if placed.id.kind == Kind::Norm1 {
            let name = match scene.hidden_blocks {
                0 => format!("block {}", placed.id.layer),
                more => format!("{} × this block: h.0 … h.{}", more + 1, layers - 1),
            };
            notes.push((SPINE + 12.0, branch.top - 7.0, "stack-block", name));
        }
        if !label_fits(placed.id, placed.area) {
            let Area { x, w, h, y } = placed.area;
            match placed.id.kind {
                Kind::Tokens | Kind::Positions => {
                    notes.push((
                        x + w / 2.0,
                        y + h + 12.0,
                        "stack-flow stack-flow-middle",
                        placed.id.kind.label().into(),
                    ));
                }
                // Beside its way back, where the line is free.
                Kind::Out if branch.right + 60.0 < scene.width => {
                    notes.push((branch.right + 13.0, branch.y + 4.0, "stack-flow", placed.id.kind.label().into()));
                }
                _ => {}
            }
        }
        let is_matrix = matches!(placed.id.kind, Kind::Qkv | Kind::Up | Kind::Head);
        if is_matrix && let Some(shape) = shape(placed.id) {
            let Area { x, w, .. } = placed.area;
            let fits = w >= 7.0 * shape.len() as f64;
            if placed.id.kind == Kind::Head {
                notes.push((x + w + 8.0, branch.y + 4.0, "stack-flow", format!("→ {shape}")));
            } else if fits {
                notes.push((x + w, bottom + 11.0, "stack-flow stack-flow-end", shape));
            }
        }
    }
    let is_table = |placed: &&Placed| matches!(placed.id.kind, Kind::Tokens | Kind::Positions);
    if let Some(last) = scene.placed.iter().rfind(is_table)
        && let Some(shape) = shape(last.id)
    {
        let branch = &scene.branches[last.row];
        if branch.right + 140.0 < scene.width {
            notes.push((branch.right + 8.0, branch.y + 4.0, "stack-flow", format!("→ {shape}")));
        }
    }
    notes
}

/// The picture.
#[component]
pub fn Drawing(
    /// Where everything is.
    scene: Memo<Scene>,
    /// What everything is.
    parts: Memo<Vec<Part>>,
    /// Factors on numbers of weights, where the model is not the loaded one.
    changes: Memo<Vec<(Id, String)>>,
    /// Blocks of the model.
    #[prop(into)]
    layers: Signal<usize>,
    /// Whether the head borrows the token table.
    #[prop(into)]
    tied: Signal<bool>,
    /// What is picked.
    picked: Picked,
) -> impl IntoView {
    let ids = move || scene.with(|scene| scene.placed.iter().map(|placed| placed.id).collect::<Vec<_>>());
    let size = move || scene.with(|scene| (number(scene.width), number(scene.height)));
    let total = memo(move || parts.with(|parts| parts.iter().map(|part| part.count).sum::<u64>()));
    let stop = move || {
        let stop = picked.stop.get();
        scene.with(|scene| stop.filter(|&id| scene.find(id).is_some()).or(scene.placed.first().map(|first| first.id)))
    };
    let on_key = move |event: KeyboardEvent| {
        if event.ctrl_key() || event.alt_key() || event.meta_key() {
            return;
        }
        let key = event.key();
        let Some(at) = untrack(stop) else { return };
        match key.as_str() {
            "Enter" | " " => picked.locked.update(|locked| *locked = if *locked == Some(at) { None } else { Some(at) }),
            "Escape" => {
                picked.locked.set(None);
                picked.over.set(None);
            }
            key => {
                let Some(to) = scene.with_untracked(|scene| scene.towards(at, key)) else { return };
                picked.stop.set(Some(to));
                let element = document().get_element_by_id(&element_id(to));
                if let Some(element) = element.and_then(|element| element.dyn_into::<web_sys::SvgElement>().ok()) {
                    // Fails only for an element that cannot have the focus.
                    let _ = element.focus();
                }
            }
        }
        event.prevent_default();
    };
    let part = move |id: Id| {
        let placed = memo(move || scene.with(|scene| scene.find(id).copied()));
        let area = move || placed.get().map(|placed| placed.area).unwrap_or_default();
        let target = move || placed.get().map(|placed| placed.target).unwrap_or_default();
        let ghost = move || {
            let placed = placed.get()?;
            placed.ghost.filter(|&(w, h)| (w - placed.area.w).abs() > 0.05 || (h - placed.area.h).abs() > 0.05)
        };
        let weights =
            memo(move || parts.with(|parts| parts.iter().find(|part| part.id == id).map_or(0, |part| part.count)));
        let label = move || {
            let (count_here, total) = (weights.get(), total.get());
            let name = id.name();
            match count_here {
                0 => format!("{name}, no weights of its own"),
                n => format!("{name}, {} weights, {} of all", count(n), percent(n as f64 / total as f64)),
            }
        };
        let change =
            move || changes.with(|changes| changes.iter().find(|(of, _)| *of == id).map(|(_, factor)| factor.clone()));
        let fits = move |w: f64, h: f64| area().w >= w && area().h >= h;
        let is_tied = move || id.kind == Kind::Head && tied.get();
        let group = id.kind.group().class();
        let class = move || {
            let mut class = format!("stack-part stack-{group}");
            for (name, holds) in [
                ("stack-locked", picked.locked.get() == Some(id)),
                ("stack-over", picked.over.get() == Some(id)),
                ("stack-tied", is_tied()),
                ("stack-mix", id.kind == Kind::Mix),
            ] {
                if holds {
                    class.push(' ');
                    class += name;
                }
            }
            class
        };
        let middle = move || {
            let Area { x, y, w, h } = area();
            (x + w / 2.0, y + h / 2.0)
        };
        let two_lines = move || change().is_some() && fits(44.0, 34.0);
        let round = move || if id.kind == Kind::Mix { "12" } else { "2" };
        view! {
            <g
                id=element_id(id)
                class=live(class)
                role="button"
                tabindex=move || if stop() == Some(id) { "0" } else { "-1" }
                aria-label=live(label)
                aria-pressed=move || (picked.locked.get() == Some(id)).to_string()
                on:click=move |_| {
                    picked.stop.set(Some(id));
                    picked.locked.update(|locked| *locked = if *locked == Some(id) { None } else { Some(id) });
                }
                on:pointerenter=move |event| if event.pointer_type() == "mouse" { picked.over.set(Some(id)) }
                on:pointerleave=move |_| picked.over.set(None)
                on:focus=move |_| {
                    picked.stop.set(Some(id));
                    picked.over.set(Some(id));
                }
                on:blur=move |_| picked.over.set(None)
            >
                <rect
                    class="stack-target"
                    x=move || number(target().x)
                    y=move || number(target().y)
                    width=move || number(target().w)
                    height=move || number(target().h)
                />
                <rect
                    class="stack-fill"
                    rx=live(round)
                    x=move || number(area().x)
                    y=move || number(area().y)
                    width=move || number(area().w)
                    height=move || number(area().h)
                />
                {move || {
                    ghost().map(|(w, h)| {
                        let Area { x, y, .. } = area();
                        view! { <rect class="stack-ghost" rx="2" x=number(x) y=number(y) width=number(w) height=number(h) /> }
                    })
                }}
                <text class="stack-label" x=move || number(middle().0) y=move || number(middle().1 + if two_lines() { -3.0 } else { 4.0 })>
                    {move || match id.kind {
                        Kind::Mix => "⋈".to_owned(),
                        kind => {
                            let text = kind.label();
                            if label_fits(id, area()) { text.to_owned() } else { String::new() }
                        }
                    }}
                </text>
                <text class="stack-change" x=move || number(middle().0) y=move || number(middle().1 + 12.0)>
                    {move || if two_lines() { change() } else { None }}
                </text>
            </g>
        }
    };
    let notes = move || {
        let layers = layers.get();
        let notes = scene.with(|scene| parts.with(|parts| notes(scene, parts, layers)));
        let note = |(x, y, class, text)| view! { <text class=class x=number(x) y=number(y)>{text}</text> };
        notes.into_iter().map(note).collect_view()
    };
    let joins = move || {
        let backs = scene.with(|scene| scene.branches.iter().filter_map(|branch| branch.back).collect::<Vec<_>>());
        backs
            .into_iter()
            .map(|y| {
                let (top, bottom) = (number(y - 3.0), number(y + 3.0));
                view! {
                    <circle class="stack-join" cx=number(SPINE) cy=number(y) r="6" />
                    <path class="stack-plus" d=format!("M{} {top}V{bottom}M{} {}H{}", number(SPINE), number(SPINE - 3.0), number(y), number(SPINE + 3.0)) />
                }
            })
            .collect_view()
    };
    view! {
        <svg
            class="stack-drawing"
            class:stack-folded=move || scene.with(|scene| scene.hidden_blocks > 0)
            role="group"
            aria-label="Parts of the model. Arrow keys move, Enter locks, Escape clears."
            width=move || size().0
            height=move || size().1
            on:keydown=on_key
        >
            <path class="stack-branches" d=move || scene.with(branches) />
            <path class="stack-spine" d=move || scene.with(spine) />
            <path class="stack-tie" d=move || { let tied = tied.get(); scene.with(|scene| tie(scene, tied)) } />
            {live(joins)}
            {live(notes)}
            <For each=ids key=|id| *id children=part />
        </svg>
    }
}
