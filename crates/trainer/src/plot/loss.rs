//! `loss.svg`: the training and validation curves of a run.
//!
//! - Validation loss: dashed orange, the best point marked with its value.
//! - Training loss: every batch as a faint line, and on it an exponential moving average ([`curve::smooth`]).
//! - Both are labelled at their ends (the training curve with the average's value) and differ in dash as well as in
//!   colour (Okabe and Ito's colour-blind-safe blue and vermilion).

use std::fmt::Write as _;
use std::path::Path;

use super::axis::Axis;
use super::curve;
use super::paper::{Paper, loss_text, spread};
use crate::atomic_file;
use crate::error::Result;
use crate::format;

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

const PAPER: Paper = Paper { width: 720.0, height: 420.0, left: 66.0, right: 624.0, top: 48.0, bottom: 364.0 };
const LEFT: f64 = PAPER.left;
const RIGHT: f64 = PAPER.right;
const TOP: f64 = PAPER.top;
const BOTTOM: f64 = PAPER.bottom;
/// Distance of two end labels that can both be read.
const LABEL_HEIGHT: f64 = 16.0;

const STYLE: &str = "\
.train{stroke:#0072b2}.raw{stroke-width:1;opacity:.28}.validation{stroke:#d55e00;stroke-dasharray:7 4}
.dot{stroke:#fff;stroke-width:1.5}.train-dot{fill:#0072b2}.validation-dot{fill:#d55e00}
text.train-label{fill:#0072b2;stroke:none;font-weight:600}text.validation-label{fill:#d55e00;font-weight:600}
.halo{paint-order:stroke;stroke:#fff;stroke-width:4px;stroke-linejoin:round}
@media (prefers-color-scheme:dark){
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

        let described = format!("Training and validation loss of {}", self.title);
        let mut svg = PAPER.open(self.title, &described, STYLE);
        PAPER.draw_axes(&mut svg, (&x, "step"), (&y, "loss (nats per token)"));
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
            PAPER.draw_empty(&mut svg);
        }
        svg + "</svg>\n"
    }
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
    let wanted: Vec<f64> = labels.iter().map(|label| label.0).collect();
    let heights = spread(&wanted, LABEL_HEIGHT, TOP, BOTTOM);
    for ((_, class, name, loss), y) in labels.into_iter().zip(heights) {
        let _ = writeln!(
            svg,
            "<text class=\"{class}-label\" x=\"{}\" y=\"{:.1}\">{name} {}</text>",
            RIGHT + 9.0,
            y + 4.0,
            loss_text(loss)
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::paper::tests::assert_sound;
    use super::*;

    fn plot(train: Points, validation: Points) -> String {
        LossPlot { title: "a run", train, validation }.svg()
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
    fn titles_of_any_text_are_xml() {
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
