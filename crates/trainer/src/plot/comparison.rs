//! The validation curves of several runs in bits per character, the unit that does not depend on the tokenizer.
//!
//! - Each run has a colour (Okabe and Ito's colour-blind-safe ones), a dash pattern and a marker; no two of 210
//!   runs have the same three. Its best point has a larger marker.
//! - Its label stands at the height of its curve's end, tied to it by a faint line, and pushed apart where labels would overlap.
//! - The vertical axis ends at [`HEADROOM`] times the best loss of the worst run: what curves do above that, in their first steps or
//!   when they diverge, would press flat what there is to compare. A run that never did better than guessing evenly among the
//!   tokens, `log₂ V` bits per token, does not count; its label says where it is.

use std::fmt::Write as _;
use std::path::Path;

use super::axis::Axis;
use super::curve;
use super::marker::marker;
use super::paper::{Paper, escape, loss_text, spread};
use crate::atomic_file;
use crate::error::Result;
use crate::format::cut_middle;

/// One run.
#[derive(Clone, Debug)]
pub struct ComparedCurve {
    /// What the label calls it.
    pub name: String,
    /// Where on the horizontal axis, and the loss in bits per character there, of each evaluation.
    pub points: Vec<(f64, f32)>,
    /// Loss of a model that knows nothing, in bits per character.
    pub guessing: Option<f64>,
}

/// What is drawn.
#[derive(Clone, Debug)]
pub struct ComparisonPlot {
    /// One line above the frame.
    pub title: String,
    /// Name of the horizontal axis, with its unit.
    pub x_label: String,
    /// The curves, in the order in which they take colours.
    pub curves: Vec<ComparedCurve>,
}

const WIDTH: f64 = 960.0;
const LEFT: f64 = 66.0;
/// Right of it is the room for the labels.
const RIGHT: f64 = WIDTH - 262.0;
const TOP: f64 = 52.0;
/// Below the frame.
const FOOT: f64 = 56.0;
/// Of the frame, where the labels need no more.
const HEIGHT: f64 = 380.0;
/// From one label, which has two lines, to the next.
const LABEL_HEIGHT: f64 = 38.0;
/// From the frame to the labels.
const LABEL_GAP: f64 = 24.0;
/// Length of the piece of curve before a name.
const KEY: f64 = 34.0;
/// Largest loss in the frame, in best losses of the worst run.
const HEADROOM: f64 = 1.3;
/// Characters of a name that fit beside the frame.
const NAME_CHARS: usize = 24;
/// Pixels between two markers on a curve.
const MARKER_DISTANCE: f64 = 36.0;

/// Number of colours, see [`STYLE`].
const COLOURS: usize = 7;
/// Dash patterns, in pixels: as many as have no divisor in common with [`COLOURS`].
const DASHES: [&str; 5] = ["", "8 5", "2 5", "12 5 2 5", "16 6"];

