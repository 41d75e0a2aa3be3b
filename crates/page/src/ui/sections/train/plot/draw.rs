//! The figure of losses: the picked run with its evaluations, others beside it, what they are measured by, and below, on the same steps,
//! learning rate and gradient norm.

use super::paths::{Path, columns};
use super::scale::{Scale, decimal, level_ticks, levels};
use crate::ui::number::three;
use crate::ui::sections::train::log::Log;

/// What is drawn.
pub struct Scene<'a> {
    /// Of the figure, in pixels.
    pub width: f64,
    /// Whether steps are spaced by their logarithms.
    pub log: bool,
    /// The last step of the longest run.
    pub last: u64,
    /// Nats of a model that knows nothing, and the size of its vocabulary.
    pub uniform: Option<(f64, usize)>,
    /// Nats of counting pairs.
    pub bigram: Option<f64>,
    /// Largest gradient norm that is left alone; 0 is any.
    pub clip: f32,
    /// The picked run.
    pub run: &'a Log,
    /// Others: their style and name.
    pub others: &'a [(usize, String, &'a Log)],
    /// The step that is pointed at.
    pub cursor: Option<u64>,
    /// The step whose model all figures show.
    pub looked: Option<u64>,
}

/// Where a label is and what it says.
#[derive(Clone, Debug, PartialEq)]
pub struct Label {
    /// Says how it looks and where it is anchored.
    pub class: &'static str,
    /// Its place.
    pub x: f64,
    /// Its base line.
    pub y: f64,
    /// The words.
    pub text: String,
}

/// Paths and labels, in the order in which they are drawn.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Drawing {
    /// Of the figure.
    pub height: f64,
    /// Classes and paths.
    pub paths: Vec<(&'static str, String)>,
    /// On top of them.
    pub labels: Vec<Label>,
}

const LEFT: f64 = 38.0;
const TOP: f64 = 16.0;
/// Height of a strip, and of what names it.
const STRIP: f64 = 38.0;
const STRIP_NAME: f64 = 26.0;
/// Between two labels that can both be read.
const LABEL: f64 = 15.0;

/// Below this width there is room for a label of few words only.
const NARROW: f64 = 560.0;

/// Classes of other runs: lines of training and validation, marks, names.
const OTHERS: [[&str; 4]; 4] = [
    ["run-0 other-train", "run-0 other-val dash-0", "run-0 other-marks", "run-0 end"],
    ["run-1 other-train", "run-1 other-val dash-1", "run-1 other-marks", "run-1 end"],
    ["run-2 other-train", "run-2 other-val dash-2", "run-2 other-marks", "run-2 end"],
    ["run-3 other-train", "run-3 other-val dash-3", "run-3 other-marks", "run-3 end"],
];

/// The figure's height.
pub fn height(width: f64) -> f64 {
    bottom(width) + 2.0 * (STRIP_NAME + STRIP) + 24.0
}

fn bottom(width: f64) -> f64 {
    TOP + if width < NARROW { 230.0 } else { 310.0 }
}

/// The scale of steps.
pub fn steps(width: f64, log: bool, last: u64) -> Scale {
    let right = width - if width < NARROW { 82.0 } else { 104.0 };
    Scale::steps(log, last, LEFT, right.max(LEFT + 1.0))
}

