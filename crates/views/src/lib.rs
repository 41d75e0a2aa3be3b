//! Leptos, with elements of one type.
//!
//! Leptos' `view!` gives every element a type made of its tag, its attributes and its children, and every attribute one made of its name
//! and its value. That is fast, but the compiler writes out the code of each of these types, and a page with hundreds of them is a large
//! program. Here all elements are an [`Element`], all that is set on them is a [`Value`], and all closures of views are [`Live`].
//!
//! The macro calls functions by their place in a crate named `leptos`. This crate has Leptos in it, with other functions in some of the
//! places; who depends on it by the name `leptos` writes views as ever. What is not listed here (a rare element, say) is Leptos' own.

pub use leptos::*;

mod attributes;
mod element;
mod held;
mod live;
mod part;
mod run;
mod signals;
mod value;

pub use element::{Element, ElementState};
pub use live::{Live, live};
pub use run::Run;
pub use signals::{Guard, Of};
pub use value::{ClassValue, Value};

/// Where `view!` expects closures to be put into boxes, when it is compiled with `--cfg erase_components`.
#[doc(hidden)]
pub use live::live as __as_shared_reactive_fn;

/// What views are written with.
pub mod prelude {
    pub use leptos::prelude::*;

    pub use crate::signals::{Memo, RwSignal, Signal, StoredValue};
}

/// Leptos' renderer.
pub mod tachys {
    pub use leptos::tachys::*;

    /// Elements, attributes and events of HTML.
    pub mod html {
        pub use leptos::tachys::html::*;

        /// What `view!` calls for the tags of HTML.
        pub mod element {
            pub use leptos::tachys::html::element::*;

            crate::element::tags! { None;
                a b br button canvas caption code dd details div dl dt em fieldset figcaption figure form h3 h4 i input label legend li
                mark ol option output p progress section select small span strong summary table tbody td textarea th thead tr ul
            }
        }
    }

    /// What `view!` calls for the tags of SVG.
    pub mod svg {
        pub use leptos::tachys::svg::*;

        crate::element::tags! { Some("http://www.w3.org/2000/svg");
            circle defs g line path pattern polyline rect svg text
        }
    }
}
