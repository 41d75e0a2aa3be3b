//! How alike positions are: `cos(i, j) = pᵢ · pⱼ / (‖pᵢ‖ ‖pⱼ‖)` over rows of the position table, as they are added. A row of zeros is like
//! nothing, itself included: 0.

use super::Workshop;
use crate::protocol::embed::{PositionMap, PositionSimilarity};
use crate::protocol::{Failure, Values};

impl Workshop {
    pub(in super::super) fn position_map(&mut self, call: PositionMap) -> Result<PositionSimilarity, Failure> {
        let model = self.model.as_ref().ok_or_else(Failure::no_model)?;
        let channels = model.config().n_embd;
        let Some(table) = self.spaces.positions(model) else {
            return Ok(PositionSimilarity { positions: 0, all: 0, cosines: Values(Vec::new()) });
        };
        let all = table.len() / channels;
        let positions = call.positions.min(all);
        Ok(PositionSimilarity { positions, all, cosines: Values(cosines(&table[..positions * channels], channels)) })
    }
}

/// Of all pairs of rows, `[n, n]`.
fn cosines(table: &[f32], channels: usize) -> Vec<f32> {
    let units: Vec<Vec<f64>> = table.chunks_exact(channels).map(unit).collect();
    let n = units.len();
    let mut cosines = vec![0.0; n * n];
    for (i, a) in units.iter().enumerate() {
        for (j, b) in units.iter().enumerate().take(i + 1) {
            let cosine: f64 = a.iter().zip(b).map(|(a, b)| a * b).sum();
            let cosine = cosine.clamp(-1.0, 1.0) as f32;
            cosines[i * n + j] = cosine;
            cosines[j * n + i] = cosine;
        }
    }
    cosines
}

fn unit(row: &[f32]) -> Vec<f64> {
    let length = row.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
    let inverse = if length > 0.0 { 1.0 / length } else { 0.0 };
    row.iter().map(|&x| f64::from(x) * inverse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cosines_are_of_directions() {
        let found = cosines(&[3.0, 0.0, 0.5, 0.5, 0.0, -2.0, 0.0, 0.0], 2);
        let half = 0.5_f32.sqrt();
        let expected =
            [[1.0, half, 0.0, 0.0], [half, 1.0, -half, 0.0], [0.0, -half, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0]].concat();
        assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-7), "{found:?}");
    }
}
