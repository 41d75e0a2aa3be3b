//! What a model of the hub is called: `org/name`, `org/name@revision`, or one of a few short names.

/// Models from before there were organisations, by the name that everybody knows, and where they live now.
const SHORT_NAMES: [(&str, &str); 5] = [
    ("gpt2", "openai-community/gpt2"),
    ("gpt2-medium", "openai-community/gpt2-medium"),
    ("gpt2-large", "openai-community/gpt2-large"),
    ("gpt2-xl", "openai-community/gpt2-xl"),
    ("distilgpt2", "distilbert/distilgpt2"),
];

/// Where a name does not say.
const DEFAULT_REVISION: &str = "main";

/// Longest part of a name that the hub has, and most file systems.
const MAX_PART: usize = 96;

/// A model of the hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelName {
    /// `org/name`.
    pub repository: String,
    /// A branch, tag or commit.
    pub revision: String,
}

impl ModelName {
    /// Reads a name; `None` for what cannot be one.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, revision) = text.split_once('@').unwrap_or((text, DEFAULT_REVISION));
        let short = SHORT_NAMES.iter().find(|(short, _)| *short == name);
        let repository = short.map_or(name, |(_, repository)| repository);
        let (organisation, model) = repository.split_once('/')?;
        let parts = [organisation, model, revision];
        // The hub has no name with `--`, which is what stands for the slash in the cache.
        let is_name = parts.into_iter().all(is_part) && !repository.contains("--");
        is_name.then(|| Self { repository: repository.into(), revision: revision.into() })
    }

    /// The name as one part of a path.
    pub fn folder(&self) -> String {
        self.repository.replace('/', "--")
    }
}

/// Letters, digits, `-`, `_` and `.`, and nothing that means something in a path.
pub fn is_part(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (1..=MAX_PART).contains(&text.len()) && text.chars().all(allowed) && !text.starts_with('.') && !text.contains("..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_from_what_cannot_be_one() {
        let name = |text| ModelName::parse(text).map(|name| (name.repository, name.revision));
        let expected = |repository: &str, revision: &str| Some((repository.to_owned(), revision.to_owned()));
        assert_eq!(name("gpt2"), expected("openai-community/gpt2", "main"));
        assert_eq!(name("distilgpt2@abc123"), expected("distilbert/distilgpt2", "abc123"));
        assert_eq!(name("org/Name-1.5_b"), expected("org/Name-1.5_b", "main"));
        for text in [
            "", "nowhere", "a/b/c", "../a", "a/..", "/a", "a/", "./a", "a/b@", "a/b@x/y", "a b/c", "a\\b", "~/a",
            "a--b/c", "a/b--c",
        ] {
            assert_eq!(name(text), None, "{text}");
        }
        assert_eq!(ModelName::parse("a/b").unwrap().folder(), "a--b");
    }
}
