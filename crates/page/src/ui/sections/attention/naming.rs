//! What a head does, in a few words: the pattern that it shows most beyond chance.

use crate::protocol::attention::Pattern;
use crate::ui::number::three;

/// A head's habit.
#[derive(Clone, Debug, PartialEq)]
pub struct Habit {
    /// Two or three words.
    pub name: &'static str,
    /// The mean weight on such keys, and that of a head that looks at all alike; none of a head without a habit.
    pub weight: Option<(f32, f32)>,
    /// Mean entropy of its rows, in bits.
    pub bits: f32,
}

/// Below this much of its weight, and twice what chance gives, a head has no habit.
const ENOUGH: f32 = 0.3;

fn words(pattern: Pattern) -> &'static str {
    match pattern {
        Pattern::Itself => "itself",
        Pattern::Previous => "previous token",
        Pattern::TwoBack => "two back",
        Pattern::ThreeBack => "three back",
        Pattern::First => "first token",
        Pattern::LastSpace => "last space",
        Pattern::LastLine => "last line’s end",
        Pattern::LastVowel => "last vowel",
        Pattern::WordStart => "word’s start",
        Pattern::Same => "same token",
        Pattern::AfterSame => "what came next",
        Pattern::Word => "this word",
    }
}

impl Habit {
    /// From a head's share of each pattern, that of chance, and its entropy.
    pub fn new(patterns: &[f32], chance: &[f32], bits: f32) -> Self {
        let excess = |at: &usize| patterns[*at] - chance[*at];
        let clear = |at: &usize| patterns[*at] >= ENOUGH && patterns[*at] >= 2.0 * chance[*at];
        // A word has many keys: it is the name of a head that has no narrower one.
        let narrow = (0..patterns.len()).filter(|at| Pattern::ALL[*at] != Pattern::Word && clear(at));
        let narrow = narrow.max_by(|a, b| excess(a).total_cmp(&excess(b)));
        let word = Some(Pattern::Word as usize).filter(|at| clear(at) && patterns[*at] >= 0.5);
        match narrow.or(word) {
            Some(at) => Self { name: words(Pattern::ALL[at]), weight: Some((patterns[at], chance[at])), bits },
            None => Self { name: "mixed", weight: None, bits },
        }
    }

    /// `previous token 0.83`; for a head without a habit, how many keys it looks at.
    pub fn label(&self) -> String {
        match self.weight {
            Some((weight, _)) => format!("{} {}", self.name, three(f64::from(weight))),
            None => format!("{}, ≈{} keys", self.name, three(f64::from(self.bits.exp2()))),
        }
    }

    /// A sentence.
    pub fn sentence(&self) -> String {
        let keys = three(f64::from(self.bits.exp2()));
        match self.weight {
            Some((weight, chance)) => format!(
                "On this text, {} of its weight is on the keys “{}” on average; looking at all alike would put {} there. \
                 A row is spread as over {keys} keys.",
                three(f64::from(weight)),
                self.name,
                three(f64::from(chance))
            ),
            None => format!("No simple habit on this text. A row is spread as over {keys} keys."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clearest_pattern_names_a_head() {
        let chance = [0.05, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05, 0.1, 0.1, 0.2];
        let mut patterns = chance;
        assert_eq!(Habit::new(&patterns, &chance, 3.0).label(), "mixed, ≈8.00 keys");
        patterns[Pattern::Word as usize] = 0.9;
        assert_eq!(Habit::new(&patterns, &chance, 1.0).label(), "this word 0.900");
        patterns[1] = 0.83;
        assert_eq!(Habit::new(&patterns, &chance, 1.0).label(), "previous token 0.830");
    }

    #[test]
    fn what_chance_gives_is_no_habit() {
        let chance = [0.4; 12];
        assert_eq!(Habit::new(&[0.45; 12], &chance, 1.0).name, "mixed");
    }
}
