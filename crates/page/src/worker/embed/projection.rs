//! The token table in two dimensions: the two principal components of its rows' directions.
//!
//! ```text
//! xᵢ = (wteᵢ − mean) / ‖wteᵢ − mean‖                what cosines compare; the lengths of rare tokens' rows say little
//! S = Σᵢ (xᵢ − x̄)(xᵢ − x̄)ᵀ                        [C, C]
//! v₁ = lim Sᵏ v / ‖Sᵏ v‖                           power iteration, from a fixed v; v₂ likewise, kept orthogonal to v₁
//! place of token i = ((xᵢ − x̄) · v₁, (xᵢ − x̄) · v₂)
//! share = vᵀ S v / trace S
//! ```
//!
//! A component's sign is free: here its largest entry is positive. Where the two next eigenvalues all but agree, the iteration ends at
//! [`MOST_ITERATIONS`] with a direction of their plane, which shows as much variance as any other of it.
//!
//! Source: Pearson 1901; Golub and Van Loan, Matrix Computations, 7.3.

use super::{Workshop, token_table};
use crate::protocol::embed::{MAX_MAP_TOKENS, TokenMapFound};
use crate::protocol::{Failure, Values};

/// Multiplications of a slice: a few milliseconds.
const SLICE: usize = 4_000_000;

/// Of each component.
const MOST_ITERATIONS: usize = 20_000;

/// An iteration that moves a unit vector by less than this has arrived.
const MOVED: f64 = 1e-10;

impl Workshop {
    pub(in super::super) fn begin_projecting(&mut self) -> Result<Projecting, Failure> {
        let table = token_table(self.loaded()?);
        if table.shape[0] > MAX_MAP_TOKENS {
            return Ok(Projecting::new(&[], 1));
        }
        Ok(Projecting::new(&directions(&table.data, table.shape[1]), table.shape[1]))
    }
}

/// Rows less their mean, each of length 1; a row without a direction stays 0.
fn directions(table: &[f32], channels: usize) -> Vec<f32> {
    let mut rows = centred(table, channels);
    for row in rows.chunks_exact_mut(channels) {
        let length = dot(row, row).sqrt();
        row.iter_mut().for_each(|x| *x = if length > 0.0 { *x / length } else { 0.0 });
    }
    rows.into_iter().map(|x| x as f32).collect()
}

fn centred(table: &[f32], channels: usize) -> Vec<f64> {
    let tokens = table.len() / channels;
    let mut means = vec![0.0; channels];
    for row in table.chunks_exact(channels) {
        means.iter_mut().zip(row).for_each(|(mean, &x)| *mean += f64::from(x) / tokens as f64);
    }
    let centred = |row: &[f32]| row.iter().zip(&means).map(|(&x, mean)| f64::from(x) - mean).collect::<Vec<_>>();
    table.chunks_exact(channels).flat_map(centred).collect()
}

/// A projection in the making.
pub struct Projecting {
    /// `C`.
    channels: usize,
    /// Centred rows, `[V, C]`.
    rows: Vec<f64>,
    /// Rows that are in the scatter matrix.
    added: usize,
    /// `S`, `[C, C]`.
    scatter: Vec<f64>,
    /// Components that are found.
    found: Vec<Vec<f64>>,
    /// The next one, so far.
    vector: Vec<f64>,
    iterations: usize,
}

impl Projecting {
    /// Of a table `[V, C]`.
    fn new(table: &[f32], channels: usize) -> Self {
        Self {
            channels,
            rows: centred(table, channels),
            added: 0,
            scatter: vec![0.0; channels * channels],
            found: Vec::new(),
            vector: start(channels),
            iterations: 0,
        }
    }

    /// Some milliseconds of work; the answer at the end.
    pub fn slice(&mut self) -> Option<TokenMapFound> {
        let tokens = self.rows.len() / self.channels;
        // A product with the matrix, or one row's part in it.
        let steps = (SLICE / (self.channels * self.channels)).max(1);
        for _ in 0..steps {
            if self.added < tokens {
                self.add_row();
            } else if self.found.len() < 2 {
                self.iterate();
            } else {
                return Some(self.answer());
            }
        }
        None
    }

