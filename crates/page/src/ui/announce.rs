//! What readers hear: one polite live region for the whole page, at most a message in ten seconds. What was said last before that wins.

use std::time::Duration;

use leptos::prelude::*;

use super::reactive::{effect, memo};
use super::store::Store;

/// Milliseconds between two messages.
const PAUSE: f64 = 10_000.0;

/// When which message is due.
#[derive(Clone, Debug, Default, PartialEq)]
struct Pace {
    /// When the newest message was said.
    said: Option<f64>,
    /// The next one.
    next: Option<String>,
}

impl Pace {
    /// Takes a message, in place of one that waits. The milliseconds until it is due, unless somebody waits for that already.
    fn take(&mut self, message: String, now: f64) -> Option<f64> {
        let waits = self.next.replace(message).is_some();
        (!waits).then(|| self.said.map_or(0.0, |said| (said + PAUSE - now).max(0.0)))
    }

    /// The message that is due.
    fn due(&mut self, now: f64) -> Option<String> {
        let message = self.next.take()?;
        self.said = Some(now);
        Some(message)
    }
}

/// The region, as a signal of what it says.
#[derive(Clone, Copy)]
pub struct Announcer {
    text: RwSignal<String>,
    pace: StoredValue<Pace>,
}

impl Default for Announcer {
    fn default() -> Self {
        Self { text: RwSignal::new(String::new()), pace: StoredValue::new(Pace::default()) }
    }
}

impl Announcer {
    /// Says it when it is due.
    pub fn say(self, message: String) {
        let now = js_sys::Date::now();
        let Some(Some(wait)) = self.pace.try_update_value(|pace| pace.take(message, now)) else { return };
        set_timeout(
            move || {
                let due = self.pace.try_update_value(|pace| pace.due(js_sys::Date::now())).flatten();
                due.into_iter().for_each(|message| self.text.set(message));
            },
            Duration::from_millis(wait as u64),
        );
    }

    /// What the region says.
    pub fn text(self) -> RwSignal<String> {
        self.text
    }
}

/// Tells readers what stands in a figure's sentence whenever it is another one: one region speaks, not each figure.
pub fn tell(store: Store, says: impl Fn() -> Option<String> + Send + Sync + 'static) {
    let says = memo(says);
    effect(move || {
        if let Some(sentence) = says.get() {
            store.announce(sentence);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_message_is_said_at_once_and_the_last_of_the_rest_after_ten_seconds() {
        let mut pace = Pace::default();
        assert_eq!(pace.take("a".into(), 1000.0), Some(0.0));
        assert_eq!(pace.due(1000.0).as_deref(), Some("a"));
        assert_eq!(pace.take("b".into(), 3000.0), Some(8000.0));
        assert_eq!(pace.take("c".into(), 4000.0), None);
        assert_eq!(pace.due(11_000.0).as_deref(), Some("c"));
        assert_eq!(pace.due(12_000.0), None);
        assert_eq!(pace.take("d".into(), 60_000.0), Some(0.0));
    }
}
