//! What a view shows: the settings that all figures share. They are in the address, so that a view can be bookmarked, shared and reloaded.
//!
//! `#attention?text=To+be&layer=2&head=1&query=5&temperature=0.8&top_k=20`: behind the `#`, as browsers send no server what stands there. The
//! section comes first. What has its default is left out; what cannot be read has its default, too.

use std::fmt::Write;

use crate::ui::number::parse;

/// A setting's text in the address.
pub trait Parameter: Sized {
    /// Out of the address; `None` if it cannot be meant.
    fn parse(text: &str) -> Option<Self>;
    /// Into the address.
    fn format(&self) -> String;
}

macro_rules! numbers {
    ($($number:ty),*) => { $(
        impl Parameter for $number {
            fn parse(text: &str) -> Option<Self> {
                text.parse().ok()
            }

            fn format(&self) -> String {
                self.to_string()
            }
        }
    )* };
}

numbers!(usize, u64, bool);

impl Parameter for f32 {
    fn parse(text: &str) -> Option<Self> {
        parse(text).map(|number| number as Self).filter(|number| number.is_finite())
    }

    fn format(&self) -> String {
        self.to_string()
    }
}

impl Parameter for String {
    fn parse(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }

    fn format(&self) -> String {
        self.clone()
    }
}

impl<T: Parameter> Parameter for Option<T> {
    fn parse(text: &str) -> Option<Self> {
        if text.is_empty() { Some(None) } else { T::parse(text).map(Some) }
    }

    fn format(&self) -> String {
        self.as_ref().map(Parameter::format).unwrap_or_default()
    }
}

