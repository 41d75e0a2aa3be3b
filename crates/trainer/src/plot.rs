//! `loss.svg`: the training and validation curves of a run, drawn by hand so that the file is small and exact.
//!
//! - Validation loss: dashed orange, the best point marked with its value.
//! - Training loss: every batch as a faint line, and on it an exponential moving average ([`curve::smooth`]).
//! - Both are labelled at their ends (the training curve with the average's value) and differ in dash as well as in
//!   colour (Okabe and Ito's colour-blind-safe blue and vermilion), on a light or dark ground as the reader prefers.
//!
//! Points that are not finite leave a gap.

mod axis;
mod curve;

use std::fmt::Write as _;
use std::path::Path;

use crate::atomic_file;
use crate::error::Result;
use crate::format;
use axis::Axis;

/// One curve: steps in rising order with the loss at each, in nats per token.
pub type Points<'a> = &'a [(u64, f32)];

/// What is drawn.
#[derive(Clone, Copy, Debug)]
pub struct LossPlot<'a> {
    /// The run's name.
    pub title: &'a str,
    /// Loss of single batches.
    pub train: Points<'a>,
    /// Validation loss at each evaluation.
    pub validation: Points<'a>,
}

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 420.0;
/// The frame of the curves: room for tick labels on the left, end labels on the right, the title above.
const LEFT: f64 = 66.0;
const RIGHT: f64 = WIDTH - 96.0;
const TOP: f64 = 48.0;
const BOTTOM: f64 = HEIGHT - 56.0;
/// Distance of two end labels that can both be read.
const LABEL_HEIGHT: f64 = 16.0;
/// Longer titles are cut with an ellipsis: more would not fit beside the frame.
const TITLE_CHARS: usize = 64;