    fn add_row(&mut self) {
        let row = &self.rows[self.added * self.channels..][..self.channels];
        for (sums, &factor) in self.scatter.chunks_exact_mut(self.channels).zip(row) {
            sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += factor * x);
        }
        self.added += 1;
    }

    fn times_scatter(&self, vector: &[f64]) -> Vec<f64> {
        self.scatter.chunks_exact(self.channels).map(|row| dot(row, vector)).collect()
    }

    fn iterate(&mut self) {
        let mut next = self.times_scatter(&self.vector);
        for found in &self.found {
            let along = dot(&next, found);
            next.iter_mut().zip(found).for_each(|(x, y)| *x -= along * y);
        }
        let length = dot(&next, &next).sqrt();
        // Nothing is left to be shown on this axis: what remains is the rounding of what was taken away.
        let nothing = length <= 1e-12 * self.trace();
        next.iter_mut().for_each(|x| *x = if nothing { 0.0 } else { *x / length });
        let moved = next.iter().zip(&self.vector).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt();
        self.vector = next;
        self.iterations += 1;
        if nothing || moved < MOVED || self.iterations == MOST_ITERATIONS {
            let mut vector = std::mem::replace(&mut self.vector, start(self.channels));
            let largest = vector.iter().copied().max_by(|a, b| a.abs().total_cmp(&b.abs())).unwrap_or(0.0);
            vector.iter_mut().for_each(|x| *x *= largest.signum());
            self.found.push(vector);
            self.iterations = 0;
        }
    }

    fn trace(&self) -> f64 {
        (0..self.channels).map(|c| self.scatter[c * self.channels + c]).sum()
    }

    fn answer(&self) -> TokenMapFound {
        let trace = self.trace();
        let share = |vector: &[f64]| {
            let along = dot(&self.times_scatter(vector), vector);
            if trace > 0.0 { (along / trace) as f32 } else { 0.0 }
        };
        let place = |row: &[f64]| [dot(row, &self.found[0]) as f32, dot(row, &self.found[1]) as f32];
        TokenMapFound {
            places: Values(self.rows.chunks_exact(self.channels).flat_map(place).collect()),
            shares: [share(&self.found[0]), share(&self.found[1])],
        }
    }
}

/// Where every iteration starts: no two entries alike, so that no symmetry of a table keeps it from a component.
fn start(channels: usize) -> Vec<f64> {
    (0..channels).map(|c| 1.0 / (1.0 + c as f64)).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use inkling_core::rng::{Site, Stream};

    use super::*;

    fn project(table: &[f32], channels: usize) -> TokenMapFound {
        let mut projecting = Projecting::new(table, channels);
        std::iter::repeat_with(|| projecting.slice()).flatten().next().unwrap()
    }

    #[test]
    fn components_of_a_stretched_cloud_are_its_axes() {
        // Along (3, 4) / 5 by ±10, along (−4, 3) / 5 by ±5, and a little along the third axis; around (7, 7, 7).
        let table = [[10.0, 0.0, 0.1], [-10.0, 0.0, 0.1], [0.0, 5.0, -0.1], [0.0, -5.0, -0.1]]
            .map(|[a, b, c]: [f32; 3]| [7.0 + 0.6 * a - 0.8 * b, 7.0 + 0.8 * a + 0.6 * b, 7.0 + c])
            .concat();
        let found = project(&table, 3);
        // The largest entry of the second axis, −0.8, is made positive.
        let expected = [10.0, 0.0, -10.0, 0.0, 0.0, -5.0, 0.0, 5.0];
        assert!(found.places.iter().zip(&expected).all(|(a, b): (&f32, &f32)| (a - b).abs() < 1e-4), "{found:?}");
        let total = 200.0 + 50.0 + 0.04;
        assert!((found.shares[0] - 200.0 / total).abs() < 1e-5 && (found.shares[1] - 50.0 / total).abs() < 1e-5);
    }

    #[test]
    fn directions_have_no_length_and_no_common_part() {
        let found = directions(&[3.0, 5.0, 7.0, 5.0, 5.0, 5.0], 2);
        assert_eq!(found, [-1.0, 0.0, 1.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn axes_are_eigenvectors_and_the_largest() {
        let (tokens, channels) = (60, 16);
        let stream = Stream::new(5, 0, Site::parameter("wte.weight"));
        let table: Vec<f32> = (0..tokens * channels).map(|i| stream.normal(i) * (1 + i % channels) as f32).collect();
        let mut projecting = Projecting::new(&table, channels as usize);
        while projecting.slice().is_none() {}
        let values: Vec<f64> = projecting
            .found
            .iter()
            .map(|vector| {
                let image = projecting.times_scatter(vector);
                let value = dot(&image, vector);
                let off: f64 = image.iter().zip(vector).map(|(a, b)| (a - value * b).powi(2)).sum::<f64>().sqrt();
                assert!(off < 1e-6 * value, "{off} {value}");
                value
            })
            .collect();
        assert!(values[0] > values[1] && dot(&projecting.found[0], &projecting.found[1]).abs() < 1e-9);
        // No direction has more variance than the first.
        for trial in 0..50 {
            let random = Stream::new(6, trial, Site::BATCH);
            let vector: Vec<f64> = (0..channels).map(|i| f64::from(random.normal(i))).collect();
            let value = dot(&projecting.times_scatter(&vector), &vector) / dot(&vector, &vector);
            assert!(value <= values[0]);
        }
    }

    #[test]
    fn where_there_is_nothing_to_show_places_are_zero() {
        let found = project(&[0.5; 12], 3);
        assert_eq!((found.places.0, found.shares), (vec![0.0; 8], [0.0; 2]));
        // A line has no second axis.
        let found = project(&[1.0, 2.0, 2.0, 4.0, 3.0, 6.0], 2);
        assert!(found.shares[0] > 0.999_999 && found.shares[1] < 1e-6 && found.places[1].abs() < 1e-6, "{found:?}");
        assert_eq!(project(&[1.0, 2.0, 4.0], 1).shares, [1.0, 0.0]);
        assert!(project(&[], 1).places.is_empty());
    }
}
