//! An entry of a file: a run, or a variant with a run for each of several seeds.

/// What an entry is read from: the browser's JSON, and in tests the compiler's.
pub trait Source: Sized {
    /// A text.
    fn text(&self, key: &str) -> Option<String>;
    /// A number.
    fn number(&self, key: &str) -> Option<f64>;
    /// A list; of a list, its items are asked for by their place.
    fn list(&self, key: &str) -> Option<Vec<Self>>;
}

/// The version that can be read.
const VERSION: f64 = 1.0;

/// What is known of a run. What a file does not say of it is empty or no number.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The preset's or variant's.
    pub name: String,
    /// For people, where the name is not.
    pub title: String,
    /// In a sentence.
    pub says: String,
    /// Why it is used.
    pub why: String,
    /// How to repeat it.
    pub command: String,
    /// Where it was trained.
    pub machine: String,
    /// What it writes.
    pub sample: String,
    /// Weights.
    pub parameters: f64,
    /// Done.
    pub updates: f64,
    /// Read.
    pub tokens: f64,
    /// Of training.
    pub seconds: f64,
    /// While training.
    pub tokens_per_second: f64,
    /// The best validation loss.
    pub best: f64,
    /// Of the best.
    pub bits_per_char: f64,
    /// That a model keeps of a token while it writes.
    pub cache: f64,
    /// Seconds and validation loss of each evaluation.
    pub curve: Vec<(f64, f64)>,
    /// The best validation loss of each seed.
    pub seeds: Vec<f64>,
}

impl Entry {
    fn read(source: &impl Source) -> Option<Self> {
        let text = |key| source.text(key).unwrap_or_default();
        let number = |key| source.number(key).unwrap_or(f64::NAN);
        let list = |key| source.list(key).unwrap_or_default();
        let entry = Self {
            name: text("name"),
            title: text("title"),
            says: text("says"),
            why: text("why"),
            command: text("command"),
            machine: text("machine"),
            sample: text("sample"),
            parameters: number("parameters"),
            updates: number("updates"),
            tokens: number("tokens"),
            seconds: number("seconds"),
            tokens_per_second: number("tokens_per_second"),
            best: number("best"),
            bits_per_char: number("bits_per_char"),
            cache: number("kv_bytes_per_token"),
            curve: list("evaluations").iter().filter_map(|each| Some((each.number("2")?, each.number("1")?))).collect(),
            seeds: list("runs").iter().filter_map(|run| run.number("best")).collect(),
        };
        let is_run = entry.best > 0.0 && !entry.curve.is_empty();
        let is_known = !entry.name.is_empty() && !entry.command.is_empty() && entry.parameters > 0.0;
        (is_known && (is_run || entry.seeds.len() > 1)).then_some(entry)
    }

    /// All of a file; `None` of one that cannot be meant.
    pub fn read_all(file: &impl Source) -> Option<Vec<Self>> {
        if file.number("version") != Some(VERSION) {
            return None;
        }
        let entries: Option<Vec<Self>> = file.list("entries")?.iter().map(Self::read).collect();
        entries.filter(|entries| !entries.is_empty())
    }
}

/// The files of the repository, for tests.
#[cfg(test)]
pub(crate) mod tests {
    use inkling_core::ModelConfig;
    use serde_json::{Value, json};

    use super::*;

    impl Source for Value {
        fn text(&self, key: &str) -> Option<String> {
            self[key].as_str().map(str::to_owned)
        }

        fn number(&self, key: &str) -> Option<f64> {
            key.parse().map_or_else(|_| &self[key], |at: usize| &self[at]).as_f64()
        }

        fn list(&self, key: &str) -> Option<Vec<Self>> {
            self[key].as_array().cloned()
        }
    }

    const SCALE: &str = include_str!("../../../../../../web/measured/scale.json");
    const MODERN: &str = include_str!("../../../../../../web/measured/modern.json");

    fn json(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    /// The files of the repository.
    pub fn recorded() -> [Vec<Entry>; 2] {
        [SCALE, MODERN].map(|text| Entry::read_all(&json(text)).unwrap())
    }

    #[test]
    fn recorded_parameters_and_losses_agree_with_themselves() {
        for text in [SCALE, MODERN] {
            let file = json(text);
            let raw = file["entries"].as_array().unwrap();
            for (entry, raw) in Entry::read_all(&file).unwrap().iter().zip(raw) {
                let config: ModelConfig = serde_json::from_value(raw["model"].clone()).unwrap();
                assert_eq!(config.num_parameters() as f64, entry.parameters, "{}", entry.name);
                assert!(entry.tokens > 0.0 && entry.updates > 0.0 && !entry.machine.is_empty());
                assert!(entry.sample.starts_with("ROMEO:") && entry.sample.chars().count() == 246, "{}", entry.name);
                let runs = raw["runs"].as_array().cloned().unwrap_or_else(|| vec![raw.clone()]);
                for run in &runs {
                    let losses: Vec<f64> =
                        run["evaluations"].as_array().unwrap().iter().map(|e| e[1].as_f64().unwrap()).collect();
                    let least = losses.iter().copied().fold(f64::INFINITY, f64::min);
                    assert_eq!(run["best"], least, "{}", entry.name);
                    assert_eq!(run["last"], *losses.last().unwrap());
                    // One character is one token.
                    let bits = run["bits_per_char"].as_f64().unwrap();
                    assert!((bits - least / std::f64::consts::LN_2).abs() < 2e-4, "{}", entry.name);
                }
                if !entry.seeds.is_empty() {
                    let kept = 2 * config.n_layer * config.n_kv_head * config.head_dim() * 4;
                    assert_eq!(entry.cache, kept as f64, "{}", entry.name);
                    assert_eq!(entry.seeds.len(), runs.len());
                }
            }
        }
    }

    #[test]
    fn recorded_runs_are_of_the_presets_and_settings_that_they_name() {
        for text in [SCALE, MODERN] {
            for raw in json(text)["entries"].as_array().unwrap() {
                let command = raw["command"].as_str().unwrap();
                let mut words = command.split(' ').skip_while(|word| *word != "--preset").skip(1);
                let preset = inkling_core::presets::find(words.next().unwrap()).unwrap();
                let mut model = serde_json::to_value(&preset.model).unwrap();
                for set in raw["set"].as_array().into_iter().flatten() {
                    let (name, value) = set.as_str().unwrap().split_once('=').unwrap();
                    model[name] = serde_json::from_str(value).unwrap_or_else(|_| value.into());
                    assert!(command.contains(set.as_str().unwrap()));
                }
                let of = |value: Value| serde_json::from_value::<ModelConfig>(value).unwrap();
                assert_eq!(of(model), of(raw["model"].clone()), "{command}");
            }
        }
    }

    #[test]
    fn another_version_or_half_an_entry_is_refused() {
        let whole = json!({"version": 1, "entries": [{
            "name": "nano", "command": "trainer train", "parameters": 5, "best": 1.5, "evaluations": [[10, 1.5, 0.2]]
        }]});
        let read = Entry::read_all(&whole).unwrap();
        assert_eq!(read[0].curve, [(0.2, 1.5)]);
        for (key, value) in [("version", json!(2)), ("entries", json!([])), ("entries", json!([{"name": "nano"}]))] {
            let mut other = whole.clone();
            other[key] = value;
            assert_eq!(Entry::read_all(&other), None);
        }
        assert_eq!(Entry::read_all(&Value::Null), None);
    }
}
