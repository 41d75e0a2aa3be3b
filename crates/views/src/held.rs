//! A value of any type in a box of one type.

#[cfg(debug_assertions)]
use std::any::TypeId;

/// A value whose type is known to who reads it. Signals of such values are compiled once, not once for each type.
pub struct Held(Box<dyn Thing>);

trait Thing: Send + Sync {
    #[cfg(debug_assertions)]
    fn kind(&self) -> TypeId;
}

impl<T: Send + Sync + 'static> Thing for T {
    #[cfg(debug_assertions)]
    fn kind(&self) -> TypeId {
        TypeId::of::<T>()
    }
}

impl Held {
    pub(crate) fn new<T: Send + Sync + 'static>(value: T) -> Self {
        Self(Box::new(value))
    }

    /// # Safety
    ///
    /// It has been made of a `T`.
    pub(crate) unsafe fn get<T: 'static>(&self) -> &T {
        #[cfg(debug_assertions)]
        assert!((*self.0).kind() == TypeId::of::<T>());
        // SAFETY: the caller's promise.
        unsafe { &*(&raw const *self.0).cast() }
    }

    /// # Safety
    ///
    /// It has been made of a `T`.
    pub(crate) unsafe fn get_mut<T: 'static>(&mut self) -> &mut T {
        #[cfg(debug_assertions)]
        assert!((*self.0).kind() == TypeId::of::<T>());
        // SAFETY: the caller's promise.
        unsafe { &mut *(&raw mut *self.0).cast() }
    }
}
