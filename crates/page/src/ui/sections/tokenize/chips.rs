//! The tokens as chips. A long text shows a window of them; keys, pointer and caret move it.

use leptos::html::Div;
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::{Element, Event, HtmlElement, KeyboardEvent};

use super::splitting::Splitting;
use crate::ui::number::{count, visible};
use crate::ui::reactive::{effect, live, memo};

/// Chips on screen. More would take more than a frame to lay out while somebody types.
const WINDOW: usize = 240;

/// A chip.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Chip {
    index: usize,
    id: u32,
    text: String,
}

/// All tokens, or a window of them.
#[component]
pub fn Chips(splitting: Splitting) -> impl IntoView {
    let list = NodeRef::<Div>::new();
    let window = RwSignal::new(0_usize);
    // The chip that Tab comes to: that which had the focus last, else the picked one.
    let stop = RwSignal::new(None::<usize>);
    let windows = move || splitting.count().div_ceil(WINDOW).max(1);
    let first = memo(move || window.get().min(windows() - 1) * WINDOW);
    let shown = move || {
        let first = first.get();
        let chip = |(index, token): (usize, &crate::protocol::tokenize::Token)| Chip {
            index,
            id: token.id,
            text: token.text.clone(),
        };
        splitting.tokens.with(|tokens| {
            let Some(tokens) = tokens else { return Vec::new() };
            tokens.tokens.iter().enumerate().skip(first).take(WINDOW).map(chip).collect::<Vec<_>>()
        })
    };
    effect(move || {
        if let Some(picked) = splitting.picked.get() {
            window.set(picked / WINDOW);
        }
    });
    effect(move || {
        if splitting.caret.get().is_some()
            && let Some(pointed) = splitting.pointed.get()
        {
            window.set(pointed / WINDOW);
        }
    });
    let tab_stop = memo(move || {
        let first = first.get();
        let seen = |index: &usize| (first..first + WINDOW).contains(index) && *index < splitting.count();
        stop.get().filter(seen).or_else(|| splitting.picked.get().filter(seen)).unwrap_or(first)
    });
    let is_pointed = Selector::new(move || splitting.pointed.get());
    let is_picked = Selector::new(move || splitting.picked.get());
    let is_stop = Selector::new(move || Some(tab_stop.get()));
    let chip = move |chip: Chip| {
        let Chip { index, id, text } = chip;
        let (pointed, picked, also_picked, stop) =
            (is_pointed.clone(), is_picked.clone(), is_picked.clone(), is_stop.clone());
        let label = format!("{} {id}, token {}", spoken(&text), index + 1);
        view! {
            <span
                role="option"
                class="tk-chip"
                class:pointed=move || pointed.selected(&Some(index))
                class:picked=move || picked.selected(&Some(index))
                aria-selected=move || if also_picked.selected(&Some(index)) { "true" } else { "false" }
                tabindex=move || if stop.selected(&Some(index)) { "0" } else { "-1" }
                aria-label=label
                data-index=index
            >
                <span class="tk-piece">{visible(&text)}</span>
                " "
                <span class="tk-id">{id}</span>
            </span>
        }
    };
    let focus = move |index: usize| {
        let now = move || {
            let chip = list.get_untracked()?.query_selector(&format!("[data-index='{index}']")).ok()??;
            chip.dyn_into::<HtmlElement>().ok()?.focus().ok()
        };
        stop.set(Some(index));
        window.set(index / WINDOW);
        // Another window's chips are there from the next frame on.
        if now().is_none() {
            request_animation_frame(move || {
                now();
            });
        }
    };
    let on_key = move |event: KeyboardEvent| {
        let Some(index) = chip_of(&event) else { return };
        let last = splitting.count().saturating_sub(1);
        let to = match event.key().as_str() {
            "ArrowRight" => (index + 1).min(last),
            "ArrowLeft" => index.saturating_sub(1),
            "ArrowDown" => neighbour_line(list, index, true).unwrap_or(index),
            "ArrowUp" => neighbour_line(list, index, false).unwrap_or(index),
            "PageDown" => (index + 8).min(last),
            "PageUp" => index.saturating_sub(8),
            "Home" => 0,
            "End" => last,
            "Enter" | " " => {
                splitting.pick(index);
                index
            }
            "Escape" => {
                splitting.clear();
                event.prevent_default();
                return;
            }
            _ => return,
        };
        event.prevent_default();
        focus(to);
    };
    let summary = move || {
        let total = splitting.count();
        let first = first.get();
        (total > WINDOW).then(|| {
            let last = (first + WINDOW).min(total);
            format!("tokens {}–{} of {}", count(first as u64 + 1), count(last as u64), count(total as u64))
        })
    };
    let move_window = move |by: isize| window.set((first.get_untracked() / WINDOW).saturating_add_signed(by));
    view! {
        <div
            class="tk-chips"
            role="listbox"
            aria-label="Tokens. Arrow keys move, Enter picks, Escape clears."
            aria-orientation="horizontal"
            node_ref=list
            on:click=move |event| {
                if let Some(index) = chip_of(&event) {
                    splitting.pick(index);
                    stop.set(Some(index));
                }
            }
            on:keydown=on_key
            on:pointerover=move |event| splitting.hovered.set(chip_of(&event))
            on:pointerleave=move |_| splitting.hovered.set(None)
            on:focusin=move |event| splitting.hovered.set(chip_of(&event))
            on:focusout=move |_| splitting.hovered.set(None)
        >
            <For each=shown key=Clone::clone children=chip/>
        </div>
        <Show when=move || splitting.count().gt(&WINDOW)>
            <p class="tk-window small">
                <button disabled=move || first.get() == 0 on:click=move |_| move_window(-1)>"Earlier"</button>
                <span>{live(summary)}</span>
                <button disabled=move || first.get() / WINDOW + 1 == windows() on:click=move |_| move_window(1)>"Later"</button>
            </p>
        </Show>
    }
}

/// The chip on which something happened.
fn chip_of(event: &Event) -> Option<usize> {
    let target: Element = event.target()?.dyn_into().ok()?;
    target.closest("[data-index]").ok()??.get_attribute("data-index")?.parse().ok()
}

/// The chip above or below, in the middle of which the chip's own middle comes nearest.
fn neighbour_line(list: NodeRef<Div>, index: usize, below: bool) -> Option<usize> {
    let chips = list.get_untracked()?.children();
    let chips: Vec<HtmlElement> = (0..chips.length()).filter_map(|i| chips.item(i)?.dyn_into().ok()).collect();
    let number = |chip: &HtmlElement| chip.get_attribute("data-index")?.parse::<usize>().ok();
    let at = chips.iter().position(|chip| number(chip) == Some(index))?;
    let middle = |chip: &HtmlElement| chip.offset_left() * 2 + chip.offset_width();
    let (line, place) = (chips[at].offset_top(), middle(&chips[at]));
    let beyond = |chip: &&HtmlElement| if below { chip.offset_top() > line } else { chip.offset_top() < line };
    let lines = chips.iter().filter(beyond).map(HtmlElement::offset_top);
    let next = if below { lines.min() } else { lines.max() }?;
    number(chips.iter().filter(|chip| chip.offset_top() == next).min_by_key(|chip| (middle(chip) - place).abs())?)
}

/// A token in words.
pub fn spoken(token: &str) -> String {
    match token {
        " " => "space".into(),
        "\n" => "line end".into(),
        "\t" => "tab".into(),
        token => format!("‘{}’", visible(token)),
    }
}
