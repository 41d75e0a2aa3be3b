//! The picked place of the text: its distribution under the settings as they are, and the token that is pointed at.

use inkling_core::sample::SamplerConfig;
use leptos::prelude::*;

use super::distribution::{Distribution, Order, Row, distribution};
use super::writing::Desk;
use crate::ui::reactive::memo;

/// Handles of the place.
#[derive(Clone, Copy)]
pub struct Place {
    /// Of the text.
    pub desk: Desk,
    /// What could stand there.
    pub distribution: Memo<Distribution>,
    /// How the tokens are sorted.
    pub order: RwSignal<Order>,
    /// The token that is pointed at, by its id.
    pub pointed: RwSignal<Option<u32>>,
}

impl Place {
    /// The place that is picked on the desk.
    pub fn new(desk: Desk) -> Self {
        let order = RwSignal::new(Order::Logit);
        let view = desk.store.view;
        let distribution = memo(move || {
            let Some(at) = desk.picked() else { return Distribution::default() };
            let (temperature, top_k, top_p) = (view.temperature.get(), view.top_k.get(), view.top_p.get());
            desk.text.with(|text| {
                let token = text.tokens[at];
                // Its own dice, the settings of now.
                let seed = token.seed.unwrap_or_default();
                let sampling = SamplerConfig { temperature, top_k, top_p, seed };
                let position = (text.settings.prompt.len() + at) as u32;
                distribution(text.logits_of(at), sampling, position, token.seed.is_some(), token.id, order.get())
            })
        });
        Self { desk, distribution, order, pointed: RwSignal::new(None) }
    }

    /// The token that stands there.
    pub fn written(self) -> Option<u32> {
        let at = self.desk.picked()?;
        self.desk.text.with(|text| text.tokens.get(at).map(|token| token.id))
    }

    /// The token to mark: what these settings draw; where there are no dice, what stands there.
    pub fn marked(self) -> Option<u32> {
        self.distribution.with(|at| at.drawn).or_else(|| self.written())
    }

    /// The column of the token that is looked at.
    pub fn index(self) -> Option<usize> {
        let id = self.looked_at()?;
        self.distribution.with(|at| at.rows.iter().position(|row| row.id == id))
    }

    fn looked_at(self) -> Option<u32> {
        let pointed = self.pointed.get();
        let there = |id: u32| self.distribution.with(|at| at.rows.iter().any(|row| row.id == id));
        pointed.filter(|&id| there(id)).or_else(|| self.marked())
    }

    /// The numbers of the token that is pointed at, or else of the marked one.
    pub fn row(self) -> Option<Row> {
        let at = self.index()?;
        self.distribution.with(|distribution| distribution.rows.get(at).copied())
    }

    /// Points at a column.
    pub fn point(self, at: usize) {
        let id = self.distribution.with_untracked(|distribution| distribution.rows.get(at).map(|row| row.id));
        if self.pointed.get_untracked() != id {
            self.pointed.set(id);
        }
    }

    /// Puts the token that is looked at into the text.
    pub fn force(self) {
        if let (Some(at), Some(id)) = untrack(|| (self.desk.picked(), self.looked_at())) {
            self.desk.force(at, id);
        }
    }

    /// What the temperature does.
    pub fn temperature_says(self) -> String {
        match self.desk.store.view.temperature.get() {
            0.0 => "T = 0 divides by nothing: greedy takes the largest logit".into(),
            1.0 => "T = 1 leaves them as they are".into(),
            t if t < 1.0 => format!("T = {t} pulls them apart"),
            t => format!("T = {t} brings them together"),
        }
    }

    /// What the dice do.
    pub fn dice_say(self) -> String {
        if self.desk.store.view.temperature.get() == 0.0 {
            return "greedy: no dice are thrown".into();
        }
        let Some(at) = self.desk.picked() else { return String::new() };
        match self.desk.text.with(|text| text.tokens.get(at).and_then(|token| token.seed)) {
            Some(seed) => format!("dice of seed {seed}, character {}", at + 1),
            None => "you put this one: no dice".into(),
        }
    }
}
