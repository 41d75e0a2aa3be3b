//! One query's row, in the four stages that it goes through.
//!
//! ```text
//! s = q · k      s' = s / √D      s'' = s' where the query sees the key, else −∞      w = softmax(s'')
//! H = −Σ w log₂ w bits, as many as 2^H keys that weigh alike
//! ```

use crate::protocol::attention::HeadView;
use crate::ui::order::largest_first;

/// A row of a head.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Which.
    pub query: usize,
    /// `q · k`.
    pub scores: Vec<f32>,
    /// Times the head's factor.
    pub scaled: Vec<f32>,
    /// What the query does not see.
    pub masked: Vec<bool>,
    /// After the softmax, as the pass computed them.
    pub weights: Vec<f32>,
}

impl Row {
    /// A head's row; `None` where it has no such query.
    pub fn new(view: &HeadView, query: usize) -> Option<Self> {
        let n = view.tokens.len();
        let row = query * n..(query + 1) * n;
        let scores = view.scores.get(row.clone())?.to_vec();
        Some(Self {
            query,
            scaled: scores.iter().map(|score| score * view.factor).collect(),
            masked: (0..n).map(|key| view.is_masked(query, key)).collect(),
            weights: view.weights.get(row)?.to_vec(),
            scores,
        })
    }

    /// Of the weights: 1 but for rounding.
    pub fn sum(&self) -> f64 {
        self.weights.iter().map(|&weight| f64::from(weight)).sum()
    }

    /// In bits.
    pub fn entropy(&self) -> f64 {
        let terms = self.weights.iter().map(|&weight| f64::from(weight)).filter(|weight| *weight > 0.0);
        (-terms.map(|weight| weight * weight.log2()).sum::<f64>()).max(0.0)
    }

    /// The keys that weigh most, of those that are seen.
    pub fn top(&self, count: usize) -> Vec<usize> {
        let keys = largest_first(self.weights.iter().copied());
        keys.into_iter().filter(|&key| !self.masked[key]).take(count).collect()
    }

    /// The largest weight.
    pub fn most(&self) -> f32 {
        self.weights.iter().copied().fold(0.0, f32::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Values;

    fn view(causal: bool, window: Option<usize>) -> HeadView {
        HeadView {
            layer: 0,
            head: 0,
            heads: 1,
            skipped: 0,
            tokens: vec![1, 2, 3],
            head_dim: 4,
            factor: 0.5,
            causal,
            window,
            scores: Values(vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]),
            weights: Values(vec![1.0, 0.0, 0.0, 0.5, 0.5, 0.0, 0.25, 0.5, 0.25]),
        }
    }

    #[test]
    fn a_row_has_its_stages() {
        let row = Row::new(&view(true, None), 1).unwrap();
        assert_eq!(row.scores, [3.0, 4.0, 5.0]);
        assert_eq!(row.scaled, [1.5, 2.0, 2.5]);
        assert_eq!(row.masked, [false, false, true]);
        assert_eq!((row.sum(), row.entropy(), row.top(10)), (1.0, 1.0, vec![0, 1]));
        assert_eq!(Row::new(&view(true, None), 3), None);
    }

    #[test]
    fn windows_and_lifted_masks_are_known() {
        assert_eq!(Row::new(&view(true, Some(2)), 2).unwrap().masked, [true, false, false]);
        assert_eq!(Row::new(&view(false, None), 0).unwrap().masked, [false; 3]);
        assert_eq!(Row::new(&view(true, None), 2).unwrap().top(2), [1, 0]);
    }
}