const STYLE: &str = "\
text{font:12px system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif;fill:#57606a}
.ground{fill:#fff}.title{font-size:16px;font-weight:600;fill:#1f2328}
.grid{stroke:#e4e8ec}.axis{stroke:#8c959f}
.curve{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}
.train{stroke:#0072b2}.raw{stroke-width:1;opacity:.28}.validation{stroke:#d55e00;stroke-dasharray:7 4}
.dot{stroke:#fff;stroke-width:1.5}.train-dot{fill:#0072b2}.validation-dot{fill:#d55e00}
text.train-label{fill:#0072b2;stroke:none;font-weight:600}text.validation-label{fill:#d55e00;font-weight:600}
.halo{paint-order:stroke;stroke:#fff;stroke-width:4px;stroke-linejoin:round}
@media (prefers-color-scheme:dark){
text{fill:#9198a1}.ground{fill:#0d1117}.title{fill:#f0f6fc}.grid{stroke:#21262d}.axis{stroke:#656c76}
.train{stroke:#56b4e9}.validation{stroke:#f28e4c}.dot{stroke:#0d1117}.train-dot{fill:#56b4e9}.validation-dot{fill:#f28e4c}
text.train-label{fill:#56b4e9}text.validation-label{fill:#f28e4c}.halo{stroke:#0d1117}}";

impl LossPlot<'_> {
    /// Draws into a file, replaced as a whole.
    pub fn write(&self, path: &Path) -> Result<()> {
        atomic_file::write(path, self.svg().as_bytes())
    }

    /// The drawing.
    pub fn svg(&self) -> String {
        let smooth = curve::smooth(self.train);
        let finite =
            |points: &[(u64, f32)]| points.iter().filter(|(_, loss)| loss.is_finite()).copied().collect::<Vec<_>>();
        let (train, validation) = (finite(&smooth), finite(self.validation));
        let last_step = self.train.iter().chain(self.validation).map(|point| point.0).max().unwrap_or(0);
        let x = Axis::steps(last_step, LEFT, RIGHT);
        let y = Axis::values(train.iter().chain(&validation).map(|point| f64::from(point.1)), BOTTOM, TOP);
        let place = |&(step, loss): &(u64, f32)| (x.place(step as f64), y.place(f64::from(loss)));

        let mut svg = self.open();
        draw_axes(&mut svg, &x, &y);
        svg += "<g clip-path=\"url(#frame)\">\n";
        for (class, points) in [
            ("train raw", curve::envelope(self.train, place)),
            ("train", curve::thin(&smooth, place)),
            ("validation", curve::thin(self.validation, place)),
        ] {
            let _ = writeln!(svg, "<path class=\"curve {class}\" d=\"{}\"/>", curve::path(&points));
        }
        svg += "</g>\n";

        let best = validation.iter().copied().reduce(|best, point| if point.1 < best.1 { point } else { best });
        for (name, points) in [("train", &train), ("validation", &validation)] {
            // A line needs two points to be seen.
            if let [point] = points.as_slice() {
                dot(&mut svg, name, place(point));
            }
        }
        if let Some(best) = best {
            dot(&mut svg, "validation", place(&best));
            let curves = [&train, &validation].map(|points| points.iter().map(place).collect::<Vec<_>>());
            draw_best(&mut svg, best, place(&best), [&curves[0], &curves[1]]);
        }
        let ends = [("train", "train", train.last()), ("validation", "val", validation.last())];
        draw_end_labels(
            &mut svg,
            ends.into_iter().filter_map(|(class, name, end)| Some((class, name, *end?, place(end?)))),
        );
        if train.is_empty() && validation.is_empty() {
            let (cx, cy) = ((LEFT + RIGHT) / 2.0, (TOP + BOTTOM) / 2.0);
            let _ = writeln!(svg, "<text x=\"{cx}\" y=\"{cy}\" text-anchor=\"middle\">no losses yet</text>");
        }
        svg + "</svg>\n"
    }

    fn open(&self) -> String {
        let title = escape(&shortened(self.title));
        let (width, height) = (RIGHT - LEFT, BOTTOM - TOP);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" \
             height=\"{HEIGHT}\" role=\"img\" aria-labelledby=\"title\">\n\
             <title id=\"title\">Training and validation loss of {title}</title>\n<style>\n{STYLE}\n</style>\n\
             <clipPath id=\"frame\"><rect x=\"{LEFT}\" y=\"{TOP}\" width=\"{width}\" height=\"{height}\"/></clipPath>\n\
             <rect class=\"ground\" width=\"{WIDTH}\" height=\"{HEIGHT}\"/>\n\
             <text class=\"title\" x=\"{LEFT}\" y=\"{}\">{title}</text>\n",
            TOP - 20.0
        )
    }
}

fn draw_axes(svg: &mut String, x: &Axis, y: &Axis) {
    for (value, label) in y.ticks() {
        let at = y.place(value);
        let _ = writeln!(svg, "<path class=\"grid\" d=\"M{LEFT} {at:.1}H{RIGHT}\"/>");
        let _ = writeln!(svg, "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>", LEFT - 8.0, at + 4.0);
    }
    for (value, label) in x.ticks() {
        let at = x.place(value);
        let _ = writeln!(svg, "<path class=\"axis\" d=\"M{at:.1} {BOTTOM}v5\"/>");
        let _ = writeln!(svg, "<text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{label}</text>", BOTTOM + 19.0);
    }
    let _ = writeln!(svg, "<path class=\"axis\" d=\"M{LEFT} {BOTTOM}H{RIGHT}\"/>");
    let middle = ((LEFT + RIGHT) / 2.0, (TOP + BOTTOM) / 2.0);
    let _ = writeln!(svg, "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">step</text>", middle.0, HEIGHT - 14.0);
    let _ = writeln!(
        svg,
        "<text transform=\"translate(17 {}) rotate(-90)\" text-anchor=\"middle\">loss (nats per token)</text>",
        middle.1
    );
}

fn dot(svg: &mut String, name: &str, (x, y): (f64, f64)) {
    let _ = writeln!(svg, "<circle class=\"dot {name}-dot\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4.5\"/>");
}

/// Where the label of the best point goes: to its left, middle or right, whichever lies lowest while clear of both curves.
fn draw_best(svg: &mut String, (step, loss): (u64, f32), (x, y): (f64, f64), curves: [&[(f64, f64)]; 2]) {
    /// Of a bold character, on average.
    const CHARACTER: f64 = 7.0;
    const CLEARANCE: f64 = 9.0;
    let text = format!("best {} at step {}", loss_text(loss), format::count(step));
    let width = CHARACTER * text.len() as f64;
    let spots = [("middle", x - width / 2.0), ("start", x), ("end", x - width)];
    let fitting = spots.into_iter().filter(|(_, left)| *left >= LEFT && left + width <= RIGHT);
    let heights = fitting.map(|(anchor, left)| {
        let top = curves.into_iter().filter_map(|curve| curve::top(curve, left, left + width)).fold(y, f64::min);
        (anchor, top - CLEARANCE)
    });
    let lowest = heights.reduce(|a, b| if b.1 > a.1 { b } else { a });
    // No room above (a rising curve's first point, at the very top): below the point.
    let fallback = (if x < (LEFT + RIGHT) / 2.0 { "start" } else { "end" }, y + 22.0);
    let (anchor, at) = lowest.filter(|(_, at)| *at > TOP + CLEARANCE).unwrap_or(fallback);
    let _ = writeln!(
        svg,
        "<text class=\"validation-label halo\" x=\"{x:.1}\" y=\"{at:.1}\" text-anchor=\"{anchor}\">{text}</text>"
    );
}

/// Right of the frame at the height of each curve's end, pushed apart where they would overlap.
fn draw_end_labels<'a>(svg: &mut String, ends: impl Iterator<Item = (&'a str, &'a str, (u64, f32), (f64, f64))>) {
    let mut labels: Vec<_> = ends.map(|(class, name, (_, loss), (_, y))| (y, class, name, loss)).collect();
    labels.sort_by(|a, b| a.0.total_cmp(&b.0));
    if let [upper, lower] = labels.as_mut_slice() {
        let missing = LABEL_HEIGHT - (lower.0 - upper.0);
        if missing > 0.0 {
            upper.0 -= missing / 2.0;
            lower.0 += missing / 2.0;
        }
    }
    for (y, class, name, loss) in labels {
        let _ = writeln!(
            svg,
            "<text class=\"{class}-label\" x=\"{}\" y=\"{:.1}\">{name} {}</text>",
            RIGHT + 9.0,
            y + 4.0,
            loss_text(loss)
        );
    }
}

/// Three decimals tell runs apart; a diverged one needs its exponent.
fn loss_text(loss: f32) -> String {
    if loss.abs() < 1e4 { format!("{loss:.3}") } else { format!("{loss:.1e}") }
}

fn shortened(title: &str) -> String {
    if title.chars().count() <= TITLE_CHARS {
        return title.into();
    }
    title.chars().take(TITLE_CHARS - 1).chain(['…']).collect()
}

/// XML text; control characters, which XML forbids even escaped, become U+FFFD.
fn escape(text: &str) -> String {
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
mod tests {
    use super::*;

    fn plot(train: Points, validation: Points) -> String {
        LossPlot { title: "a run", train, validation }.svg()
    }

    /// Everything that could put a viewer off: numbers that are none, and tags that do not match.
    fn assert_sound(svg: &str) {
        assert!(!svg.contains("NaN") && !svg.contains("inf\"") && !svg.contains("inf "), "{svg}");
        let opened = svg.matches('<').count();
        let closed = 2 * svg.matches("</").count() + svg.matches("/>").count();
        assert_eq!(opened, closed, "{svg}");
    }

    #[test]
    fn a_run_shows_both_curves_their_ends_and_the_best_point() {
        let train: Vec<_> = (1..=1000).map(|step| (step, 1.2 + 3.0 / (step as f32).sqrt())).collect();
        let svg = plot(&train, &[(250, 1.9), (500, 1.478), (750, 1.5), (1000, 1.61)]);
        assert_sound(&svg);
        for text in ["a run", ">val 1.610<", ">best 1.478 at step 500<", ">step<", ">loss (nats per token)<", ">1,000<"]
        {
            assert!(svg.contains(text), "{text} in {svg}");
        }
        assert!(svg.contains("#0072b2") && svg.contains("#d55e00") && svg.contains("prefers-color-scheme:dark"));
    }

    #[test]
    fn few_points_and_odd_values_are_drawn_too() {
        for (train, validation) in [
            (&[][..], &[][..]),
            (&[(1, 4.17)], &[]),
            (&[], &[(0, 4.17)]),
            (&[(1, f32::NAN), (2, f32::INFINITY)], &[(2, f32::NAN)]),
            (&[(1, 4.0), (2, f32::NAN), (3, 3.0)], &[(3, 3.1)]),
            (&[(1, 0.0), (2, 0.0)], &[(2, 0.0)]),
            (&[(1, f32::MIN), (u64::MAX, f32::MAX)], &[(5, 1e-30)]),
            (&[(7, 1.0), (7, 1.0 + f32::EPSILON)], &[]),
        ] {
            assert_sound(&plot(train, validation));
        }
        assert!(plot(&[], &[]).contains("no losses yet"));
        assert!(plot(&[(1, 4.17)], &[]).contains("<circle"));
    }

    #[test]
    fn a_run_of_any_length_makes_a_small_file() {
        let train: Vec<_> = (1..=500_000).map(|step| (step, 2.0 + (step as f32).sin())).collect();
        let size = plot(&train, &train[..10_000]).len();
        assert!(size < 100_000, "{size}");
    }

    #[test]
    fn names_are_escaped_and_cut() {
        let title = format!("<b>\"a\" & 'b'\u{1}{}", "x".repeat(100));
        let svg = LossPlot { title: &title, train: &[], validation: &[] }.svg();
        assert_sound(&svg);
        assert!(svg.contains("&lt;b&gt;&quot;a&quot; &amp; 'b'\u{fffd}xxx") && svg.contains("x…<"));
    }

    #[test]
    fn end_labels_never_overlap() {
        let svg = plot(&[(1, 2.0), (2, 1.0)], &[(1, 2.0), (2, 1.5)]);
        let y = |name: &str| -> f64 {
            let line = svg.lines().find(|line| line.contains(&format!(">{name} "))).unwrap();
            line.split("y=\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap()
        };
        assert!((y("train") - y("val")).abs() >= LABEL_HEIGHT - 0.11);
    }
}
