//! A falling staircase as a path.

use std::fmt::Write;

/// Lengths as an SVG path: `x` is the index, `y` how much the length is below the first. All coordinates are whole numbers.
pub fn staircase(lengths: &[u32]) -> String {
    let mut path = "M0 0".to_owned();
    let first = lengths.first().copied().unwrap_or_default();
    for (i, pair) in lengths.windows(2).enumerate() {
        if pair[0] != pair[1] {
            let _ = write!(path, "H{}V{}", i + 1, first - pair[1]);
        }
    }
    let _ = write!(path, "H{}", lengths.len().saturating_sub(1));
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_steps_are_drawn() {
        assert_eq!(staircase(&[9, 9, 7, 7, 7, 6, 6]), "M0 0H2V2H5V3H6");
        assert_eq!(staircase(&[4]), "M0 0H0");
    }
}
