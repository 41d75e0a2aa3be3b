//! What the user sees: results on stdout, everything else on stderr.
//!
//! - stdout carries the result and nothing else: text for people, or with `--json` exactly one object per result.
//! - Progress bars and remarks go to stderr; bars only when it is a terminal, neither with `--json` or `--quiet`.
//! - Warnings and errors always go to stderr.
//! - Colour only on a terminal, and never when `NO_COLOR` is set to anything but the empty string (<https://no-color.org>).

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::error::{Error, Result};
use crate::format;

/// How much of what goes where.
#[derive(Clone, Debug)]
pub struct Terminal {
    json: bool,
    quiet: bool,
    colour: bool,
}

impl Terminal {
    /// With the user's `--json` and `--quiet`.
    pub fn new(json: bool, quiet: bool) -> Self {
        Self { json, quiet, colour: colour_wanted(io::stderr().is_terminal(), std::env::var_os("NO_COLOR")) }
    }

    /// Writes a command's result to stdout: `object` on one line with `--json`, else `text` (which ends its own lines).
    pub fn result(&self, object: &serde_json::Value, text: &str) -> Result<()> {
        if self.json { self.print(&format!("{object}\n")) } else { self.print(text) }
    }

    /// Writes to stdout as it is, flushed: for streamed output.
    pub fn print(&self, text: &str) -> Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|source| match source.kind() {
            io::ErrorKind::BrokenPipe => Error::OutputClosed,
            _ => Error::Io { action: "write to", path: "stdout".into(), source },
        })
    }

    /// A remark on stderr, silenced by `--json` and `--quiet`.
    pub fn note(&self, text: &str) {
        if !self.json && !self.quiet {
            say(&format!("{text}\n"));
        }
    }

    /// A warning on stderr.
    pub fn warn(&self, text: &str) {
        say(&format!("{} {text}\n", self.paint("warning:", "1;33")));
    }

    /// An error on stderr with its hint, and with `--json` also as an object on stdout.
    pub fn error(&self, error: &Error) {
        if matches!(error, Error::OutputClosed) {
            return; // nobody is listening, and `… | head` is no failure worth a message
        }
        let mut text = match error {
            // What the user asked for is no error.
            Error::Interrupted { .. } | Error::Stopped => format!("{error}\n"),
            _ => format!("{} {error}\n", self.paint("error:", "1;31")),
        };
        if let Some(hint) = error.hint() {
            text += &format!("{} {hint}\n", self.paint("hint:", "1;36"));
        }
        say(&text);
        if self.json {
            // The exit code tells the same even when stdout is gone.
            let _ = self.print(&format!("{}\n", error.to_json()));
        }
    }

    /// Whether the result is to be one object.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Text that should stand back, where there is colour; line by line, so that every line can stand alone.
    pub fn faint(&self, text: &str) -> String {
        text.lines().map(|line| self.paint(line, "2")).collect::<Vec<_>>().join("\n")
    }

    fn paint(&self, text: &str, sgr: &str) -> String {
        if self.colour { format!("\x1b[{sgr}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Where bars are drawn; indicatif itself hides them when stderr is no terminal.
    fn bars(&self) -> ProgressDrawTarget {
        if self.json || self.quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() }
    }

    /// A bar over bytes; without a known `total` it counts up.
    pub fn byte_bar(&self, what: &str, total: Option<u64>) -> ProgressBar {
        let bar = ProgressBar::with_draw_target(total, self.bars()).with_message(what.to_owned());
        bar.set_style(style(match total {
            Some(_) => "{msg} [{bar:30}] {bytes}/{total_bytes}, {binary_bytes_per_sec}, {eta} left",
            None => "{msg} {spinner} {bytes}, {binary_bytes_per_sec}",
        }));
        bar
    }

    /// A bar over `total` things.
    pub fn count_bar(&self, what: &str, total: u64) -> ProgressBar {
        let bar = ProgressBar::with_draw_target(Some(total), self.bars()).with_message(what.to_owned());
        bar.set_style(style("{msg} [{bar:30}] {human_pos}/{human_len}, {eta} left"));
        bar
    }

    /// A spinner for work of unknown length; it turns by itself until dropped or finished.
    pub fn spinner(&self, what: &str) -> ProgressBar {
        let bar = ProgressBar::with_draw_target(None, self.bars()).with_message(what.to_owned());
        bar.set_style(style("{spinner} {msg} ({elapsed})"));
        bar.enable_steady_tick(Duration::from_millis(100));
        bar
    }

    /// The bar of a training run of `steps` steps, of which `done` were done before a resume.
    pub fn training_bar(&self, steps: u64, done: u64) -> TrainingBar {
        let bar = ProgressBar::with_draw_target(Some(steps), self.bars()).with_position(done);
        bar.set_style(style("{human_pos}/{human_len} [{wide_bar}] {msg}"));
        TrainingBar { bar, done, steps, started: Instant::now() }
    }
}

/// Step of steps, loss, tokens per second and time left of a training run.
#[derive(Debug)]
pub struct TrainingBar {
    bar: ProgressBar,
    done: u64,
    steps: u64,
    started: Instant,
}

impl TrainingBar {
    /// After `step` steps: the loss in nats per token and the present speed.
    pub fn update(&self, step: u64, loss: f32, tokens_per_s: f64) {
        self.bar.set_message(training_message(loss, tokens_per_s, self.time_left(step, self.started.elapsed())));
        self.bar.set_position(step);
    }

    /// The rest at the mean pace so far, evaluations and saves included.
    fn time_left(&self, step: u64, elapsed: Duration) -> Duration {
        let pace = elapsed.as_secs_f64() / step.saturating_sub(self.done).max(1) as f64;
        Duration::try_from_secs_f64(pace * self.steps.saturating_sub(step) as f64).unwrap_or(Duration::MAX)
    }

    /// Prints lines above the bar (or just prints them when there is no bar): evaluations, samples.
    pub fn println(&self, terminal: &Terminal, text: &str) {
        self.bar.suspend(|| terminal.note(text));
    }

    /// Shows what is going on instead of the loss.
    pub fn say(&self, text: &str) {
        self.bar.set_message(text.to_owned());
    }

    /// Prints something else while the bar is out of the way.
    pub fn suspend(&self, print: impl FnOnce()) {
        self.bar.suspend(print);
    }
}

impl Drop for TrainingBar {
    /// Takes the bar off the screen, also when an error ends the run.
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn training_message(loss: f32, tokens_per_s: f64, left: Duration) -> String {
    format!(
        "loss {loss:.4}, {} tokens/s, {} left",
        format::count(tokens_per_s.max(0.0) as u64),
        // Tenths of a second would flicker.
        format::duration(Duration::from_secs(left.as_secs())),
    )
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).expect("templates are constants of this file");
    style.progress_chars("█▉▊▋▌▍▎▏ ").tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ ")
}

/// Stderr is the last resort: if it is gone there is nobody left to tell.
fn say(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

fn colour_wanted(is_terminal: bool, no_color: Option<std::ffi::OsString>) -> bool {
    is_terminal && no_color.is_none_or(|value| value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_needs_a_terminal_and_no_objection() {
        assert!(colour_wanted(true, None));
        assert!(colour_wanted(true, Some("".into())));
        assert!(!colour_wanted(true, Some("1".into())));
        assert!(!colour_wanted(false, None));
    }

    #[test]
    fn the_training_line_names_loss_speed_and_time_left() {
        let line = training_message(1.23456, 14_321.9, Duration::from_millis(245_700));
        assert_eq!(line, "loss 1.2346, 14,321 tokens/s, 4 m 05 s left");
    }

    #[test]
    fn every_bar_has_a_valid_template() {
        let terminal = Terminal::new(false, true);
        terminal.byte_bar("a", Some(10)).inc(3);
        terminal.byte_bar("a", None).inc(3);
        terminal.count_bar("a", 10).inc(3);
        terminal.spinner("b").finish_and_clear();
        let bar = terminal.training_bar(100, 20);
        bar.update(21, 4.17, 1000.0);
        assert_eq!(bar.bar.position(), 21);
        // Of 80 steps 5 took 10 seconds: the other 75 will take 150.
        assert_eq!(bar.time_left(25, Duration::from_secs(10)), Duration::from_secs(150));
    }
}
