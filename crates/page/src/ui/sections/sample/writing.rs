//! Asks for texts, and keeps what comes: the text on the desk, and those it was forked from.

use std::sync::Arc;

use futures_util::future::AbortHandle;
use inkling_core::sample::{Sampler, SamplerConfig};
use leptos::prelude::*;

use super::text::{Settings, Text, Token};
use crate::protocol::sample::{Generate, entropy};
use crate::protocol::tokenize::{Tokenize, Tokenized, Vocabulary};
use crate::protocol::{Failure, FailureKind};
use crate::ui::client::Heard;
use crate::ui::reactive::effect_from_last;
use crate::ui::remote::{Remote, remote};
use crate::ui::store::Store;
use crate::ui::task;

/// Texts that are kept beside the one on the desk.
const MOST_BRANCHES: usize = 6;
/// Tokens that a text may have, however small the vocabulary is.
pub const MOST_TOKENS: usize = 2000;
/// Numbers of logits that a text may have: a large vocabulary allows for fewer tokens.
const MOST_LOGITS: usize = 1 << 22;
/// A fork writes so many tokens at least, however near the end it is.
const LEAST_MORE: usize = 100;
/// Between two tokens in slow motion.
const SLOWLY: std::time::Duration = std::time::Duration::from_millis(350);

/// The writing desk.
#[derive(Clone, Copy)]
pub struct Desk {
    /// What all figures share.
    pub store: Store,
    /// What is on it.
    pub text: RwSignal<Text>,
    /// All texts; that on the desk, at [`Self::current`], is older here.
    pub branches: RwSignal<Vec<Text>>,
    /// Which of them is on the desk.
    pub current: RwSignal<usize>,
    /// Tokens per second of the last text.
    pub speed: RwSignal<Option<f64>>,
    /// Why nothing was written.
    pub failure: RwSignal<Option<Failure>>,
    /// Whether one token after the other is drawn, for people to follow.
    pub slow: RwSignal<bool>,
    /// Texts that a visitor asked for and that are finished.
    pub finished: RwSignal<usize>,
    /// The prompt as tokens.
    prompt: Remote<Tokenized>,
    /// What [`Self::prompt`] was in the model before.
    outdated: StoredValue<Option<Arc<Tokenized>>>,
    /// What the text on the desk was last written from.
    written_from: StoredValue<Option<Settings>>,
    under_way: StoredValue<Option<AbortHandle>>,
    /// Whether that is a single token.
    stepping: StoredValue<bool>,
    slowly: StoredValue<Option<IntervalHandle>>,
}

impl Desk {
    /// An empty desk, which writes as soon as there is a model, and again whenever a setting changes.
    pub fn new(store: Store) -> Self {
        let view = store.view;
        let prompt = remote(store.client, move || {
            store.model.get().map(|_| Tokenize { text: view.prompt.get(), by: Vocabulary::Model })
        });
        let desk = Self {
            store,
            text: RwSignal::new(Text::default()),
            branches: RwSignal::new(vec![Text::default()]),
            current: RwSignal::new(0),
            speed: RwSignal::new(None),
            failure: RwSignal::new(None),
            slow: RwSignal::new(false),
            finished: RwSignal::new(0),
            prompt,
            outdated: StoredValue::new(None),
            written_from: StoredValue::new(None),
            under_way: StoredValue::new(None),
            stepping: StoredValue::new(false),
            slowly: StoredValue::new(None),
        };
        effect_from_last(move |last: Option<Option<u32>>| {
            // Nothing of another model's texts can be gone on with, not even shown: its numbers mean other tokens now.
            let number = store.model.with(|model| model.as_ref().map(|model| model.number));
            if last.is_some_and(|last| last != number) {
                untrack(|| desk.clear());
            }
            let Some(settings) = desk.settings() else { return number };
            let last = desk.written_from.get_value();
            if last.as_ref() == Some(&settings) {
                return number;
            }
            let same_prompt = last.as_ref().is_some_and(|last| last.prompt == settings.prompt);
            let same_dice = last.is_some_and(|last| last.sampling.seed == settings.sampling.seed);
            if !same_prompt {
                untrack(|| desk.empty());
            }
            untrack(|| desk.write(settings, same_prompt && same_dice));
            number
        });
        desk
    }

    /// Why the prompt cannot be continued.
    pub fn prompt_problem(self) -> Option<String> {
        if let Some(failure) = self.prompt.failure.get() {
            return Some(failure.message);
        }
        let tokens = self.prompt.get()?;
        if let Some(unknown) = &tokens.unknown {
            let character = crate::ui::number::visible(&unknown.character.to_string());
            return Some(format!("The model has no token for ‘{character}’: take it out of the prompt."));
        }
        let empty = tokens.tokens.is_empty();
        empty.then(|| "The prompt is empty. Give the model at least one character to go on from.".into())
    }

