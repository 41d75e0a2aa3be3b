//! From weights to colours and heights. 1/256 cannot be seen on a linear scale, so the root is what is shown first.

/// How weights are drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scale {
    /// √w.
    #[default]
    Root,
    /// w.
    Linear,
    /// w over the largest of its row.
    RowMax,
    /// √(w (i + 1)) / 4: times as much as a query that looks at all alike would give, up to 16.
    Uniform,
}

impl Scale {
    /// All of them, as offered.
    pub const ALL: [Self; 4] = [Self::Root, Self::Linear, Self::RowMax, Self::Uniform];

    /// By its number among them, as a text field has it.
    pub fn from_value(value: &str) -> Self {
        value.parse().ok().and_then(|at: usize| Self::ALL.get(at).copied()).unwrap_or_default()
    }

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Root => "√w",
            Self::Linear => "w",
            Self::RowMax => "share of the row's largest",
            Self::Uniform => "times uniform, w·(i+1)",
        }
    }

    /// From 0 to 1, for a weight of query `query` whose row's largest is `most`.
    pub fn share(self, weight: f32, query: usize, most: f32) -> f32 {
        let share = match self {
            Self::Root => weight.sqrt(),
            Self::Linear => weight,
            Self::RowMax => weight / most.max(f32::MIN_POSITIVE),
            Self::Uniform => (weight * (query + 1) as f32).sqrt() / 4.0,
        };
        share.min(1.0)
    }

    /// What the shares 0, ¼, ½, ¾ and 1 stand for.
    pub fn ticks(self) -> [&'static str; 5] {
        match self {
            Self::Root => ["0", "0.0625", "0.25", "0.563", "1"],
            Self::Linear => ["0", "0.25", "0.5", "0.75", "1"],
            Self::RowMax => ["0", "¼ max", "½ max", "¾ max", "max"],
            Self::Uniform => ["0", "1×", "4×", "9×", "≥16×"],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_where_they_say() {
        for (at, tick) in Scale::Root.ticks().iter().enumerate() {
            let weight: f32 = tick.parse().unwrap();
            assert!((Scale::Root.share(weight, 9, 0.5) - at as f32 / 4.0).abs() < 1e-3);
        }
        assert_eq!(Scale::Linear.share(0.25, 9, 0.5), 0.25);
        assert_eq!(Scale::RowMax.share(0.25, 9, 0.5), 0.5);
        // A query that sees ten keys and gives one of them a tenth, or four.
        assert_eq!(Scale::Uniform.share(0.1, 9, 0.5), 0.25);
        assert_eq!(Scale::Uniform.share(0.4, 9, 0.5), 0.5);
        assert_eq!(Scale::Uniform.share(1.0, 99, 1.0), 1.0);
    }

    #[test]
    fn an_unknown_scale_is_the_first() {
        assert_eq!(Scale::from_value("2"), Scale::RowMax);
        assert_eq!(Scale::from_value("9"), Scale::Root);
    }
}
