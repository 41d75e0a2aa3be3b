//! Leptos' signals, memos and stored values, each of one type inside: that of [`Held`].
//!
//! They have the methods of Leptos' own, without the traits.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use leptos::prelude::{
    AnyView, IntoAny, IntoAttributeValue, IntoRender, Notify, Read, ReadUntracked, ReadValue, RenderHtml, Set,
    SetValue, Track, Write, WriteValue,
};
use leptos::reactive::{computed, owner, signal, wrappers::read as wrappers};

use crate::Value;
use crate::held::Held;
use crate::run::Compute;

/// A signal `S` whose values are of type `T`. It is made here only, and only of such values.
pub struct Of<S, T>(S, PhantomData<fn() -> T>);

/// A value that can be set; who reads it hears of it.
pub type RwSignal<T> = Of<signal::RwSignal<Held>, T>;

/// A value that is computed anew when something that it reads has changed. Its readers hear of it only if it is another value then.
pub type Memo<T> = Of<computed::Memo<Held>, T>;

/// Any of these, or a closure.
pub type Signal<T> = Of<wrappers::Signal<Held>, T>;

/// A value that nobody waits for, under a name that can be copied.
pub type StoredValue<T> = Of<owner::StoredValue<Held>, T>;

impl<S, T> Of<S, T> {
    fn from_held(signal: S) -> Self {
        Self(signal, PhantomData)
    }
}

impl<S: Copy, T> Clone for Of<S, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S: Copy, T> Copy for Of<S, T> {}

impl<S: PartialEq, T> PartialEq for Of<S, T> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<S: fmt::Debug, T> fmt::Debug for Of<S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Holds on to a value while it is read or changed.
pub struct Guard<G, T>(G, PhantomData<fn() -> T>);

impl<G: Deref<Target = Held>, T: 'static> Deref for Guard<G, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.get()
    }
}

impl<G: DerefMut<Target = Held>, T: 'static> DerefMut for Guard<G, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.get_mut()
    }
}

impl<S: Read<Value: Deref<Target = Held>> + ReadUntracked<Value = <S as Read>::Value> + Track, T: 'static> Of<S, T> {
    /// The value; who asks hears of changes.
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn read(&self) -> Guard<<S as Read>::Value, T> {
        Guard(self.0.read(), PhantomData)
    }

    /// The value.
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn read_untracked(&self) -> Guard<<S as Read>::Value, T> {
        Guard(self.0.read_untracked(), PhantomData)
    }

    /// Reads the value and hears of changes.
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn with<U>(&self, see: impl FnOnce(&T) -> U) -> U {
        see(&self.read())
    }

    /// Reads the value.
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn with_untracked<U>(&self, see: impl FnOnce(&T) -> U) -> U {
        see(&self.read_untracked())
    }

    /// A copy of the value; who asks hears of changes.
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn get(&self) -> T
    where
        T: Clone,
    {
        self.read().clone()
    }

    /// A copy of the value.
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn get_untracked(&self) -> T
    where
        T: Clone,
    {
        self.read_untracked().clone()
    }

    /// Hears of changes.
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn track(&self) {
        self.0.track();
    }
}

impl<T: Send + Sync + 'static> RwSignal<T> {
    /// A signal with its first value.
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn new(value: T) -> Self {
        Self::from_held(signal::RwSignal::new(Held::new(value)))
    }

    /// Sets another value, and says so.
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn set(&self, value: T) {
        self.0.set(Held::new(value));
    }

    /// Changes the value if it is still there, and says so.
    pub fn update(&self, change: impl FnOnce(&mut T)) {
        if let Some(value) = self.0.try_write() {
            change(&mut Guard(value, PhantomData));
        }
    }

    /// Changes the value if it is still there, and does not say so.
    pub fn update_untracked(&self, change: impl FnOnce(&mut T)) {
        if let Some(value) = self.0.try_write_untracked() {
            change(&mut Guard(value, PhantomData));
        }
    }

    /// The value, to be changed. It is said when the guard is dropped.
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn write(&self) -> impl DerefMut<Target = T> {
        Guard(self.0.write(), PhantomData)
    }

    /// Says that the value is another one.
    pub fn notify(&self) {
        self.0.notify();
    }
}

