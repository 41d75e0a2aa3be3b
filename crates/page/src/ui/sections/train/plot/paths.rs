//! From points to SVG paths, with at most two coordinates per pixel column however long the run.

use std::fmt::Write;

/// A path in the making.
#[derive(Default)]
pub struct Path(pub String);

impl Path {
    /// Goes to a place, in tenths of a pixel; the first place, or one after a gap, without drawing.
    pub fn to(&mut self, (x, y): (f64, f64), draw: bool) {
        let command = if draw { 'L' } else { 'M' };
        let tenths = |value: f64| (value * 10.0).round() as i64;
        let (x, y) = (tenths(x), tenths(y));
        // No fraction has to be written out: that would take a table in the program.
        let _ = write!(self.0, "{command}{}.{} {}.{}", x / 10, x % 10, y / 10, y % 10);
    }

    /// A line through the places; one that is no number leaves a gap.
    pub fn line(points: impl Iterator<Item = (f64, f64)>) -> Self {
        let mut path = Self::default();
        let mut draw = false;
        for point in points {
            let there = point.0.is_finite() && point.1.is_finite();
            if there {
                path.to(point, draw);
            }
            draw = there;
        }
        path
    }

    /// A straight line.
    pub fn segment(&mut self, from: (f64, f64), to: (f64, f64)) {
        self.to(from, false);
        self.to(to, true);
    }

    /// A mark of one of four shapes around a place: circle, square, diamond, triangle.
    pub fn mark(&mut self, shape: usize, (x, y): (f64, f64), radius: f64) {
        // A circle as a polygon of twelve: drawn this small, nobody sees it.
        let corners: &[(f64, f64)] = match shape % 4 {
            0 => &CIRCLE,
            1 => &[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
            2 => &[(0.0, -1.3), (1.3, 0.0), (0.0, 1.3), (-1.3, 0.0)],
            _ => &[(0.0, -1.25), (1.2, 0.9), (-1.2, 0.9)],
        };
        for (i, (dx, dy)) in corners.iter().enumerate() {
            self.to((x + dx * radius, y + dy * radius), i > 0);
        }
        self.0.push('Z');
    }
}

const CIRCLE: [(f64, f64); 12] = [
    (1.0, 0.0),
    (0.866, 0.5),
    (0.5, 0.866),
    (0.0, 1.0),
    (-0.5, 0.866),
    (-0.866, 0.5),
    (-1.0, 0.0),
    (-0.866, -0.5),
    (-0.5, -0.866),
    (0.0, -1.0),
    (0.5, -0.866),
    (0.866, -0.5),
];

/// The last place of each pixel column, or where noise is to keep its extent, the highest and the lowest.
pub fn columns(points: impl Iterator<Item = (f64, f64)>, extent: bool) -> Vec<(f64, f64)> {
    let mut places: Vec<(f64, f64)> = Vec::new();
    // The column's left edge, and its places: first, lowest, highest, last.
    let mut column: Option<(f64, [f64; 3])> = None;
    let finish = |places: &mut Vec<(f64, f64)>, (x, [low, high, last]): (f64, [f64; 3])| {
        if extent && low < high {
            places.extend([(x, low), (x, high)]);
        } else {
            places.push((x, last));
        }
    };
    for (x, y) in points {
        if let Some((left, [low, high, last])) = &mut column
            && x - *left < 1.0
            && y.is_finite() == last.is_finite()
        {
            (*low, *high, *last) = (low.min(y), high.max(y), y);
        } else if let Some(full) = column.replace((x, [y; 3])) {
            finish(&mut places, full);
        }
    }
    if let Some(last) = column {
        finish(&mut places, last);
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_gaps() {
        let points = [(0.0, 1.0), (1.25, 2.0), (2.0, f64::NAN), (3.0, 4.0), (4.0, 5.04)];
        assert_eq!(Path::line(points.into_iter()).0, "M0.0 1.0L1.3 2.0M3.0 4.0L4.0 5.0");
    }

    #[test]
    fn a_column_of_pixels_has_two_places_at_most() {
        let points = (0..10_000).map(|i| (f64::from(i) / 100.0, if i % 7 == 0 { 9.0 } else { 1.0 }));
        let noise = columns(points.clone(), true);
        assert!(noise.len() <= 202);
        assert_eq!(&noise[..2], [(0.0, 1.0), (0.0, 9.0)]);
        assert!(columns(points, false).len() <= 101);
        assert_eq!(columns([(5.0, 2.0)].into_iter(), true), [(5.0, 2.0)]);
        let gap = columns([(0.0, 1.0), (0.1, f64::NAN), (0.2, 2.0)].into_iter(), true);
        assert!(gap.len() == 3 && gap[1].1.is_nan());
    }

    #[test]
    fn marks_are_closed() {
        for shape in 0..4 {
            let mut path = Path::default();
            path.mark(shape, (50.0, 50.0), 4.0);
            assert!(path.0.starts_with('M') && path.0.ends_with('Z'));
        }
    }
}