    /// Settings that can be written from.
    fn settings(self) -> Option<Settings> {
        let view = self.store.view;
        if self.prompt_problem().is_some() {
            return None;
        }
        let prompt = self.prompt.get()?;
        if self.outdated.with_value(|outdated| outdated.as_ref().is_some_and(|outdated| Arc::ptr_eq(outdated, &prompt)))
        {
            return None;
        }
        let prompt: Vec<u32> = prompt.tokens.iter().map(|token| token.id).collect();
        let sampling = SamplerConfig {
            temperature: view.temperature.get(),
            top_k: view.top_k.get(),
            top_p: view.top_p.get(),
            seed: view.seed.get(),
        };
        Some(Settings { prompt, sampling, length: view.length.get().clamp(1, self.most()?) })
    }

    /// Tokens that a text of the loaded model may have.
    pub fn most(self) -> Option<usize> {
        self.store.model.with(|model| Some((MOST_LOGITS / model.as_ref()?.config.vocab_size).clamp(1, MOST_TOKENS)))
    }

    /// Whether there is something that can be written from.
    pub fn can_write(self) -> bool {
        self.settings().is_some()
    }

    /// Forgets all that is of the model before.
    fn clear(self) {
        self.stop();
        self.outdated.set_value(self.prompt.value.get());
        self.written_from.set_value(None);
        self.speed.set(None);
        self.failure.set(None);
        self.empty();
    }

    fn empty(self) {
        self.text.set(Text::default());
        self.branches.set(vec![Text::default()]);
        self.current.set(0);
    }

    /// Writes the text on the desk (again).
    fn write(self, settings: Settings, compare: bool) {
        self.stop_slowly();
        self.written_from.set_value(Some(settings.clone()));
        // The last text's says nothing of this one.
        self.speed.set(None);
        self.text.update(|text| text.begin(settings, compare));
        let count = self.text.with_untracked(|text| match text.given {
            0 => text.settings.length,
            given => text.settings.length.saturating_sub(given).max(LEAST_MORE),
        });
        self.ask(count);
    }

    /// Writes the text again with the settings as they are.
    pub fn rewrite(self) {
        if let Some(settings) = untrack(|| self.settings()) {
            self.write(settings, true);
        }
    }

    /// Draws one token more, unless one is being drawn: asked for once more, it would begin anew.
    pub fn step(self) {
        let (writing, begun) = self.text.with_untracked(|text| (text.writing, !text.settings.prompt.is_empty()));
        if (writing && self.stepping.get_value()) || !begun || !untrack(|| self.can_write()) {
            return;
        }
        self.text.update(Text::begin_more);
        self.store.view.picked.set(self.text.with_untracked(|text| text.fresh));
        self.ask(1);
    }

    /// Draws one token after the other, slowly, or stops doing so.
    pub fn toggle_slow(self) {
        if self.slow.get_untracked() {
            return self.stop();
        }
        self.stop();
        if !untrack(|| self.can_write()) {
            return;
        }
        self.slow.set(true);
        self.step();
        let full = move || self.text.with_untracked(|text| text.fresh >= 2 * text.settings.length.max(1));
        let over = move || full() || !untrack(|| self.can_write());
        let tick = move || if over() { self.stop() } else { self.step() };
        self.slowly.set_value(set_interval_with_handle(tick, SLOWLY).ok());
    }

    fn stop_slowly(self) {
        if let Some(Some(interval)) = self.slowly.try_update_value(Option::take) {
            interval.clear();
        }
        self.slow.set(false);
    }

    /// Stops writing.
    pub fn stop(self) {
        self.stop_slowly();
        self.cancel();
        if self.text.with_untracked(|text| text.writing) {
            self.text.update(Text::end);
        }
    }

    fn cancel(self) {
        if let Some(Some(running)) = self.under_way.try_update_value(Option::take) {
            running.abort();
        }
    }

    /// Asks for so many tokens behind what is fresh.
    fn ask(self, count: usize) {
        self.ask_of(count, false);
    }