impl Scene<'_> {
    /// Draws it.
    pub fn draw(&self) -> Drawing {
        let (narrow, height) = (self.width < NARROW, height(self.width));
        let x = steps(self.width, self.log, self.last);
        let right = x.place(f64::INFINITY);
        let bottom = bottom(self.width);
        let levels = self.levels();
        let y = Scale::linear(levels.0, levels.1, bottom, TOP);
        let mut drawing = Drawing { height, ..Drawing::default() };

        let mut grid = Path::default();
        let floor = height - 22.0;
        for (at, text) in x.step_ticks(if narrow { 4 } else { 9 }) {
            grid.segment((at, TOP), (at, floor));
            drawing.label("tick", at, floor + 16.0, text);
        }
        for (loss, text) in level_ticks(levels) {
            let at = y.place(loss);
            grid.segment((LEFT, at), (right, at));
            drawing.label("level", LEFT - 6.0, at + 4.0, text);
        }
        drawing.path("grid", grid);
        drawing.label("level-name", LEFT + 5.0, TOP + 13.0, "loss, nats".into());
        drawing.label("step-name", self.width - 4.0, floor + 16.0, if self.log { "step, log" } else { "step" }.into());

        for (loss, class, long, short) in self.references() {
            let at = y.place(loss);
            let mut line = Path::default();
            line.segment((LEFT, at), (right, at));
            drawing.path(class, line);
            drawing.label("reference", right - 4.0, at - 5.0, if narrow { short } else { long });
        }
        let mut ends = Vec::new();
        for (style, name, log) in self.others {
            let [train, val, marks, end] = OTHERS[style % 4];
            drawing.path(train, smooth(log, x, y));
            drawing.validation(log, x, y, [val, marks], *style);
            if let Some(place) = log.evaluations.last().map(|e| (x.place(e.step as f64), y.place(e.val_loss))) {
                ends.push((place, end, shortened(name, if narrow { 8 } else { 13 })));
            }
        }
        self.picked(&mut drawing, x, y, &mut ends);
        spread(&mut ends);
        for ((at, level), class, text) in ends {
            drawing.label(class, at + 8.0, level + 4.0, text);
        }
        self.strips(&mut drawing, x, bottom, right);
        for (step, class) in [(self.looked, "looked"), (self.cursor, "cursor")] {
            let Some(step) = step else { continue };
            let at = x.place(step as f64);
            let mut line = Path::default();
            line.segment((at, TOP), (at, floor));
            drawing.path(class, line);
            let mut marks = Path::default();
            let losses = [self.run.at(step).map(|(_, loss)| f64::from(loss)), self.evaluated(step)];
            for loss in losses.into_iter().flatten().filter(|loss| loss.is_finite()) {
                marks.mark(0, (at, y.place(loss)), 4.5);
            }
            drawing.path(if class == "looked" { "looked-marks" } else { "cursor-marks" }, marks);
        }
        drawing
    }

    /// The validation loss of exactly this step.
    fn evaluated(&self, step: u64) -> Option<f64> {
        self.run.evaluated_at(step).filter(|evaluated| evaluated.step == step).map(|evaluated| evaluated.val_loss)
    }

    /// The losses that the figure has room for.
    fn levels(&self) -> (f64, f64, f64) {
        let highest = self.uniform.map_or(5.0, |(loss, _)| loss);
        let logs = || self.others.iter().map(|(.., log)| *log).chain([self.run]);
        let losses = logs().flat_map(|log| {
            let val = log.evaluations.iter().map(|evaluated| evaluated.val_loss);
            log.smooth.iter().map(|&loss| f64::from(loss)).chain(val)
        });
        let references = self.uniform.iter().map(|(loss, _)| *loss).chain(self.bigram);
        let (mut low, mut high) = (highest - 0.5, highest + 0.15);
        for loss in losses.chain(references).filter(|loss| loss.is_finite()) {
            // What is far above a model that knows nothing is drawn at the upper edge: everything else would be flat.
            (low, high) = (low.min(loss - 0.05), high.max(loss.min(1.5 * highest)));
        }
        levels(low.max(0.0), high)
    }

    /// What losses are measured by: the loss, its class, in many words and in few.
    fn references(&self) -> Vec<(f64, &'static str, String, String)> {
        let mut lines = Vec::new();
        if let Some((loss, size)) = self.uniform {
            let value = decimal(loss, 2);
            lines.push((
                loss,
                "uniform",
                format!("knows nothing: ln {size} = {value}"),
                format!("knows nothing {value}"),
            ));
        }
        if let Some(loss) = self.bigram {
            let value = decimal(loss, 2);
            lines.push((
                loss,
                "bigram",
                format!("knows only pairs of neighbours: {value}"),
                format!("knows pairs {value}"),
            ));
        }
        lines
    }

    fn picked(&self, drawing: &mut Drawing, x: Scale, y: Scale, ends: &mut Vec<((f64, f64), &'static str, String)>) {
        let log = self.run;
        let place = |step: u64, loss: f64| (x.place(step as f64), y.place(loss));
        // Train and val, evaluation by evaluation: there and back.
        let trained: Vec<_> = log.evaluations.iter().filter_map(|e| Some((e, f64::from(log.at(e.step)?.1)))).collect();
        let there = trained.iter().map(|(e, _)| place(e.step, e.val_loss));
        let back = trained.iter().rev().map(|(e, loss)| place(e.step, *loss));
        let gap = Path::line(there.chain(back).filter(|(_, y)| y.is_finite()));
        if trained.len() > 1 {
            drawing.path("gap", Path(gap.0 + "Z"));
        }
        let raw = log.steps.iter().map(|point| place(point.step, point.loss.into()));
        drawing.path("train-raw", Path::line(columns(raw, true).into_iter()));
        drawing.path("train", smooth(log, x, y));
        drawing.validation(log, x, y, ["val", "val-marks"], 0);
        if let Some((point, mean)) = log.at(u64::MAX).filter(|(_, mean)| mean.is_finite()) {
            ends.push((place(point.step, mean.into()), "end train", format!("train {}", decimal(mean.into(), 2))));
        }
        if let Some(last) = log.evaluations.last().filter(|last| last.val_loss.is_finite()) {
            ends.push((place(last.step, last.val_loss), "end val", format!("val {}", decimal(last.val_loss, 2))));
        }
        if let Some(best) = log.best().filter(|_| log.evaluations.len() > 1) {
            let (at, level) = place(best.step, best.val_loss);
            let mut ring = Path::default();
            ring.mark(2, (at, level), 6.5);
            drawing.path("best", ring);
            let is_last = log.evaluations.last().is_some_and(|last| last.step == best.step);
            if !is_last {
                drawing.label("best", at, level + 24.0, format!("best {}", decimal(best.val_loss, 2)));
            }
        }
    }

    /// Learning rate and gradient norm.
    fn strips(&self, drawing: &mut Drawing, x: Scale, bottom: f64, right: f64) {
        let now = self.run.at(self.cursor.unwrap_or(u64::MAX)).map(|(point, _)| point);
        let points = || self.run.steps.iter();
        let peak = points().map(|point| point.learning_rate).fold(0.0, f32::max);
        let norms = || points().map(|point| point.grad_norm).filter(|norm| norm.is_finite() && *norm > 0.0);
        let (least, most) = norms().fold((f32::INFINITY, 0.0f32), |(low, high), norm| (low.min(norm), high.max(norm)));
        let mut floor = bottom;
        for (class, name, value) in [
            ("rate", "learning rate", now.map(|point| point.learning_rate)),
            ("norm", "gradient norm, log scale", now.map(|point| point.grad_norm)),
        ] {
            let is_rate = class == "rate";
            let top = floor + STRIP_NAME;
            floor = top + STRIP;
            let mut frame = Path::default();
            frame.segment((LEFT, floor), (right, floor));
            drawing.path("axis", frame);
            let value = value.map(|value| format!(" {}", three(value.into()))).unwrap_or_default();
            drawing.label("strip", LEFT, top - 7.0, format!("{name}{value}"));
            if points().next().is_none() || (!is_rate && most == 0.0) {
                continue;
            }
            let scale = if is_rate {
                Scale::linear(0.0, f64::from(peak), floor, top)
            } else {
                Scale::log(f64::from(least), f64::from(most), floor, top)
            };
            if !is_rate && (least..most).contains(&self.clip) {
                let at = scale.place(self.clip.into());
                let mut line = Path::default();
                line.segment((LEFT, at), (right, at));
                drawing.path("clip", line);
                drawing.label("clip", right + 6.0, at + 4.0, format!("clip {}", self.clip));
            }
            let places = points().map(|point| {
                let value = if is_rate { point.learning_rate } else { point.grad_norm };
                (x.place(point.step as f64), scale.place(value.into()))
            });
            drawing.path(class, Path::line(columns(places, !is_rate).into_iter()));
        }
    }
}

