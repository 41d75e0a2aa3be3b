//! A value of any type in a box of one type.

use std::any::Any;

/// A value whose type is known to who reads it. Signals of such values are compiled once, not once for each type.
pub struct Held(Box<dyn Any + Send + Sync>);

impl Held {
    pub(crate) fn new<T: Send + Sync + 'static>(value: T) -> Self {
        Self(Box::new(value))
    }

    /// The value, which has been made of a `T`.
    pub(crate) fn get<T: 'static>(&self) -> &T {
        match self.0.downcast_ref() {
            Some(value) => value,
            None => of_another_type(),
        }
    }

    /// The value, which has been made of a `T`, to be changed.
    pub(crate) fn get_mut<T: 'static>(&mut self) -> &mut T {
        match self.0.downcast_mut() {
            Some(value) => value,
            None => of_another_type(),
        }
    }
}

#[cold]
#[inline(never)]
fn of_another_type() -> ! {
    unreachable!("a signal holds values of its own type")
}
