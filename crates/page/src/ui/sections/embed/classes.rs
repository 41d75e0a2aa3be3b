//! What kind of token it is, for a map that is read without colours too: every kind has a shape.

/// Kinds of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// `a e i o u`, large or small.
    Vowel,
    /// The other letters, `y` among them; words too.
    Consonant,
    /// Digits, punctuation, white space.
    Sign,
}

impl Class {
    /// Each with its name.
    pub const ALL: [(Self, &str); 3] = [
        (Self::Vowel, "vowels: circles"),
        (Self::Consonant, "other letters: squares"),
        (Self::Sign, "signs: diamonds"),
    ];

    /// Of a token. White space before a word does not count.
    pub fn of(text: &str) -> Self {
        let text = text.trim_start();
        if !text.starts_with(char::is_alphabetic) {
            Self::Sign
        } else if matches!(text, "a" | "e" | "i" | "o" | "u" | "A" | "E" | "I" | "O" | "U") {
            Self::Vowel
        } else {
            Self::Consonant
        }
    }

    /// Of the style sheet.
    pub fn name(self) -> &'static str {
        match self {
            Self::Vowel => "embed-vowel",
            Self::Consonant => "embed-consonant",
            Self::Sign => "embed-sign",
        }
    }

    /// Its outline around (0, 0), about 19 across.
    pub fn outline(self) -> &'static str {
        match self {
            Self::Vowel => "M-9.5 0a9.5 9.5 0 1 0 19 0a9.5 9.5 0 1 0 -19 0z",
            Self::Consonant => "M-8.5 -8.5h17v17h-17z",
            Self::Sign => "M0 -11L11 0L0 11L-11 0z",
        }
    }
}

/// Whether it begins with a capital: drawn filled.
pub fn capital(text: &str) -> bool {
    text.trim_start().starts_with(char::is_uppercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_of_their_class() {
        for (text, class) in [
            ("e", Class::Vowel),
            ("U", Class::Vowel),
            ("y", Class::Consonant),
            ("é", Class::Consonant),
            (" the", Class::Consonant),
            (" ", Class::Sign),
            ("3", Class::Sign),
            ("\\xC3", Class::Sign),
        ] {
            assert_eq!(Class::of(text), class, "{text:?}");
        }
        assert!(capital("A") && capital(" The") && !capital("a") && !capital("."));
    }
}