impl<T: PartialEq + Send + Sync + 'static> Memo<T> {
    /// A value computed from the last one and from what the closure reads.
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn new(value: impl Fn(Option<&T>) -> T + Send + Sync + 'static) -> Self {
        /// A memo's closure and comparison are given what its closure has returned.
        fn of<T: 'static>(held: Option<&Held>) -> Option<&T> {
            held.map(Held::get)
        }
        let run = move |last: Option<&Held>| Held::new(value(of(last)));
        Self::from_held(memo(Box::new(run), |one, other| of::<T>(one) != of(other)))
    }
}

#[cfg_attr(debug_assertions, track_caller)]
fn memo(run: Box<dyn Compute>, changed: fn(Option<&Held>, Option<&Held>) -> bool) -> computed::Memo<Held> {
    computed::Memo::new_with_compare(move |last| run.compute(last), changed)
}

impl<T: Send + Sync + 'static> Signal<T> {
    /// What a closure says.
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn derive(value: impl Fn() -> T + Send + Sync + 'static) -> Self {
        let run: Box<dyn Fn() -> Held + Send + Sync> = Box::new(move || Held::new(value()));
        Self::from_held(wrappers::Signal::derive(run))
    }
}

impl<T> From<RwSignal<T>> for Signal<T> {
    fn from(signal: RwSignal<T>) -> Self {
        Self::from_held(signal.0.into())
    }
}

impl<T> From<Memo<T>> for Signal<T> {
    fn from(memo: Memo<T>) -> Self {
        Self::from_held(memo.0.into())
    }
}

/// It never changes.
impl<T: Send + Sync + 'static> From<T> for Signal<T> {
    fn from(value: T) -> Self {
        Self::from_held(wrappers::Signal::stored(Held::new(value)))
    }
}

impl From<&str> for Signal<String> {
    fn from(value: &str) -> Self {
        value.to_owned().into()
    }
}

impl<T: Send + Sync + 'static> StoredValue<T> {
    /// Stores a value.
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn new(value: T) -> Self {
        Self::from_held(owner::StoredValue::new(Held::new(value)))
    }

    /// Stores another value.
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn set_value(&self, value: T) {
        self.0.set_value(Held::new(value));
    }

    /// A copy of the value.
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn get_value(&self) -> T
    where
        T: Clone,
    {
        self.with_value(T::clone)
    }

    /// Reads the value.
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn with_value<U>(&self, see: impl FnOnce(&T) -> U) -> U {
        see(&Guard(self.0.read_value(), PhantomData))
    }

    /// Changes the value if it is still there.
    pub fn update_value(&self, change: impl FnOnce(&mut T)) {
        self.try_update_value(change);
    }

    /// Changes the value if it is still there: it goes with the part of the page that it belongs to.
    pub fn try_update_value<U>(&self, change: impl FnOnce(&mut T) -> U) -> Option<U> {
        Some(change(&mut Guard(self.0.try_write_value()?, PhantomData)))
    }
}

impl<S, T: Into<Value> + Clone + 'static> From<Of<S, T>> for Value
where
    S: Read<Value: Deref<Target = Held>> + ReadUntracked<Value = <S as Read>::Value> + Track + Send + 'static,
{
    fn from(signal: Of<S, T>) -> Self {
        Self::live(move || signal.get())
    }
}

/// As an attribute it is what it is: see [`Value`].
impl<S, T> IntoAttributeValue for Of<S, T> {
    type Output = Self;

    fn into_attribute_value(self) -> Self {
        self
    }
}

/// As a child it is drawn again when it changes.
impl<S, T: RenderHtml + Clone + 'static> IntoRender for Of<S, T>
where
    S: Read<Value: Deref<Target = Held>> + ReadUntracked<Value = <S as Read>::Value> + Track + Send + 'static,
{
    type Output = Box<dyn FnMut() -> AnyView + Send>;

    fn into_render(self) -> Self::Output {
        Box::new(move || self.get().into_any())
    }
}
