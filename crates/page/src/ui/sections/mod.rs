//! The figures, one module per section of index.html.

pub mod attention;
pub mod embed;
pub mod measured;
pub mod modern;
pub mod next;
pub mod own;
pub mod sample;
pub mod scale;
pub mod shell;
pub mod stack;
pub mod tokenize;
pub mod train;

#[cfg(target_family = "wasm")]
mod mounting {
    use leptos::mount::mount_to;
    use leptos::prelude::*;
    use wasm_bindgen::JsCast;

    use super::super::store::Store;

    /// Puts every figure into its placeholder.
    pub fn mount(store: Store) {
        into("shell", move || super::shell::Shell(super::shell::ShellProps { store }));
        into("next-figure", move || super::next::NextFigure(super::next::NextFigureProps { store }));
        into("tokenize-figure", move || {
            super::tokenize::TokenizeFigure(super::tokenize::TokenizeFigureProps { store })
        });
        into("embed-figure", move || super::embed::EmbedFigure(super::embed::EmbedFigureProps { store }));
        into("stack-figure", move || super::stack::StackFigure(super::stack::StackFigureProps { store }));
        into("attention-figure", move || {
            super::attention::AttentionFigure(super::attention::AttentionFigureProps { store })
        });
        into("train-figure", move || super::train::TrainFigure(super::train::TrainFigureProps { store }));
        into("scale-figure", move || super::scale::ScaleFigure(super::scale::ScaleFigureProps { store }));
        into("modern-figure", move || super::modern::ModernFigure(super::modern::ModernFigureProps { store }));
        into("own-figure", move || super::own::OwnFigure(super::own::OwnFigureProps { store }));
        into("sample-figure", move || super::sample::SampleFigure(super::sample::SampleFigureProps { store }));
    }

    /// Puts a figure in place of what index.html shows until then.
    fn into<V: IntoView + 'static>(id: &str, figure: impl FnOnce() -> V + 'static) {
        let Some(place) = document().get_element_by_id(id) else { return };
        place.set_text_content(None);
        mount_to(place.unchecked_into(), figure).forget();
    }
}

#[cfg(target_family = "wasm")]
pub use mounting::mount;
