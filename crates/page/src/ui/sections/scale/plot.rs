//! Where runs lie on a picture of 100 × 100: what they took to the right, on a logarithm, and what they lose upwards.

use crate::ui::sections::measured::entry::Entry;
use crate::ui::sections::train::plot::paths::Path;
use crate::ui::sections::train::plot::scale::{Scale, level_ticks, levels};

/// Values that are marked, and how.
type Marks = [(f64, &'static str)];

const WEIGHTS: [(f64, &str); 6] =
    [(1e3, "1 000"), (1e4, "10 000"), (1e5, "100 000"), (1e6, "1 million"), (1e7, "10 million"), (1e8, "100 million")];
const TIMES: [(f64, &str); 9] = [
    (0.01, "0.01 s"),
    (0.1, "0.1 s"),
    (1.0, "1 s"),
    (10.0, "10 s"),
    (60.0, "1 min"),
    (600.0, "10 min"),
    (3600.0, "1 h"),
    (36_000.0, "10 h"),
    (360_000.0, "100 h"),
];

/// A place, in hundredths of the picture from its upper left corner.
pub type Place = (f64, f64);

/// The picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Plot {
    /// Of each run: where it ended.
    pub ends: Vec<Place>,
    /// How it came there.
    pub curves: Vec<String>,
    /// Marks below.
    pub across: Vec<(f64, &'static str)>,
    /// Marks at the side.
    pub up: Vec<(f64, String)>,
}

impl Plot {
    /// Of runs; over their time of training or their weights.
    pub fn of(runs: &[Entry], by_time: bool) -> Self {
        let took = |run: &Entry| if by_time { run.seconds } else { run.parameters };
        let range = |values: &mut dyn Iterator<Item = f64>| {
            values.fold((f64::INFINITY, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)))
        };
        let starts = || runs.iter().filter_map(|run| run.curve.first()).map(|start| start.0);
        let (least, most) = if by_time {
            let (least, _) = range(&mut starts());
            (least, range(&mut runs.iter().map(took)).1)
        } else {
            range(&mut runs.iter().map(took))
        };
        // Room for dots and their names.
        let across = Scale::log(least.max(1e-3) / 1.7, most * 1.7, 0.0, 100.0);
        let losses = runs.iter().flat_map(|run| run.curve.iter().map(|point| point.1).chain([run.best]));
        let (best, worst) =
            if by_time { range(&mut losses.into_iter()) } else { range(&mut runs.iter().map(|run| run.best)) };
        let levels = levels(best - 0.05, worst + 0.02);
        let up = Scale::linear(levels.0, levels.1, 100.0, 0.0);
        let marks: &Marks = if by_time { &TIMES } else { &WEIGHTS };
        let inside = |mark: &&(f64, &'static str)| mark.0 > least / 1.7 && mark.0 < most * 1.7;
        Self {
            ends: runs.iter().map(|run| (across.place(took(run)), up.place(run.best))).collect(),
            curves: runs
                .iter()
                .map(|run| {
                    let points = if by_time { &run.curve[..] } else { &[] };
                    Path::line(points.iter().map(|&(seconds, loss)| (across.place(seconds), up.place(loss)))).0
                })
                .collect(),
            across: marks.iter().filter(inside).map(|&(value, text)| (across.place(value), text)).collect(),
            up: level_ticks(levels).into_iter().map(|(loss, text)| (up.place(loss), text)).collect(),
        }
    }

    /// Lines at all marks.
    pub fn grid(&self) -> String {
        let mut grid = Path::default();
        self.across.iter().for_each(|&(at, _)| grid.segment((at, 0.0), (at, 100.0)));
        self.up.iter().for_each(|&(at, _)| grid.segment((0.0, at), (100.0, at)));
        grid.0
    }
}

/// As CSS takes it. Tenths, so that no fraction has to be written out.
pub fn share(hundredths: f64) -> String {
    let tenths = (hundredths * 10.0).round() as i64;
    format!("{}.{}%", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::sections::measured::entry::tests::recorded;

    #[test]
    fn recorded_runs_lie_in_the_picture_and_apart() {
        let [runs, _] = recorded();
        for by_time in [false, true] {
            let plot = Plot::of(&runs, by_time);
            assert!(plot.across.len() >= 2 && plot.up.len() >= 3, "{plot:?}");
            for (i, (x, y)) in plot.ends.iter().enumerate() {
                assert!((0.0..100.0).contains(x) && (0.0..100.0).contains(y), "{plot:?}");
                // Nothing covers another one on a phone, where the picture is some 250 pixels high and wide.
                assert!(plot.ends[..i].iter().all(|(x0, y0)| (x - x0).hypot(y - y0) > 4.0), "{plot:?}");
            }
            assert_eq!(plot.curves.iter().all(String::is_empty), !by_time);
            assert!(plot.grid().starts_with('M'));
        }
    }

    #[test]
    fn fewer_weights_lie_to_the_left_and_less_loss_below() {
        let [runs, _] = recorded();
        let plot = Plot::of(&runs, false);
        for pair in
            runs.windows(2).zip(plot.ends.windows(2)).filter(|(runs, _)| runs[1].parameters > runs[0].parameters)
        {
            assert!(pair.1[1].0 >= pair.1[0].0);
            assert_eq!(pair.0[1].best < pair.0[0].best, pair.1[1].1 > pair.1[0].1);
        }
    }

    #[test]
    fn shares_have_a_digit_after_the_point() {
        assert_eq!(share(12.34), "12.3%");
        assert_eq!(share(100.0), "100.0%");
    }
}