/// Declares [`ViewState`] and, in a page, [`View`] with a signal for each of its fields.
macro_rules! settings {
    ($($(#[$doc:meta])+ $name:ident: $type:ty = $default:expr,)*) => {
        /// Every shared setting.
        #[derive(Clone, Debug, PartialEq)]
        pub struct ViewState { $($(#[$doc])+ pub $name: $type,)* }

        impl Default for ViewState {
            fn default() -> Self {
                Self { $($name: $default,)* }
            }
        }

        impl ViewState {
            /// Settings by their names in an address; unknown names are ignored.
            pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
                let mut state = Self::default();
                for (name, text) in pairs {
                    match name {
                        $(stringify!($name) => if let Some(value) = Parameter::parse(text) { state.$name = value },)*
                        _ => {}
                    }
                }
                state
            }

            /// What differs from the default.
            pub fn to_pairs(&self) -> Vec<(&'static str, String)> {
                let default = Self::default();
                let mut pairs = Vec::new();
                $(if self.$name != default.$name { pairs.push((stringify!($name), self.$name.format())) })*
                pairs
            }
        }

        /// The settings of the page, each a signal that all figures share.
        #[derive(Clone, Copy, Debug)]
        pub struct View { $($(#[$doc])+ pub $name: leptos::prelude::RwSignal<$type>,)* }

        impl View {
            /// Signals with these values.
            pub fn new(state: ViewState) -> Self {
                Self { $($name: leptos::prelude::RwSignal::new(state.$name),)* }
            }

            /// Their values now; whoever calls this in an effect hears of every change.
            pub fn state(self) -> ViewState {
                ViewState { $($name: self.$name.get(),)* }
            }

            /// Sets those that differ: nobody hears of the others.
            pub fn set(self, state: ViewState) {
                $(if self.$name.with_untracked(|now| *now != state.$name) { self.$name.set(state.$name) })*
            }
        }
    };
}

settings! {
    /// The text that tokenize, embed and attention look at.
    text: String = "First Citizen:\nWe are accounted poor citizens, the patricians good.".to_owned(),
    /// A model's folder, where it is not the shipped one.
    model: Option<String> = None,
    /// `cpu` or `webgpu`, where the visitor decided.
    engine: Option<String> = None,
    /// Threads that train on the CPU, where the visitor decided.
    threads: Option<usize> = None,
    /// Merges of the byte pairs in `#tokenize`.
    merges: usize = 256,
    /// The vocabulary in `#tokenize`: `model`, `char`, `byte` or `bpe`.
    vocabulary: String = "model".to_owned(),
    /// Picked layer, from 0.
    layer: usize = 0,
    /// Picked head, from 0.
    head: usize = 0,
    /// Picked token of the text, from 0: the query in `#attention`, the token in `#embed`. None is the last one.
    query: Option<usize> = None,
    /// Scores are not divided by √D.
    unscaled: bool = false,
    /// Queries see later keys too.
    unmasked: bool = false,
    /// Heads whose output is zero: `layer.head`, separated by commas.
    ablated: String = String::new(),
    /// The model that `#stack` is set to, where it is not the loaded one: see `ui::sections::stack::plan`.
    sizes: Option<String> = None,
    /// What `#sample` continues.
    prompt: String = "ROMEO:".to_owned(),
    /// Of sampling.
    temperature: f32 = 0.8,
    /// Of sampling; none keeps all.
    top_k: Option<usize> = None,
    /// Of sampling; none keeps all.
    top_p: Option<f32> = None,
    /// Of sampling.
    seed: u64 = 1337,
    /// Tokens that `#sample` writes.
    length: usize = 400,
    /// Picked token of what `#sample` wrote, from 0.
    picked: usize = 1,
    /// Where the next run of `#train` starts from, where it was picked.
    preset: Option<String> = None,
    /// The step of the run in `#train` whose model all figures show.
    step: Option<u64> = None,
    /// The run whose text `#scale` shows, by its name.
    run: Option<String> = None,
}

/// The section and the settings of what stands behind an address' `#`. Settings are none, which is not the same as empty ones, where a link
/// names its section only.
pub fn split_fragment(fragment: &str) -> (&str, Option<&str>) {
    let fragment = fragment.strip_prefix('#').unwrap_or(fragment);
    fragment.split_once('?').map_or((fragment, None), |(section, settings)| (section, Some(settings)))
}

/// The other way, with its `#`; nothing where there is nothing to say.
pub fn to_fragment(section: &str, settings: &str) -> String {
    match (section, settings) {
        ("", "") => String::new(),
        (_, "") => format!("#{section}"),
        _ => format!("#{section}?{settings}"),
    }
}

/// `name=value&…` in a form that every browser decodes again.
pub fn to_query(pairs: &[(&str, String)]) -> String {
    let mut query = String::new();
    for (name, value) in pairs {
        query.push_str(if query.is_empty() { "" } else { "&" });
        let _ = write!(query, "{name}=");
        for byte in value.bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => query.push(byte.into()),
                b' ' => query.push('+'),
                _ => {
                    let _ = write!(query, "%{byte:02X}");
                }
            }
        }
    }
    query
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&'static str, String)]) -> ViewState {
        ViewState::from_pairs(pairs.iter().map(|(name, value)| (*name, value.as_str())))
    }

    #[test]
    fn the_default_view_has_an_empty_address() {
        assert_eq!(ViewState::default().to_pairs(), []);
        assert_eq!(read(&[]), ViewState::default());
    }

    #[test]
    fn a_view_survives_its_address() {
        let state = ViewState {
            text: "a & b = ü\n".into(),
            query: Some(3),
            unmasked: true,
            temperature: 0.1,
            top_k: Some(20),
            seed: u64::MAX,
            ..ViewState::default()
        };
        assert_eq!(read(&state.to_pairs()), state);
    }

    #[test]
    fn what_cannot_be_read_has_its_default() {
        let state = ViewState::from_pairs([("layer", "-1"), ("temperature", "NaN"), ("nonsense", "1"), ("seed", "")]);
        assert_eq!(state, ViewState::default());
    }

    #[test]
    fn a_fragment_is_a_section_and_settings() {
        for (fragment, section, settings) in [
            ("", "", None),
            ("#stack", "stack", None),
            ("#stack?layer=2", "stack", Some("layer=2")),
            ("#?text=a%3Fb?c", "", Some("text=a%3Fb?c")),
        ] {
            assert_eq!(split_fragment(fragment), (section, settings));
            assert_eq!(to_fragment(section, settings.unwrap_or_default()), fragment);
        }
        assert_eq!(split_fragment("#stack?"), ("stack", Some("")), "the default settings, by name");
    }

    #[test]
    fn only_what_differs_is_set() {
        use leptos::prelude::{Memo, Owner, untrack};
        let owner = Owner::new();
        owner.set();
        let view = View::new(ViewState::default());
        let heard = Memo::new(move |times: Option<&u32>| {
            view.text.get();
            times.copied().unwrap_or(0) + 1
        });
        assert_eq!(heard.get_untracked(), 1);
        let mut other = ViewState { layer: 2, ..ViewState::default() };
        view.set(other.clone());
        assert_eq!(heard.get_untracked(), 1);
        other.text = "To be".into();
        view.set(other.clone());
        assert_eq!(heard.get_untracked(), 2);
        assert_eq!(untrack(|| view.state()), other);
    }

    #[test]
    fn queries_are_encoded() {
        assert_eq!(to_query(&[("text", "a b&c=ü".into()), ("seed", "1".into())]), "text=a+b%26c%3D%C3%BC&seed=1");
    }
}
