//! The models of a run as they were, as many as there is room for.
//!
//! A run changes fast at first and slowly later. So what makes room is the snapshot whose neighbours are closest by ratio of their steps: what is
//! left is about evenly spaced on a logarithmic scale. The first, the best and the last stay.

use std::collections::BTreeMap;
use std::rc::Rc;

use inkling_core::Weights;

/// Bytes of snapshots that a run keeps.
const ROOM: usize = 96 << 20;

/// Models by updates done.
#[derive(Default)]
pub struct Snapshots {
    kept: BTreeMap<u64, Rc<Weights>>,
}

impl Snapshots {
    /// Whether there is one.
    pub fn contains(&self, step: u64) -> bool {
        self.kept.contains_key(&step)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Rc<Weights>)> {
        self.kept.iter().map(|(step, weights)| (*step, weights))
    }

    /// The model of a step.
    pub fn get(&self, step: u64) -> Option<Rc<Weights>> {
        self.kept.get(&step).cloned()
    }

    /// Keeps a model, the latest; the steps of those that made room for it.
    pub fn add(&mut self, step: u64, weights: Rc<Weights>, best: Option<u64>) -> Vec<u64> {
        let bytes: usize = weights.values().map(|tensor| 4 * tensor.data.len()).sum();
        self.kept.insert(step, weights);
        let mut gone = Vec::new();
        while self.kept.len() * bytes > ROOM {
            let Some(step) = least_missed(&self.kept.keys().copied().collect::<Vec<_>>(), best) else { break };
            self.kept.remove(&step);
            gone.push(step);
        }
        gone
    }

    /// Drops the models after a step.
    pub fn rewind(&mut self, step: u64) {
        self.kept.retain(|&kept, _| kept <= step);
    }
}

/// The step that leaves the smallest gap, if any may go.
fn least_missed(steps: &[u64], best: Option<u64>) -> Option<u64> {
    let gap = |around: &[u64]| (around[2] + 1) as f64 / (around[0] + 1) as f64;
    let inner = steps.windows(3).filter(|around| Some(around[1]) != best);
    inner.min_by(|a, b| gap(a).total_cmp(&gap(b))).map(|around| around[1])
}

/// Whether a model of this step is worth a look: 1, 2, 5, 10, 20, 50, …
pub fn is_milestone(step: u64) -> bool {
    let mut unit = 1;
    while unit * 10 <= step {
        unit *= 10;
    }
    [1, 2, 5].iter().any(|digit| digit * unit == step)
}

#[cfg(test)]
mod tests {
    use inkling_core::HostTensor;

    use super::*;

    #[test]
    fn milestones_are_spaced_by_their_ratio() {
        let steps: Vec<u64> = (0..3000).filter(|&step| is_milestone(step)).collect();
        assert_eq!(steps, [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000]);
    }

    #[test]
    fn the_first_the_best_and_the_last_stay_and_the_others_get_further_apart() {
        // Sixteen of six MiB have room.
        let tensor = HostTensor { shape: vec![6 << 18], data: vec![0.0; 6 << 18] };
        let weights = Rc::new(Weights::from([("w".into(), tensor)]));
        let mut snapshots = Snapshots::default();
        let mut gone = Vec::new();
        let mut all: Vec<u64> = vec![0];
        snapshots.add(0, weights.clone(), None);
        for step in (1..=5000).filter(|step| is_milestone(*step) || step % 100 == 0) {
            gone.extend(snapshots.add(step, weights.clone(), Some(1700).filter(|best| step >= *best)));
            all.push(step);
            assert!(snapshots.contains(step) && snapshots.contains(0));
            assert!(step < 1700 || snapshots.contains(1700));
        }
        let kept: Vec<u64> = snapshots.kept.keys().copied().collect();
        assert_eq!(kept.len(), 16);
        gone.extend(&kept);
        gone.sort_unstable();
        assert_eq!(gone, all);
        let ratios: Vec<f64> = kept.windows(2).map(|pair| (pair[1] + 1) as f64 / (pair[0] + 1) as f64).collect();
        assert!(ratios.iter().all(|ratio| *ratio < 4.0), "{kept:?}");
        snapshots.rewind(1700);
        assert_eq!(snapshots.kept.keys().last(), Some(&1700));
    }
}