const STYLE: &str = "\
.c0{color:#0072b2}.c1{color:#d55e00}.c2{color:#009e73}.c3{color:#b5579a}.c4{color:#a06c00}.c5{color:#3b4cc0}.c6{color:#57606a}
.curve{stroke:currentColor}.marker{fill:currentColor;stroke:#fff;stroke-width:1.2;stroke-linejoin:round}
.tie{fill:none;stroke:currentColor;opacity:.7;stroke-dasharray:1 4}.name{font-weight:600;fill:#1f2328}
@media (prefers-color-scheme:dark){
.c0{color:#56b4e9}.c1{color:#f28e4c}.c2{color:#2dc49a}.c3{color:#e08cc4}.c4{color:#f0c050}.c5{color:#97a6ff}.c6{color:#b1bac4}
.marker{stroke:#0d1117}.name{fill:#f0f6fc}}";

impl ComparisonPlot {
    /// Draws into a file, replaced as a whole.
    pub fn write(&self, path: &Path) -> Result<()> {
        atomic_file::write(path, self.svg().as_bytes())
    }

    /// The drawing.
    pub fn svg(&self) -> String {
        let paper = self.paper();
        let ends = self.curves.iter().flat_map(|curve| curve.points.iter().map(|point| point.0));
        let last = ends.fold(0.0, f64::max);
        let x = Axis::amounts(if last > 0.0 { last } else { 1.0 }, LEFT, RIGHT);
        let y = Axis::values(self.shown_losses().into_iter(), paper.bottom, TOP);
        let names: Vec<&str> = self.curves.iter().map(|curve| curve.name.as_str()).collect();
        let described = format!("{}: validation loss in bits per character", names.join(", "));

        let mut svg = paper.open(&self.title, &described, STYLE);
        paper.draw_axes(&mut svg, (&x, &escape(&self.x_label)), (&y, "bits per character"));
        let drawn: Vec<Drawn> = self.curves.iter().enumerate().map(|(i, curve)| Drawn::new(i, curve, &x, &y)).collect();
        if drawn.iter().all(|curve| curve.end().is_none()) {
            paper.draw_empty(&mut svg);
        }
        draw_labels(&mut svg, &paper, &drawn);
        // The best run is the last to be drawn: nothing hides it.
        for curve in drawn.iter().rev() {
            curve.draw(&mut svg);
        }
        svg + "</svg>\n"
    }

    fn paper(&self) -> Paper {
        let height = HEIGHT.max(LABEL_HEIGHT * self.curves.len() as f64);
        Paper { width: WIDTH, height: TOP + height + FOOT, left: LEFT, right: RIGHT, top: TOP, bottom: TOP + height }
    }

    /// What the vertical axis covers; all losses where no run learnt anything.
    fn shown_losses(&self) -> Vec<f64> {
        let finite = |curve: &ComparedCurve| -> Vec<f64> {
            curve.points.iter().map(|point| f64::from(point.1)).filter(|loss| loss.is_finite()).collect()
        };
        let learnt = |curve: &ComparedCurve| {
            let best = finite(curve).into_iter().reduce(f64::min);
            best.filter(|&best| curve.guessing.is_some_and(|guessing| best < guessing))
        };
        let all: Vec<f64> = self.curves.iter().flat_map(finite).collect();
        match self.curves.iter().filter_map(learnt).reduce(f64::max) {
            Some(worst) => all.into_iter().map(|loss| loss.min(HEADROOM * worst)).collect(),
            None => all,
        }
    }
}

/// A curve on the paper.
struct Drawn<'a> {
    index: usize,
    curve: &'a ComparedCurve,
    /// Of each evaluation, or a gap.
    places: Vec<Option<(f64, f64)>>,
}

impl<'a> Drawn<'a> {
    fn new(index: usize, curve: &'a ComparedCurve, x: &Axis, y: &Axis) -> Self {
        let place = |&(at, loss): &(f64, f32)| loss.is_finite().then(|| (x.place(at), y.place(f64::from(loss))));
        Self { index, curve, places: curve.points.iter().map(place).collect() }
    }

    fn end(&self) -> Option<(f64, f64)> {
        self.places.iter().rev().find_map(|place| *place)
    }

    /// The lowest point.
    fn best(&self) -> Option<((f64, f64), f32)> {
        let finite = self.places.iter().zip(&self.curve.points).filter_map(|(place, point)| Some(((*place)?, point.1)));
        finite.reduce(|best, point| if point.1 < best.1 { point } else { best })
    }

    fn dash(&self) -> String {
        match DASHES[self.index % DASHES.len()] {
            "" => String::new(),
            dash => format!(" stroke-dasharray=\"{dash}\""),
        }
    }

    fn draw(&self, svg: &mut String) {
        let points: Vec<(u64, f32)> = (0..).zip(self.curve.points.iter().map(|point| point.1)).collect();
        // Only finite points are placed.
        let place = |&(i, _): &(u64, f32)| self.places[i as usize].unwrap_or_default();
        let path = curve::path(&curve::thin(&points, place));
        let _ = writeln!(svg, "<g class=\"c{}\">", self.index % COLOURS);
        let _ = writeln!(svg, "<path class=\"curve\" clip-path=\"url(#frame)\"{} d=\"{path}\"/>", self.dash());
        let (end, best) = (self.end(), self.best().map(|best| best.0));
        let mut markers = String::new();
        let mut marked_until = f64::NEG_INFINITY;
        // Above the frame there is nothing to mark.
        for &place in self.places.iter().flatten().filter(|place| place.1 >= TOP) {
            let is_best = Some(place) == best;
            if is_best || Some(place) == end || place.0 - marked_until >= MARKER_DISTANCE {
                markers += &marker(self.index, place.0, place.1, if is_best { 5.6 } else { 3.6 });
                marked_until = place.0;
            }
        }
        let _ = writeln!(svg, "<path class=\"marker\" d=\"{markers}\"/>\n</g>");
    }

    /// The two lines beside the frame: the name, and the best loss.
    fn describe(&self) -> [String; 2] {
        let loss = match (self.best(), self.curve.points.is_empty()) {
            (Some((place, loss)), _) => {
                let off = if place.1 < TOP { ", above the frame" } else { "" };
                format!("best {}{off}", loss_text(loss))
            }
            (None, false) => "never finite".into(),
            (None, true) => "not evaluated".into(),
        };
        [escape(&cut_middle(&self.curve.name, NAME_CHARS)), loss]
    }
}

fn draw_labels(svg: &mut String, paper: &Paper, drawn: &[Drawn]) {
    // Curves that end above the frame have their label at its top; those without an end, at the bottom.
    let wanted = |curve: &Drawn| curve.end().map_or(paper.bottom, |end| end.1.clamp(TOP, paper.bottom));
    let mut order: Vec<(f64, &Drawn)> = drawn.iter().map(|curve| (wanted(curve), curve)).collect();
    order.sort_by(|a, b| a.0.total_cmp(&b.0));
    let wanted: Vec<f64> = order.iter().map(|label| label.0).collect();
    let half = LABEL_HEIGHT / 2.0;
    let heights = spread(&wanted, LABEL_HEIGHT, TOP + half, paper.bottom - half);
    let left = RIGHT + LABEL_GAP;
    for ((at, curve), y) in order.into_iter().zip(heights) {
        let _ = writeln!(svg, "<g class=\"c{}\">", curve.index % COLOURS);
        if let Some((end, _)) = curve.end() {
            let _ = writeln!(svg, "<path class=\"tie\" d=\"M{end:.1} {at:.1}H{RIGHT}L{:.1} {y:.1}\"/>", left - 4.0);
        }
        let middle = marker(curve.index, left + KEY / 2.0, y, 3.6);
        let [name, loss] = curve.describe();
        let text = left + KEY + 8.0;
        let _ = writeln!(
            svg,
            "<path class=\"curve\"{} d=\"M{left} {y:.1}h{KEY}\"/><path class=\"marker\" d=\"{middle}\"/>\n\
             <text class=\"name\" x=\"{text}\" y=\"{:.1}\">{name}</text><text x=\"{text}\" y=\"{:.1}\">{loss}</text>\n</g>",
            curve.dash(),
            y - 3.0,
            y + 12.0,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::marker::SHAPES;
    use super::super::paper::tests::assert_sound;
    use super::*;

    fn curve(name: &str, points: &[(f64, f32)]) -> ComparedCurve {
        ComparedCurve { name: name.into(), points: points.to_vec(), guessing: Some(6.0) }
    }

    fn plot(curves: &[ComparedCurve]) -> String {
        let svg = ComparisonPlot { title: "2 runs".into(), x_label: "step".into(), curves: curves.to_vec() }.svg();
        assert_sound(&svg);
        svg
    }

    /// The height of this text.
    fn height(svg: &str, text: &str) -> f64 {
        let before = svg.split(&format!(">{text}<")).next().unwrap();
        before.rsplit(" y=\"").next().unwrap().split('"').next().unwrap().parse().unwrap()
    }

    #[test]
    fn every_run_has_its_name_its_best_loss_and_its_own_look() {
        let svg = plot(&[curve("a", &[(10.0, 3.0), (20.0, 2.25)]), curve("b<", &[(10.0, 3.5), (20.0, 2.5)])]);
        for text in [">a<", ">b&lt;<", ">best 2.250<", ">best 2.500<", ">step<", ">20<", "prefers-color-scheme:dark"] {
            assert!(svg.contains(text), "{text} in {svg}");
        }
        assert!(height(&svg, "a") > height(&svg, "b&lt;"), "the better run ends lower");
        let looks = |i: usize| (i % COLOURS, i % DASHES.len(), i % SHAPES);
        let distinct: std::collections::BTreeSet<_> = (0..210).map(looks).collect();
        assert_eq!(distinct.len(), 210);
    }

    #[test]
    fn labels_never_overlap_and_stay_on_the_paper() {
        let same: Vec<_> = (0..20).map(|i| curve(&format!("run {i:02}"), &[(1.0, 3.0), (2.0, 2.0)])).collect();
        let svg = plot(&same);
        let mut heights: Vec<f64> = (0..20).map(|i| height(&svg, &format!("run {i:02}"))).collect();
        heights.sort_by(f64::total_cmp);
        assert!(heights.windows(2).all(|pair| pair[1] - pair[0] > LABEL_HEIGHT - 0.11), "{heights:?}");
        let sheet: f64 = svg.split("height=\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap();
        assert!(heights[0] > TOP && heights[19] < sheet - FOOT, "{heights:?} on {sheet}");
    }

    #[test]
    fn a_diverged_run_does_not_press_the_others_flat() {
        let good = curve("good", &[(10.0, 3.0), (20.0, 2.0)]);
        let alone = plot(std::slice::from_ref(&good));
        let svg = plot(&[good, curve("bad", &[(10.0, 1e5), (20.0, 2e5)])]);
        assert_eq!(height(&svg, "2.0"), height(&alone, "2.0"), "the marks are where they were");
        assert_eq!(height(&svg, "2.6"), TOP + 4.0, "the axis ends at the headroom");
        assert!(svg.contains(">best 1.0e5, above the frame<"), "{svg}");
        // Where there is nothing else, it is all that is to be seen.
        let lost = plot(&[curve("bad", &[(10.0, 1e5), (20.0, 2e5)])]);
        assert!(lost.contains(">best 1.0e5<"), "{lost}");
    }

    #[test]
    fn few_points_and_odd_values_are_drawn_too() {
        for points in [
            &[][..],
            &[(0.0, 4.0)],
            &[(5.0, f32::NAN)],
            &[(0.0, f32::MAX), (1.0, f32::MIN)],
            &[(1.0, 3.0), (2.0, f32::INFINITY), (3.0, 2.0)],
            &[(1e300, 0.0), (1e300, 0.0)],
        ] {
            plot(&[curve("a", points)]);
            plot(&[curve("a", points), curve("b", &[(1.0, 2.0)])]);
        }
        assert!(plot(&[curve("a", &[])]).contains(">not evaluated<"));
        assert!(plot(&[curve("a", &[(1.0, f32::NAN)])]).contains(">never finite<"));
        assert!(plot(&[]).contains("no losses yet"));
    }
}
