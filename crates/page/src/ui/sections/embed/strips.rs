//! A row of a table as bars: one column per channel, up from the middle where it is above zero and down where it is below.

use crate::ui::canvas::Picture;
use crate::ui::color::{Rgb, signed};

/// Pixels from the middle line to the edge.
const HALF: usize = 32;

/// The largest size of any value in these rows; never 0, to divide by.
pub fn limit(rows: &[&[f32]]) -> f32 {
    rows.iter().flat_map(|row| row.iter()).fold(f32::MIN_POSITIVE, |limit, x| limit.max(x.abs()))
}

/// The bars of a row; a value of ±`limit` reaches the edge.
pub fn bars(row: &[f32], limit: f32, dark: bool) -> Picture {
    let middle: Rgb = if dark { [0x6a, 0x72, 0x84] } else { [0x9a, 0x9f, 0xaa] };
    Picture::new(row.len(), 2 * HALF + 1, |y, channel| {
        // Upwards from the middle line.
        let height = HALF as i32 - y as i32;
        let share = row[channel] / limit;
        let reach = (share * HALF as f32).round() as i32;
        let covered = if height > 0 { height <= reach } else { height >= reach };
        match height {
            0 => Some(middle),
            // A third of the ramp away from zero, for the smallest bar to be seen against the panel.
            _ if covered => Some(signed(share.signum() * (0.35 + 0.65 * share.abs()), dark)),
            _ => None,
        }
    })
}

/// As many digits after the point as make the largest value four significant ones: what is added is written alike.
pub fn decimals(limit: f32) -> usize {
    (3 - limit.log10().floor() as i32).clamp(0, 8) as usize
}

/// A value with so many digits after the point and a true minus sign.
pub fn fixed(value: f32, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    match text.strip_prefix('-') {
        // What rounds to nothing has no sign.
        Some(digits) if digits.bytes().all(|byte| matches!(byte, b'0' | b'.')) => digits.into(),
        Some(digits) => format!("−{digits}"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_leave_the_middle_by_their_value() {
        let picture = bars(&[1.0, -0.5, 0.0], 1.0, false);
        assert_eq!((picture.width, picture.height), (3, 65));
        let heights = [0, 1, 2].map(|channel| {
            let opaque = |y: usize| picture.pixels[(y * 3 + channel) * 4 + 3] != 0;
            let above = (0..HALF).filter(|&y| opaque(y)).count();
            (above, (HALF + 1..2 * HALF + 1).filter(|&y| opaque(y)).count())
        });
        assert_eq!(heights, [(32, 0), (0, 16), (0, 0)]);
    }

    #[test]
    fn the_limit_is_the_largest_of_all_rows() {
        assert_eq!(limit(&[&[0.5, -2.0], &[1.0]]), 2.0);
        assert!(limit(&[&[0.0]]) > 0.0);
    }

    #[test]
    fn sums_are_written_alike() {
        assert_eq!([0.09, 0.5, 1.2, 25.0, 4000.0].map(decimals), [5, 4, 3, 2, 0]);
        assert_eq!(
            ["0.120", "−0.054", "0.000"],
            [0.12, -0.054, -0.000_4].map(|value| fixed(value, 3)).each_ref().map(String::as_str)
        );
    }
}
