//! How many tests ran, read off libtest's closing lines:
//! `test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.05s`.

use std::fmt;
use std::ops::AddAssign;

/// Tests by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TestCounts {
    /// Tests that held.
    pub passed: u64,
    /// Tests that did not, and steps that broke before a test could.
    pub failed: u64,
    /// Tests that the runner was told to leave out, and steps that could not run here.
    pub skipped: u64,
}

impl TestCounts {
    /// The counts of one closing line; `None` for any other line.
    pub fn parse(line: &str) -> Option<Self> {
        let (_verdict, counts) = line.trim().strip_prefix("test result: ")?.split_once(". ")?;
        let count = |outcome: &str| {
            let mut parts = counts.split(';').filter_map(|part| part.trim().split_once(' '));
            parts.find(|(_, word)| *word == outcome)?.0.parse().ok()
        };
        Some(Self { passed: count("passed")?, failed: count("failed")?, skipped: count("ignored")? })
    }
}

impl AddAssign for TestCounts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for TestCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        if self.skipped > 0 { write!(f, ", {} skipped", self.skipped) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closing_line_gives_its_counts() {
        let line = "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.05s\n";
        assert_eq!(TestCounts::parse(line), Some(TestCounts { passed: 12, failed: 0, skipped: 1 }));
    }

    #[test]
    fn a_failed_run_counts_too() {
        let line = "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.20s";
        assert_eq!(TestCounts::parse(line), Some(TestCounts { passed: 3, failed: 2, skipped: 0 }));
    }

    #[test]
    fn other_lines_are_no_result() {
        for line in
            ["", "running 3 tests", "test tests::a ... ok", "test result: ", "test result: ok. 3 apples; 1 pear"]
        {
            assert_eq!(TestCounts::parse(line), None, "{line:?}");
        }
    }

    #[test]
    fn skipped_is_named_only_when_there_are_any() {
        let mut counts = TestCounts { passed: 4, failed: 0, skipped: 0 };
        assert_eq!(counts.to_string(), "4 passed, 0 failed");
        counts += TestCounts { passed: 1, failed: 2, skipped: 3 };
        assert_eq!(counts.to_string(), "5 passed, 2 failed, 3 skipped");
    }
}
