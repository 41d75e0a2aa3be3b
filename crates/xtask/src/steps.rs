//! A sequence of steps that stops at the first failure, and its closing report: a table of seconds, what failed, and a last
//! line `N passed, N failed[, N skipped]`.

use std::env;
use std::time::Instant;

use crate::error::{Error, Result};
use crate::table;
use crate::test_counts::TestCounts;

/// What became of a step.
enum Outcome {
    Done,
    Skipped(Error),
    Failed(Error),
}

/// The steps so far.
pub struct Steps {
    finished: Vec<(&'static str, f64, Outcome)>,
    counts: TestCounts,
    absence: Absence,
}

/// What a missing tool means for the steps that need it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Absence {
    /// They are skipped, loudly: someone is at work on a machine that may lack a tool.
    Skips,
    /// They fail: continuous integration must not go green by doing less.
    Fails,
}

impl Absence {
    /// Fails where the variable `CI` is set, as every CI service does.
    pub fn from_environment() -> Self {
        if env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false") {
            Self::Fails
        } else {
            Self::Skips
        }
    }
}

impl Steps {
    /// No steps yet.
    pub fn new(absence: Absence) -> Self {
        Self { finished: Vec::new(), counts: TestCounts::default(), absence }
    }

    /// Runs a step unless an earlier one failed. It adds its tests to the counts that it is given.
    pub fn step(&mut self, name: &'static str, run: impl FnOnce(&mut TestCounts) -> Result<()>) {
        self.timed(name, run, Absence::Fails);
    }

    /// The same for a step on tools that a machine may lack.
    pub fn optional_step(&mut self, name: &'static str, run: impl FnOnce(&mut TestCounts) -> Result<()>) {
        self.timed(name, run, self.absence);
    }

    fn timed(&mut self, name: &'static str, run: impl FnOnce(&mut TestCounts) -> Result<()>, absence: Absence) {
        if self.failure().is_some() {
            return;
        }
        println!("\n── {name}");
        let (start, mut counts) = (Instant::now(), TestCounts::default());
        let outcome = match run(&mut counts) {
            Ok(()) => Outcome::Done,
            Err(error @ Error::Missing { .. }) if absence == Absence::Skips => {
                println!("SKIPPED: {error}");
                // A step that does not know how many tests it has counts as one.
                counts.skipped = counts.skipped.max(1);
                Outcome::Skipped(error)
            }
            Err(error) => {
                // A step that broke before any test could fail still must not close on "0 failed".
                counts.failed = counts.failed.max(1);
                Outcome::Failed(error)
            }
        };
        self.counts += counts;
        self.finished.push((name, start.elapsed().as_secs_f64(), outcome));
    }

    fn failure(&self) -> Option<(&'static str, &Error)> {
        self.finished.iter().find_map(|(name, _, outcome)| match outcome {
            Outcome::Failed(error) => Some((*name, error)),
            _ => None,
        })
    }

    /// Whether no step failed.
    pub fn succeeded(&self) -> bool {
        self.failure().is_none()
    }

    /// Table, skipped steps, failure and counts.
    pub fn report(&self) -> String {
        let mut rows = vec![vec!["step".to_owned(), "seconds".into(), "result".into()]];
        let mut notes = String::new();
        for (name, seconds, outcome) in &self.finished {
            let result = match outcome {
                Outcome::Done => "ok",
                Outcome::Skipped(error) => {
                    notes.push_str(&format!("SKIPPED {name}: {error}\n"));
                    "SKIPPED"
                }
                Outcome::Failed(error) => {
                    notes.push_str(&format!("FAILED at {name}: {error}\n"));
                    "FAILED"
                }
            };
            rows.push(vec![(*name).into(), format!("{seconds:.1}"), result.into()]);
        }
        format!("\n{}\n{notes}{}\n", table::align(&rows), self.counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing() -> Result<()> {
        Err(Error::Missing { what: "node".into(), remedy: "install it".into() })
    }

    fn broken() -> Result<()> {
        Err(Error::Disagreement("lint".into()))
    }

    fn last_line(steps: &Steps) -> String {
        steps.report().lines().last().unwrap_or_default().to_owned()
    }

    #[test]
    fn counts_of_all_steps_add_up_on_the_last_line() {
        let mut steps = Steps::new(Absence::Fails);
        for passed in [3, 4] {
            steps.step("tests", |counts| {
                *counts += TestCounts { passed, failed: 0, skipped: 1 };
                Ok(())
            });
        }
        assert!(steps.succeeded());
        assert_eq!(last_line(&steps), "7 passed, 0 failed, 2 skipped");
    }

    #[test]
    fn the_first_failure_stops_the_rest_and_is_named() {
        let mut steps = Steps::new(Absence::Skips);
        steps.step("lints", |_| broken());
        steps.step("tests", |_| panic!("runs after a failure"));
        assert!(!steps.succeeded());
        assert!(steps.report().contains("FAILED at lints: lint"));
        assert_eq!(last_line(&steps), "0 passed, 1 failed");
    }

    #[test]
    fn failed_tests_are_counted_once() {
        let mut steps = Steps::new(Absence::Skips);
        steps.step("tests", |counts| {
            *counts += TestCounts { passed: 5, failed: 2, skipped: 0 };
            broken()
        });
        assert_eq!(last_line(&steps), "5 passed, 2 failed");
    }

    #[test]
    fn a_missing_tool_is_skipped_aloud_at_home_and_fails_in_ci() {
        let mut home = Steps::new(Absence::Skips);
        home.optional_step("wasm", |_| missing());
        assert!(home.succeeded());
        assert!(home.report().contains("SKIPPED wasm: node is missing: install it"));
        assert_eq!(last_line(&home), "0 passed, 0 failed, 1 skipped");

        home.optional_step("gpu", |counts| {
            counts.skipped = 7;
            missing()
        });
        assert_eq!(last_line(&home), "0 passed, 0 failed, 8 skipped");

        let mut ci = Steps::new(Absence::Fails);
        ci.optional_step("wasm", |_| missing());
        assert!(!ci.succeeded());
    }

    #[test]
    fn a_tool_that_every_step_needs_is_never_skipped() {
        let mut steps = Steps::new(Absence::Skips);
        steps.step("format", |_| missing());
        assert!(!steps.succeeded());
    }
}
