//! What every drawing has: a ground with a title, a frame with axes, text that XML can carry, labels that do not overlap.

use std::fmt::Write as _;

use super::axis::Axis;
use crate::format::cut_end;

/// Longer titles are cut with an ellipsis: more would not fit beside the frame.
const TITLE_CHARS: usize = 64;

/// Of the parts that this module draws, on a light ground and on a dark one.
const STYLE: &str = "\
text{font:12px system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif;fill:#57606a}
.ground{fill:#fff}.title{font-size:16px;font-weight:600;fill:#1f2328}
.grid{stroke:#e4e8ec}.axis{stroke:#8c959f}
.curve{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}
@media (prefers-color-scheme:dark){
text{fill:#9198a1}.ground{fill:#0d1117}.title{fill:#f0f6fc}.grid{stroke:#21262d}.axis{stroke:#656c76}}";

/// A sheet and the frame on it that curves are drawn in, in pixels.
#[derive(Clone, Copy, Debug)]
pub struct Paper {
    /// Of the sheet.
    pub width: f64,
    /// Of the sheet.
    pub height: f64,
    /// Edge of the frame; left of it is room for the labels of the marks.
    pub left: f64,
    /// Edge of the frame.
    pub right: f64,
    /// Edge of the frame; above it is the title.
    pub top: f64,
    /// Edge of the frame; below it are the labels of the marks and of the axis.
    pub bottom: f64,
}

impl Paper {
    /// The beginning of the file: ground, title and the clip path `frame`. `style` is for what the caller draws, `described` says to
    /// those who cannot see it what the drawing shows.
    pub fn open(&self, title: &str, described: &str, style: &str) -> String {
        let Self { width, height, left, right, top, bottom } = *self;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
             height=\"{height}\" role=\"img\" aria-labelledby=\"title\">\n\
             <title id=\"title\">{}</title>\n<style>\n{STYLE}\n{style}\n</style>\n\
             <clipPath id=\"frame\"><rect x=\"{left}\" y=\"{top}\" width=\"{}\" height=\"{}\"/></clipPath>\n\
             <rect class=\"ground\" width=\"{width}\" height=\"{height}\"/>\n\
             <text class=\"title\" x=\"{left}\" y=\"{}\">{}</text>\n",
            escape(described),
            right - left,
            bottom - top,
            top - 20.0,
            escape(&cut_end(title, TITLE_CHARS)),
        )
    }

    /// Grid, marks and labels of both axes.
    pub fn draw_axes(&self, svg: &mut String, (x, x_label): (&Axis, &str), (y, y_label): (&Axis, &str)) {
        let Self { left, right, bottom, height, .. } = *self;
        for (value, label) in y.ticks() {
            let at = y.place(value);
            let _ = writeln!(svg, "<path class=\"grid\" d=\"M{left} {at:.1}H{right}\"/>");
            let _ =
                writeln!(svg, "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>", left - 8.0, at + 4.0);
        }
        for (value, label) in x.ticks() {
            let at = x.place(value);
            let _ = writeln!(svg, "<path class=\"axis\" d=\"M{at:.1} {bottom}v5\"/>");
            let _ = writeln!(svg, "<text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{label}</text>", bottom + 19.0);
        }
        let _ = writeln!(svg, "<path class=\"axis\" d=\"M{left} {bottom}H{right}\"/>");
        let (across, down) = self.middle();
        let _ = writeln!(svg, "<text x=\"{across}\" y=\"{}\" text-anchor=\"middle\">{x_label}</text>", height - 14.0);
        let _ = writeln!(
            svg,
            "<text transform=\"translate(17 {down}) rotate(-90)\" text-anchor=\"middle\">{y_label}</text>"
        );
    }

    /// Where no curve is.
    pub fn draw_empty(&self, svg: &mut String) {
        let (x, y) = self.middle();
        let _ = writeln!(svg, "<text x=\"{x}\" y=\"{y}\" text-anchor=\"middle\">no losses yet</text>");
    }

    /// Of the frame.
    fn middle(&self) -> (f64, f64) {
        ((self.left + self.right) / 2.0, (self.top + self.bottom) / 2.0)
    }
}

/// Positions as near to the wanted ones (in rising order) as can be, by the sum of squares, at least `distance` apart, and
/// inside `low..=high` if they fit there: pools of touching labels centred on what their members want, as in isotonic
/// regression.
pub fn spread(wanted: &[f64], distance: f64, low: f64, high: f64) -> Vec<f64> {
    // A label less its index times the distance only has to be in order: pools are what would not be.
    let mut pools: Vec<(f64, usize)> = Vec::new();
    for (i, position) in wanted.iter().enumerate() {
        let mut pool = (position - i as f64 * distance, 1);
        while let Some(last) = pools.pop_if(|last| last.0 > pool.0) {
            let members = last.1 + pool.1;
            pool = ((last.0 * last.1 as f64 + pool.0 * pool.1 as f64) / members as f64, members);
        }
        pools.push(pool);
    }
    let last = (high - wanted.len().saturating_sub(1) as f64 * distance).max(low);
    let positions =
        pools.into_iter().flat_map(|(position, members)| std::iter::repeat_n(position.clamp(low, last), members));
    positions.enumerate().map(|(i, position)| position + i as f64 * distance).collect()
}

/// A loss as labels have it: three decimals tell runs apart; a diverged one needs its exponent.
pub fn loss_text(loss: f32) -> String {
    if loss.abs() < 1e4 { format!("{loss:.3}") } else { format!("{loss:.1e}") }
}

/// XML text; control characters, which XML forbids even escaped, become U+FFFD.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// Everything that could put a viewer off: numbers that are none, and tags that do not match.
    pub fn assert_sound(svg: &str) {
        assert!(!svg.contains("NaN") && !svg.contains("inf\"") && !svg.contains("inf "), "{svg}");
        let opened = svg.matches('<').count();
        let closed = 2 * svg.matches("</").count() + svg.matches("/>").count();
        assert_eq!(opened, closed, "{svg}");
    }

    #[test]
    fn labels_stay_where_they_fit_and_share_the_room_where_not() {
        assert_eq!(spread(&[10.0, 50.0], 16.0, 0.0, 100.0), [10.0, 50.0]);
        assert_eq!(spread(&[50.0, 50.0], 16.0, 0.0, 100.0), [42.0, 58.0]);
        // The third pushes the pool of the first two up.
        assert_eq!(spread(&[50.0, 54.0, 58.0], 10.0, 0.0, 100.0), [44.0, 54.0, 64.0]);
        assert_eq!(spread(&[1.0, 2.0, 99.0], 10.0, 0.0, 100.0), [0.0, 10.0, 99.0]);
        assert_eq!(spread(&[98.0, 99.0], 10.0, 0.0, 100.0), [90.0, 100.0]);
        // More than fit begin at the top.
        assert_eq!(spread(&[5.0; 3], 10.0, 0.0, 15.0), [0.0, 10.0, 20.0]);
        assert!(spread(&[], 10.0, 0.0, 15.0).is_empty());
    }

    #[test]
    fn texts_are_escaped() {
        assert_eq!(escape("<b>\"a\" & 'b'\u{1}"), "&lt;b&gt;&quot;a&quot; &amp; 'b'\u{fffd}");
    }
}
