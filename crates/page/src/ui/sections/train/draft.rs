//! The next run: its settings as they are typed, what it would take, and how long.

use std::time::Duration;

use leptos::prelude::*;

use super::estimate::seconds;
use super::presets::{PRESETS, recipe};
use super::recipe::Recipe;
use crate::protocol::model::{EngineKind, cpu_name};
use crate::protocol::train::{PlanRun, RunPlan, RunSettings, RunText, RunTokenizer};
use crate::ui::learner::Learner;
use crate::ui::reactive::{effect, effect_from_last, memo};
use crate::ui::store::Store;
use crate::ui::task;

/// Among the fields that are unreadable: the size of the vocabulary, which is not one of [`super::recipe::FIELDS`].
const VOCABULARY: usize = usize::MAX;
/// Between the last key and the question whether this can be.
const PAUSE: Duration = Duration::from_millis(250);

/// Handles of it.
#[derive(Clone, Copy)]
pub struct Draft {
    store: Store,
    learner: Learner,
    /// Model and training.
    pub recipe: RwSignal<Recipe>,
    /// On what.
    pub text: RwSignal<RunText>,
    /// In which tokens.
    pub tokenizer: RwSignal<RunTokenizer>,
    /// What the visitor calls it.
    pub name: RwSignal<String>,
    /// Fields whose text is no number, and what they need.
    pub unreadable: RwSignal<Vec<(usize, String)>>,
    /// What it takes, or why it cannot be.
    pub plan: RwSignal<Option<Result<RunPlan, String>>>,
    /// What each preset takes.
    pub plans: RwSignal<[Option<RunPlan>; PRESETS.len()]>,
    /// Whether the section has been on screen.
    pub near: RwSignal<bool>,
    /// The preset that was picked, or the one for this device.
    pub preset: Memo<usize>,
}

impl Draft {
    /// The preset of the address, or the one that suits the engine.
    pub fn new(store: Store) -> Self {
        let preset = memo(move || {
            let named =
                store.view.preset.with(|name| PRESETS.iter().position(|preset| Some(preset.name) == name.as_deref()));
            let is_gpu =
                store.engine.with(|engine| engine.as_ref().is_some_and(|engine| engine.kind == EngineKind::WebGpu));
            named.unwrap_or(usize::from(is_gpu))
        });
        let (first, _) = recipe(PRESETS[0].name).expect("presets have recipes");
        let draft = Self {
            store,
            learner: store.learner,
            recipe: RwSignal::new(first),
            text: RwSignal::new(RunText::Shakespeare),
            tokenizer: RwSignal::new(RunTokenizer::Char),
            name: RwSignal::new(String::new()),
            unreadable: RwSignal::new(Vec::new()),
            plan: RwSignal::new(None),
            plans: RwSignal::new([None; PRESETS.len()]),
            near: RwSignal::new(false),
            preset,
        };
        effect(move || draft.start_from(preset.get()));
        draft.follow();
        effect(move || {
            // Other threads, other replicas.
            if draft.near.get() && draft.learner.engine.with(Option::is_some) {
                draft.ask_presets();
            }
        });
        effect(move || {
            let learner = draft.learner;
            if draft.near.get() && learner.speed().is_none() && learner.unmeasured.with(Option::is_none) {
                learner.measure();
            }
        });
        draft
    }

    /// All settings from a preset; the text, too, if it brings its own or the one before did.
    pub fn start_from(self, at: usize) {
        let Some((recipe, text)) = recipe(PRESETS[at].name) else { return };
        self.recipe.set(recipe);
        self.unreadable.set(Vec::new());
        self.name.set(PRESETS[at].label.to_lowercase());
        self.set_tokenizer(RunTokenizer::Char);
        if text == RunText::FirstPages || self.text.with_untracked(|text| *text == RunText::FirstPages) {
            self.text.set(text);
        }
    }

    /// Whether a run with these settings would be begun, whatever its name.
    pub fn is_of(self, settings: &RunSettings) -> bool {
        let Recipe { model, train } = self.recipe.get();
        let mut other = settings.model.clone();
        // That follows from the text.
        other.vocab_size = model.vocab_size;
        (model, train) == (other, settings.train.clone())
            && self.text.with(|text| *text == settings.text)
            && self.tokenizer.get() == settings.tokenizer
    }

    /// What a run can be begun with; none while a field is unreadable.
    pub fn settings(self) -> Option<RunSettings> {
        let readable = self.unreadable.with(Vec::is_empty);
        let Recipe { model, train } = self.recipe.get();
        let name = self.name.get();
        let name = if name.trim().is_empty() { PRESETS[0].label.to_owned() } else { name.trim().to_owned() };
        let (text, tokenizer) = (self.text.get(), self.tokenizer.get());
        readable.then_some(RunSettings { name, model, train, text, tokenizer })
    }

