//! Who runs beside whom: a test that measures runs alone.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

static TURNS: RwLock<()> = RwLock::new(());

/// Leave to run, until it is dropped.
#[expect(dead_code, reason = "it is held, not looked at")]
pub enum Turn {
    /// Beside others.
    Beside(RwLockReadGuard<'static, ()>),
    /// While no other test has a browser.
    Alone(RwLockWriteGuard<'static, ()>),
}

impl Turn {
    /// Waits for it.
    pub fn wait(alone: bool) -> Self {
        if alone {
            Self::Alone(TURNS.write().unwrap_or_else(PoisonError::into_inner))
        } else {
            Self::Beside(TURNS.read().unwrap_or_else(PoisonError::into_inner))
        }
    }
}