    /// `again` is of the engine that took over from one that failed.
    fn ask_of(self, count: usize, again: bool) {
        self.cancel();
        self.failure.set(None);
        self.stepping.set_value(count == 1);
        let end = self.text.with_untracked(|text| text.fresh) + count;
        let question = self.text.with_untracked(|text| Generate {
            prompt: text.settings.prompt.clone(),
            given: text.tokens[..text.fresh].iter().map(|token| token.id).collect(),
            sampling: text.settings.sampling,
            count,
        });
        let hearing = task::start_stoppable(async move {
            // Asked in here, after the task before this one has been dropped: its generator is free by then.
            let mut conversation = self.store.client.ask(question);
            while let Some(heard) = conversation.next().await {
                match heard {
                    Heard::Part(drawn) => self.text.update(|text| text.take(&drawn)),
                    Heard::Answer(written) => {
                        self.text.update(Text::end);
                        // A single token is over too soon to be measured.
                        if written.tokens > 1 && written.seconds > 0.0 {
                            self.speed.set(Some(written.tokens as f64 / written.seconds));
                            self.finished.update(|finished| *finished += 1);
                        }
                    }
                    Heard::Failed(failure) if failure.kind == FailureKind::Device && !again => {
                        // The CPU has taken over by now, and ids are ids.
                        return self.ask_of(end - self.text.with_untracked(|text| text.fresh), true);
                    }
                    Heard::Failed(failure) => {
                        self.stop_slowly();
                        self.text.update(Text::end);
                        // Where another model took the old one's place, that one writes.
                        self.failure.set((failure.kind != FailureKind::Replaced).then_some(failure));
                    }
                }
            }
        });
        self.under_way.set_value(Some(hearing));
    }

    /// Keeps the text up to a token and writes on from there with other dice.
    pub fn fork(self, at: usize) {
        self.stop();
        let fork = self.text.with_untracked(|text| text.up_to((at + 1).min(text.tokens.len())));
        self.put_on_desk(fork);
        // Whoever hears of the new seed writes.
        self.new_seed();
    }

    /// Puts a token in place of another one, and writes on from there with the same dice.
    pub fn force(self, at: usize, id: u32) {
        self.stop();
        let Some(settings) = untrack(|| self.settings()) else { return };
        let sampling = settings.sampling;
        let forced = self.text.with_untracked(|text| {
            if at >= text.tokens.len() {
                return None;
            }
            let probabilities = Sampler::new(sampling).ok()?.probabilities(text.logits_of(at));
            let chance = probabilities[id as usize];
            Some(text.with(at, Token { id, chance, entropy: entropy(&probabilities), seed: None }))
        });
        let Some(forced) = forced else { return };
        self.put_on_desk(forced);
        self.write(settings, false);
    }

    /// Other dice.
    pub fn new_seed(self) {
        let seed = (js_sys::Math::random() * 1e6) as u64;
        let old = self.store.view.seed.get_untracked();
        self.store.view.seed.set(if seed == old { seed + 1 } else { seed });
    }

    fn put_on_desk(self, text: Text) {
        let old = self.text.get_untracked();
        let mut current = self.current.get_untracked();
        self.branches.update(|branches| {
            branches[current] = old;
            if branches.len() == MOST_BRANCHES {
                branches.remove(0);
            }
            branches.push(text.clone());
            current = branches.len() - 1;
        });
        self.current.set(current);
        self.text.set(text);
    }

    /// Puts another of the texts on the desk, with the settings that it was written with.
    pub fn turn_to(self, branch: usize) {
        self.stop();
        let current = self.current.get_untracked();
        let Some(text) = self.branches.with_untracked(|branches| branches.get(branch).cloned()) else { return };
        if branch == current {
            return;
        }
        let old = self.text.get_untracked();
        self.branches.update(|branches| branches[current] = old);
        self.show(branch, text);
    }

    /// Drops the text on the desk and goes back to the one before it.
    pub fn back(self) {
        self.stop();
        let current = self.current.get_untracked();
        let Some(before) = current.checked_sub(1) else { return };
        self.branches.update(|branches| {
            branches.remove(current);
        });
        let text = self.branches.with_untracked(|branches| branches[before].clone());
        self.show(before, text);
    }

    fn show(self, branch: usize, text: Text) {
        let settings = text.settings.clone();
        self.current.set(branch);
        self.text.set(text);
        self.failure.set(None);
        let view = self.store.view;
        // Nothing is to be written: it has been, from these.
        self.written_from.set_value(Some(settings.clone()));
        view.temperature.set(settings.sampling.temperature);
        view.top_k.set(settings.sampling.top_k);
        view.top_p.set(settings.sampling.top_p);
        view.seed.set(settings.sampling.seed);
        view.length.set(settings.length);
    }

    /// The picked token: none where there is no text.
    pub fn picked(self) -> Option<usize> {
        let last = self.text.with(|text| text.tokens.len()).checked_sub(1)?;
        Some(self.store.view.picked.get().min(last))
    }

    /// A token as people see it.
    pub fn glyph(self, id: u32) -> String {
        let text = self.store.model.with(|model| model.as_ref()?.vocabulary.get(id as usize).cloned());
        crate::ui::number::visible(&text.unwrap_or_default())
    }
}
