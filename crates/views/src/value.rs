//! What attributes, classes, styles and properties are set to.

use std::borrow::Cow;

use crate::{Live, Run};

/// What an attribute, a class, a style or a property is set to.
pub enum Value {
    /// It is not there.
    Nothing,
    /// There or not: `disabled`, a class, a property that is a `boolean`.
    Flag(bool),
    /// A text.
    Text(Cow<'static, str>),
    /// What the closure says, and again whenever something that it reads has changed.
    Live(Box<dyn Run<Value> + Send>),
}

impl Value {
    pub(crate) fn live<T: Into<Self>>(mut run: impl FnMut() -> T + Send + 'static) -> Self {
        Self::Live(Box::new(move || run().into()))
    }

    /// The value as it is now.
    pub(crate) fn now(self) -> Self {
        match self {
            Self::Live(mut run) => run.run().now(),
            still => still,
        }
    }

    pub(crate) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Nothing, Self::Nothing) => true,
            (Self::Flag(one), Self::Flag(other)) => one == other,
            (Self::Text(one), Self::Text(other)) => one == other,
            _ => false,
        }
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<Cow<'static, str>> for Value {
    fn from(text: Cow<'static, str>) -> Self {
        Self::Text(text)
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Nothing, Into::into)
    }
}

macro_rules! numbers {
    ($($number:ty)*) => { $(
        impl From<$number> for Value {
            fn from(number: $number) -> Self {
                number.to_string().into()
            }
        }
    )* };
}

numbers! { i32 u32 u64 usize }

/// As the browser writes it: a program that only shows numbers need not know how.
impl From<f64> for Value {
    fn from(number: f64) -> Self {
        String::from(js_sys::Number::from(number).to_string_with_radix(10).expect("ten is a radix")).into()
    }
}

impl From<f32> for Value {
    fn from(number: f32) -> Self {
        f64::from(number).into()
    }
}

impl<T: Into<Self> + 'static> From<Live<T>> for Value {
    fn from(live: Live<T>) -> Self {
        let mut run = live.0;
        Self::live(move || run.run())
    }
}

impl<T: Into<Self>, F: FnMut() -> T + Send + 'static> From<F> for Value {
    fn from(run: F) -> Self {
        Self::live(run)
    }
}

/// What `class` takes: all the classes, or one of them and whether it is there.
pub trait ClassValue {
    /// The class that is there or not, and the value.
    fn split(self) -> (Option<&'static str>, Value);
}

impl<T: Into<Value>> ClassValue for T {
    fn split(self) -> (Option<&'static str>, Value) {
        (None, self.into())
    }
}

impl<T: Into<Value>> ClassValue for (&'static str, T) {
    fn split(self) -> (Option<&'static str>, Value) {
        (Some(self.0), self.1.into())
    }
}
