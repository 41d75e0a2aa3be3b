//! The drawing of losses: plain arithmetic from what was heard of runs to paths and labels, so that it can be tested without a browser.

pub mod draw;
pub mod paths;
pub mod scale;

/// A mark of one of four shapes around a place, as a path.
pub fn mark(shape: usize, place: (f64, f64), radius: f64) -> String {
    let mut path = paths::Path::default();
    path.mark(shape, place, radius);
    path.0
}
