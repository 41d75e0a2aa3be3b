//! The text on screen: one slider, whose value is the picked token.
//!
//! Its tokens are plain elements, made and changed by hand: only those that differ from what is on screen are touched, so that a few hundred
//! new ones per second cost next to nothing.

use leptos::html::Span;
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::{Element, HtmlElement, KeyboardEvent, ScrollIntoViewOptions, ScrollLogicalPosition};

use super::text::Text;
use super::writing::Desk;
use crate::ui::keys::slide;
use crate::ui::number::{percent, three};
use crate::ui::reactive::{effect_from_last, live, memo};

/// What the colour behind a token says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tint {
    /// How likely it was.
    #[default]
    Chance,
    /// How open the choice was.
    Entropy,
    /// Nothing.
    Off,
}

/// Steps of colour, one per bit.
pub const STEPS: u8 = 6;

/// A number of bits as a step of colour.
fn step(bits: f32) -> u8 {
    // NaN and what is below zero are 0.
    (bits as u8).min(STEPS - 1)
}

/// What is on screen of a token.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Look {
    id: u32,
    /// [`STEPS`] is none.
    step: u8,
    changed: bool,
    stale: bool,
    picked: bool,
    put: bool,
}

impl Look {
    fn of(text: &Text, at: usize, picked: Option<usize>, tint: Tint) -> Self {
        let token = &text.tokens[at];
        let step = match tint {
            Tint::Chance => step(-token.chance.log2()),
            Tint::Entropy => step(token.entropy),
            Tint::Off => STEPS,
        };
        let stale = at >= text.fresh;
        Self {
            id: token.id,
            step,
            changed: text.changed(at),
            stale,
            picked: picked == Some(at),
            put: token.seed.is_none(),
        }
    }

    fn class(self) -> String {
        let mut class = String::from("token");
        if self.step < STEPS {
            class.push_str(" bits-");
            class.push((b'0' + self.step).into());
        }
        let flags = [(self.changed, " changed"), (self.stale, " stale"), (self.picked, " picked"), (self.put, " put")];
        flags.into_iter().filter(|(on, _)| *on).for_each(|(_, name)| class.push_str(name));
        class
    }
}

/// The elements of the tokens.
#[derive(Default)]
struct Screen(Vec<(Element, Look)>);

impl Screen {
    fn paint(
        &mut self,
        place: &Element,
        text: &Text,
        picked: Option<usize>,
        tint: Tint,
        glyph: impl Fn(u32) -> String,
    ) {
        for at in 0..text.tokens.len() {
            let look = Look::of(text, at, picked, tint);
            match self.0.get_mut(at) {
                Some((_, old)) if *old == look => continue,
                Some((element, old)) => {
                    if old.id != look.id {
                        element.set_text_content(Some(&glyph(look.id)));
                    }
                    element.set_class_name(&look.class());
                    *old = look;
                }
                None => {
                    let element = document().create_element("span").expect("a span can be made");
                    element.set_text_content(Some(&glyph(look.id)));
                    element.set_class_name(&look.class());
                    // Fails for names with a space in them.
                    let _ = element.set_attribute("data-at", &at.to_string());
                    let _ = place.append_child(&element);
                    self.0.push((element, look));
                }
            }
        }
        self.0.drain(text.tokens.len()..).for_each(|(element, _)| element.remove());
    }
}

/// Text as it is set: the end of a line is seen and breaks it.
fn set(token: &str) -> String {
    token.replace('\n', "↵\n").replace('\t', "→\t")
}

/// The text.
#[component]
pub fn TextView(
    /// What is on it is shown.
    desk: Desk,
    /// Of the tokens.
    tint: RwSignal<Tint>,
) -> impl IntoView {
    let place = NodeRef::<Span>::new();
    let raw = move |id: u32| {
        let text = desk.store.model.with(|model| model.as_ref()?.vocabulary.get(id as usize).cloned());
        set(&text.unwrap_or_default())
    };
    effect_from_last(move |screen: Option<Screen>| {
        let mut screen = screen.unwrap_or_default();
        if let Some(place) = place.get() {
            let picked = desk.picked();
            desk.text.with(|text| screen.paint(&place, text, picked, tint.get(), raw));
        }
        screen
    });
    let prompt = memo(move || desk.text.with(|text| text.settings.prompt.clone()));
    let shown_prompt = move || prompt.get().into_iter().map(raw).collect::<String>();
    let length = memo(move || desk.text.with(|text| text.tokens.len()));
    let pick = move |at: usize| {
        let Some(last) = length.get_untracked().checked_sub(1) else { return };
        desk.store.view.picked.set(at.min(last));
    };
    let on_keydown = move |event: KeyboardEvent| {
        let Some(at) = untrack(|| desk.picked()) else { return };
        let Some(to) = slide(&event.key(), at, length.get_untracked()) else { return };
        event.prevent_default();
        pick(to);
        // The new one is on screen by the next frame.
        request_animation_frame(move || show_picked(place));
    };
    let pick_at = move |target: Option<web_sys::EventTarget>| {
        let at = target.and_then(|target| target.dyn_into::<Element>().ok()?.get_attribute("data-at")?.parse().ok());
        at.into_iter().for_each(pick);
    };
    let value_text = move || {
        let at = desk.picked()?;
        let token = desk.text.with(|text| text.tokens.get(at).copied())?;
        Some(format!(
            "character {} of {}, ‘{}’, chance {}, entropy {} bits",
            at + 1,
            length.get(),
            desk.glyph(token.id),
            percent(token.chance.into()),
            three(token.entropy.into())
        ))
    };
    view! {
        <div
            class="sample-page"
            role="slider"
            tabindex="0"
            aria-label="Written text: pick a character"
            aria-valuemin="1"
            aria-valuemax=move || length.get().max(1)
            aria-valuenow=move || desk.picked().map_or(1, |at| at + 1)
            aria-valuetext=live(value_text)
            aria-busy=move || desk.text.with(|text| text.writing).to_string()
            data-written=length
            on:keydown=on_keydown
            on:click=move |event| pick_at(event.target())
            on:pointermove=move |event| {
                // With a finger, this scrolls.
                if event.buttons() & 1 == 1 && event.pointer_type() == "mouse" {
                    pick_at(event.target());
                }
            }
        >
            <span class="sample-prompt">{live(shown_prompt)}</span>
            <span class="sample-text" node_ref=place></span>
        </div>
    }
}

fn show_picked(place: NodeRef<Span>) {
    let Some(place) = place.get_untracked() else { return };
    let place: &HtmlElement = &place;
    if let Ok(Some(picked)) = place.query_selector(".picked") {
        let options = ScrollIntoViewOptions::new();
        options.set_block(ScrollLogicalPosition::Nearest);
        picked.scroll_into_view_with_scroll_into_view_options(&options);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bit_is_a_step() {
        assert_eq!([0.0, 0.99, 1.0, 4.2, 77.0, f32::INFINITY, f32::NAN, -0.0].map(step), [0, 0, 1, 4, 5, 5, 0, 0]);
    }
}