impl Drawing {
    fn path(&mut self, class: &'static str, path: Path) {
        self.paths.push((class, path.0));
    }

    fn label(&mut self, class: &'static str, x: f64, y: f64, text: String) {
        // Whole pixels: nobody sees a fraction, and it would take a table to write it out.
        self.labels.push(Label { class, x: x.round(), y: y.round(), text });
    }

    fn validation(&mut self, log: &Log, x: Scale, y: Scale, [line, marks]: [&'static str; 2], style: usize) {
        let places = || log.evaluations.iter().map(|e| (x.place(e.step as f64), y.place(e.val_loss)));
        self.path(line, Path::line(places()));
        let mut all = Path::default();
        let mut last = f64::NEG_INFINITY;
        for place in places().filter(|place| place.1.is_finite()) {
            // Marks that touch would hide the line.
            if place.0 - last >= 9.0 {
                all.mark(style, place, 2.8);
                last = place.0;
            }
        }
        self.path(marks, all);
    }
}

fn smooth(log: &Log, x: Scale, y: Scale) -> Path {
    let places =
        log.steps.iter().zip(&log.smooth).map(|(point, &mean)| (x.place(point.step as f64), y.place(mean.into())));
    Path::line(columns(places, false).into_iter())
}

/// Moves labels apart that would cover each other.
fn spread(ends: &mut [((f64, f64), &'static str, String)]) {
    for _ in 0..ends.len() {
        for i in 0..ends.len() {
            for j in 0..i {
                let ((one, other), near) = ((ends[i].0, ends[j].0), LABEL);
                let apart = (one.1 - other.1).abs();
                if apart < near && (one.0 - other.0).abs() < 90.0 {
                    let move_by = (near - apart) / 2.0 + 0.01;
                    let sign = if one.1 >= other.1 { 1.0 } else { -1.0 };
                    ends[i].0.1 += sign * move_by;
                    ends[j].0.1 -= sign * move_by;
                }
            }
        }
    }
}

/// The beginning of a name that is long.
fn shortened(name: &str, most: usize) -> String {
    if name.chars().count() <= most {
        return name.to_owned();
    }
    name.chars().take(most - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::log::tests::run;
    use super::*;

    fn scene<'a>(run: &'a Log, others: &'a [(usize, String, &'a Log)], log: bool) -> Scene<'a> {
        Scene {
            width: 900.0,
            log,
            last: 200,
            uniform: Some((4.174, 65)),
            bigram: Some(2.45),
            clip: 1.0,
            run,
            others,
            cursor: Some(50),
            looked: Some(100),
        }
    }

