//! What a visitor types, as a folder's address.

use super::last;
use crate::protocol::Failure;

/// A model's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Without a `/` at its end.
    pub folder: String,
    /// What to call it.
    pub name: String,
    /// Whether it lies beside the page.
    pub ours: bool,
}

const HUGGING_FACE: &str = "https://huggingface.co/";

impl Address {
    /// Takes a folder's address, one of a file in it, or a model's page on Hugging Face.
    ///
    /// # Errors
    /// Nothing, or no address of the web.
    pub fn parse(typed: &str) -> Result<Self, Failure> {
        let typed = typed.trim();
        let typed = typed.split(['#', '?']).next().unwrap_or_default().trim_end_matches('/');
        if typed.is_empty() {
            return Err(Failure::input(
                "Give the address of a folder that has config.json and model.safetensors in it.",
            ));
        }
        // Browsers leave some of these out and take others for `/`: what is asked for would not be what is read here.
        if typed.contains(|c: char| c.is_control() || c == '\\') {
            return Err(Failure::input("A model's address has no backslash and no control character in it."));
        }
        let ours = match typed.split_once(':') {
            Some(("http" | "https", rest)) if rest.len() > 2 && rest.starts_with("//") => false,
            Some((scheme, _)) if !scheme.contains('/') => {
                return Err(Failure::input(format!("{typed}: a model's address begins with https://")));
            }
            _ => !typed.starts_with("//"),
        };
        if let Some(model) = typed.strip_prefix(HUGGING_FACE) {
            return Self::on_hugging_face(model);
        }
        let is_file = [".json", ".safetensors"].iter().any(|end| last(typed).ends_with(end));
        let folder = if is_file { typed.rsplit_once('/').map_or(".", |(folder, _)| folder) } else { typed };
        Ok(Self { folder: folder.to_owned(), name: last(folder).to_owned(), ours })
    }

    /// `organisation/model`, with a branch perhaps.
    fn on_hugging_face(model: &str) -> Result<Self, Failure> {
        let parts: Vec<&str> = model.split('/').collect();
        let [organisation, name, rest @ ..] = &parts[..] else {
            return Err(Failure::input(format!("{HUGGING_FACE}{model}: a model there has an organisation and a name")));
        };
        let branch = match rest {
            ["tree" | "blob" | "resolve", branch, ..] => branch,
            _ => "main",
        };
        let folder = format!("{HUGGING_FACE}{organisation}/{name}/resolve/{branch}");
        Ok(Self { folder, name: (*name).to_owned(), ours: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(typed: &str) -> (String, String, bool) {
        let Address { folder, name, ours } = Address::parse(typed).unwrap();
        (folder, name, ours)
    }

    #[test]
    fn folders_and_files_in_them_are_the_same() {
        let expected = ("https://example.org/gpt".to_owned(), "gpt".to_owned(), false);
        for typed in ["https://example.org/gpt", " https://example.org/gpt/ ", "https://example.org/gpt/config.json#x"]
        {
            assert_eq!(folder(typed), expected);
        }
        assert_eq!(folder("models/shakespeare"), ("models/shakespeare".into(), "shakespeare".into(), true));
        assert!(!folder("//example.org/gpt").2);
    }

    #[test]
    fn hugging_face_pages_are_folders() {
        let expected = "https://huggingface.co/openai-community/gpt2/resolve/main";
        assert_eq!(folder("https://huggingface.co/openai-community/gpt2").0, expected);
        assert_eq!(folder("https://huggingface.co/openai-community/gpt2/blob/main/config.json").0, expected);
        assert_eq!(folder("https://huggingface.co/openai-community/gpt2").1, "gpt2");
        assert!(Address::parse("https://huggingface.co/gpt2").is_err());
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for typed in ["", "  ", "?x", "file:///etc", "data:text/plain,x", "javascript:alert(1)", "https:"] {
            assert!(Address::parse(typed).is_err(), "{typed}");
        }
        // Browsers take each of these for another host's.
        for typed in
            ["\\\\evil.example\\m", "/\\evil.example/m", "/\t/evil.example/m", "ht\ntps://evil.example/m", "a\0b"]
        {
            assert!(Address::parse(typed).is_err(), "{typed:?}");
        }
    }
}