    /// Sets a field to what was typed.
    pub fn set(self, at: usize, typed: &str) {
        let mut recipe = self.recipe.get_untracked();
        let outcome = recipe.set(at, typed);
        self.unreadable.update(|unreadable| {
            unreadable.retain(|(field, _)| *field != at);
            if let Err(sentence) = &outcome {
                unreadable.push((at, sentence.clone()));
            }
        });
        if outcome.is_ok() {
            self.recipe.set(recipe);
        }
    }

    /// Sets how the text becomes tokens.
    pub fn set_tokenizer(self, tokenizer: RunTokenizer) {
        self.unreadable.update(|unreadable| unreadable.retain(|(field, _)| *field != VOCABULARY));
        self.tokenizer.set(tokenizer);
    }

    /// Byte pairs with as many tokens as was typed.
    pub fn set_vocabulary(self, typed: &str) {
        match typed.trim().parse() {
            Ok(vocab_size) => self.set_tokenizer(RunTokenizer::Bpe { vocab_size }),
            Err(_) => self.unreadable.update(|unreadable| {
                unreadable.retain(|(field, _)| *field != VOCABULARY);
                let typed: String = typed.chars().take(20).collect();
                unreadable.push((
                    VOCABULARY,
                    format!("vocab_size is how many tokens there are to be in all, a whole number such as 512, and not “{typed}”."),
                ));
            }),
        }
    }

    /// Why there can be no such run, as a sentence.
    pub fn trouble(self) -> Option<String> {
        let unreadable = self.unreadable.with(|unreadable| unreadable.first().map(|(_, sentence)| sentence.clone()));
        unreadable.or_else(|| self.plan.get()?.err())
    }

    /// Asks what the run takes, a moment after each change.
    fn follow(self) {
        effect_from_last(move |older: Option<Option<TimeoutHandle>>| {
            if let Some(Some(older)) = older {
                older.clear();
            }
            let settings = self.settings();
            // Other threads, other replicas.
            self.learner.engine.track();
            if !self.near.get() {
                return None;
            }
            let settings = settings?;
            let ask = move || {
                task::start(async move {
                    let answer = self.learner.ready().await.ask(PlanRun(settings.clone())).answer().await;
                    // Of two questions, the answer to the last one.
                    if untrack(|| self.settings()) == Some(settings) {
                        self.plan.set(Some(answer.map_err(|failure| sentence(&failure.message))));
                    }
                });
            };
            set_timeout_with_handle(ask, PAUSE).ok()
        });
    }

    /// Asks what the presets take.
    fn ask_presets(self) {
        task::start(async move {
            let client = self.learner.ready().await;
            for (at, preset) in PRESETS.iter().enumerate() {
                let Some((Recipe { model, train }, text)) = recipe(preset.name) else { continue };
                let settings =
                    RunSettings { name: preset.name.into(), model, train, text, tokenizer: RunTokenizer::Char };
                if let Ok(plan) = client.ask(PlanRun(settings)).answer().await {
                    self.plans.update(|plans| plans[at] = Some(plan));
                }
            }
        });
    }

    /// Seconds that a preset takes here, where that is known.
    pub fn seconds_of_preset(self, at: usize) -> Option<f64> {
        let plan = self.plans.with(|plans| plans[at])?;
        let (recipe, _) = recipe(PRESETS[at].name)?;
        Some(seconds(&plan, &recipe.train, &self.learner.speed()?))
    }

    /// Seconds that the run takes here.
    pub fn seconds(self) -> Option<f64> {
        let plan = self.plan.get()?.ok()?;
        let speed = self.learner.speed()?;
        Some(self.recipe.with(|recipe| seconds(&plan, &recipe.train, &speed)))
    }

    /// The engine that the learner uses for the run.
    pub fn engine(self) -> Option<String> {
        let engine = self.learner.engine.get().or_else(|| self.store.engine.get())?;
        match self.plan.get() {
            Some(Ok(plan)) if engine.kind == EngineKind::Cpu => Some(cpu_name(plan.replicas)),
            _ => Some(engine.name),
        }
    }
}

/// Core's errors have no full stop and begin with a small letter, which the name of a field keeps.
fn sentence(text: &str) -> String {
    let mut sentence = text.to_owned();
    if !text.split(' ').next().unwrap_or_default().contains('_') {
        sentence.get_mut(..1).map(str::make_ascii_uppercase);
    }
    if !sentence.ends_with('.') {
        sentence.push('.');
    }
    sentence
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_sentences() {
        assert_eq!(sentence("n_layer is 0"), "n_layer is 0.");
        assert_eq!(sentence("too much."), "Too much.");
    }
}