    fn has<'a>(drawing: &'a Drawing, class: &str) -> &'a str {
        &drawing.paths.iter().find(|path| path.0 == class).unwrap_or_else(|| panic!("no {class}")).1
    }

    #[test]
    fn an_overfit_run_has_curves_a_gap_and_a_best_mark() {
        let log = run(
            200,
            |s| 4.0 - s as f32 / 60.0,
            |s| if s <= 100 { 3.8 - s as f64 / 100.0 } else { 1.8 + s as f64 / 100.0 },
        );
        for logarithmic in [false, true] {
            let drawing = scene(&log, &[], logarithmic).draw();
            for class in [
                "train",
                "train-raw",
                "val",
                "val-marks",
                "gap",
                "best",
                "rate",
                "norm",
                "uniform",
                "bigram",
                "cursor",
                "looked",
            ] {
                assert!(!has(&drawing, class).is_empty(), "{class}");
            }
            let text =
                |class: &str| drawing.labels.iter().find(|label| label.class == class).map(|label| label.text.clone());
            assert_eq!(text("best").as_deref(), Some("best 2.80"));
            assert_eq!(text("end val").as_deref(), Some("val 3.80"));
            assert!(drawing.labels.iter().any(|label| label.text == "knows nothing: ln 65 = 4.17"));
            assert!(drawing.labels.iter().all(|label| (0.0..=900.0).contains(&label.x) && label.y <= drawing.height));
        }
    }

    #[test]
    fn a_run_that_has_not_begun_shows_what_it_will_be_measured_by() {
        let drawing = scene(&Log::default(), &[], false).draw();
        assert!(has(&drawing, "train").is_empty());
        assert_eq!(drawing.labels.iter().filter(|label| label.class == "reference").count(), 2);
    }

    #[test]
    fn runs_beside_each_other_differ_in_more_than_colour() {
        let log = run(100, |_| 2.0, |_| 2.5);
        let others: Vec<_> = (0..3).map(|style| (style, format!("a rather long name {style}"), &log)).collect();
        let drawing = scene(&log, &others, false).draw();
        let marks: Vec<_> = drawing.paths.iter().filter(|path| path.0.contains("other-marks")).collect();
        assert!(marks[0].1 != marks[1].1 && marks[1].1 != marks[2].1);
        let mut names: Vec<_> = drawing
            .labels
            .iter()
            .filter(|label| label.class.ends_with("end") || label.class.starts_with("end"))
            .collect();
        names.sort_by(|a, b| a.y.total_cmp(&b.y));
        assert_eq!(names.len(), 5);
        assert!(names.windows(2).all(|pair| pair[1].y - pair[0].y >= 12.0), "{names:?}");
        assert!(names.iter().any(|label| label.text == "a rather lon…"));
    }

    #[test]
    fn a_long_run_is_drawn_with_few_coordinates_and_a_broken_one_at_all() {
        let long = run(50_000, |step| 2.0 + (step % 13) as f32 / 50.0, |_| 2.0);
        let drawing = Scene { last: 50_000, ..scene(&long, &[], true) }.draw();
        assert!(has(&drawing, "train-raw").len() < 40_000);
        let broken = run(100, |step| if step > 50 { f32::NAN } else { 1e9 }, |_| f64::INFINITY);
        assert!(
            scene(&broken, &[], false).draw().paths.iter().all(|path| !path.1.contains("NaN") && !path.1.contains('-'))
        );
    }
}
