//! From points to SVG paths, with at most a few coordinates per pixel column however long the run.

use std::fmt::Write as _;

/// A coordinate on the paper, or a gap.
pub type Vertex = Option<(f64, f64)>;

/// Width of the columns that points are gathered in.
const COLUMN: f64 = 1.0;

/// The exponential moving average `m ← m + αₙ(x − m)` with `αₙ = 2 / (spanₙ + 1)`. The span grows with the number `n` of
/// points seen, `spanₙ = n/8`, up to a fiftieth of them all: a fixed one would drag far behind the steep beginning.
/// Points that are not finite stay as they are and do not count.
pub fn smooth(points: &[(u64, f32)]) -> Vec<(u64, f32)> {
    let longest = (points.len() as f64 / 50.0).max(1.0);
    let (mut mean, mut seen) = (0.0, 0.0);
    let mut average = |loss: f32| {
        if !loss.is_finite() {
            return loss;
        }
        seen += 1.0;
        let span = f64::clamp(seen / 8.0, 1.0, longest);
        mean += 2.0 / (span + 1.0) * (f64::from(loss) - mean);
        mean as f32
    };
    points.iter().map(|&(step, loss)| (step, average(loss))).collect()
}

/// The highest coordinate (the least y) that the line through `points` reaches between two x, if it passes there at all.
pub fn top(points: &[(f64, f64)], left: f64, right: f64) -> Option<f64> {
    let inside = points.iter().filter(|point| (left..=right).contains(&point.0)).map(|point| point.1);
    let crossings = points.windows(2).flat_map(|pair| {
        let (from, to) = (pair[0], pair[1]);
        let at = move |x: f64| from.1 + (x - from.0) / (to.0 - from.0) * (to.1 - from.1);
        [left, right].into_iter().filter(move |&x| from.0 < x && x < to.0).map(at)
    });
    inside.chain(crossings).reduce(f64::min)
}

/// The last point of each pixel column: for curves that are smooth already.
pub fn thin(points: &[(u64, f32)], place: impl Fn(&(u64, f32)) -> (f64, f64)) -> Vec<Vertex> {
    columns(points, place, |column, vertices| vertices.extend(column.last().map(|&point| Some(point))))
}

/// The highest and lowest point of each pixel column: noise keeps its extent.
pub fn envelope(points: &[(u64, f32)], place: impl Fn(&(u64, f32)) -> (f64, f64)) -> Vec<Vertex> {
    columns(points, place, |column, vertices| {
        if let [point] = column {
            vertices.push(Some(*point));
            return;
        }
        for pick in [f64::min, f64::max] {
            let extreme = column.iter().map(|point| point.1).reduce(pick);
            vertices.extend(extreme.map(|y| Some((column[0].0, y))));
        }
    })
}

/// Gathers consecutive points of one pixel column and hands them to `reduce`; a point that is not finite becomes a gap.
fn columns(
    points: &[(u64, f32)],
    place: impl Fn(&(u64, f32)) -> (f64, f64),
    reduce: impl Fn(&[(f64, f64)], &mut Vec<Vertex>),
) -> Vec<Vertex> {
    let mut vertices = Vec::new();
    let mut column: Vec<(f64, f64)> = Vec::new();
    for point in points {
        if !point.1.is_finite() {
            reduce(&column, &mut vertices);
            column.clear();
            vertices.push(None);
            continue;
        }
        let (x, y) = place(point);
        if column.first().is_some_and(|first| x - first.0 >= COLUMN) {
            reduce(&column, &mut vertices);
            column.clear();
        }
        column.push((x, y));
    }
    reduce(&column, &mut vertices);
    vertices
}

/// The `d` of an SVG path, to a tenth of a pixel; a new stroke after every gap.
pub fn path(vertices: &[Vertex]) -> String {
    /// Beyond this the paper ends anyway, and renderers calculate in single precision.
    const FAR: f64 = 1e5;
    let mut text = String::new();
    let mut command = 'M';
    for vertex in vertices {
        let Some((x, y)) = vertex else {
            command = 'M';
            continue;
        };
        let _ = write!(text, "{command}{x:.1} {:.1}", y.clamp(-FAR, FAR));
        command = 'L';
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(&(step, loss): &(u64, f32)) -> (f64, f64) {
        (step as f64 / 10.0, f64::from(loss))
    }

    #[test]
    fn the_average_starts_at_the_first_value_and_follows_a_constant_exactly() {
        let points: Vec<_> = (0..500).map(|step| (step, 2.5)).collect();
        assert_eq!(smooth(&points), points);
        let step_up: Vec<_> = (0..1000).map(|step| (step, if step < 500 { 1.0 } else { 2.0 })).collect();
        let smoothed = smooth(&step_up);
        assert!((smoothed[999].1 - 2.0).abs() < 1e-3 && smoothed[505].1 < 1.5);
    }

    #[test]
    fn the_top_of_a_line_is_found_between_its_points_too() {
        let line = [(0.0, 10.0), (10.0, 0.0), (20.0, 10.0)];
        assert_eq!(top(&line, 2.0, 4.0), Some(6.0));
        assert_eq!(top(&line, 2.0, 14.0), Some(0.0));
        assert_eq!(top(&line, 30.0, 40.0), None);
    }

    #[test]
    fn a_value_that_is_not_finite_leaves_the_average_alone() {
        let smoothed = smooth(&[(1, 2.0), (2, f32::NAN), (3, 2.0)]);
        assert!(smoothed[1].1.is_nan());
        assert_eq!(smoothed[2], (3, 2.0));
    }

    #[test]
    fn noise_keeps_its_extent_when_thinned() {
        let points: Vec<_> = (0..20).map(|step| (step, if step == 7 { 9.0 } else { 1.0 })).collect();
        let vertices = envelope(&points, place);
        assert_eq!(vertices, [Some((0.0, 1.0)), Some((0.0, 9.0)), Some((1.0, 1.0)), Some((1.0, 1.0))]);
        assert_eq!(thin(&points, place).len(), 2);
    }

    #[test]
    fn gaps_lift_the_pen() {
        let points = [(0, 1.0), (10, 2.0), (20, f32::NAN), (30, 3.0), (40, 4.0)];
        assert_eq!(path(&thin(&points, place)), "M0.0 1.0L1.0 2.0M3.0 3.0L4.0 4.0");
        assert_eq!(path(&[]), "");
    }
}
