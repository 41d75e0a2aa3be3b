//! Closures whose result is kept up to date: each type of result has one type of closure.

use leptos::prelude::{AnyView, IntoAny, IntoAttributeValue, IntoRender, RenderHtml};

use crate::Run;

/// A closure that is called again when something that it reads has changed.
pub struct Live<T>(pub(crate) Box<dyn Run<T> + Send>);

/// A child or an attribute that follows what it reads. `view!` does this to closures that are written in it; those that have a name say it.
pub fn live<T: 'static>(run: impl FnMut() -> T + Send + 'static) -> Live<T> {
    Live(Box::new(run))
}

/// As a child: all that is live is drawn by the same code, whatever it draws.
impl<T: RenderHtml + 'static> IntoRender for Live<T> {
    type Output = Box<dyn FnMut() -> AnyView + Send>;

    fn into_render(self) -> Self::Output {
        let mut run = self.0;
        Box::new(move || run.run().into_any())
    }
}

/// As an attribute it is what it is: see [`Value`](crate::Value).
impl<T> IntoAttributeValue for Live<T> {
    type Output = Self;

    fn into_attribute_value(self) -> Self {
        self
    }
}
