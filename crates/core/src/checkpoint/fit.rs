//! How the tensors at hand differ from those of a configuration: collected, then told in one message.

use super::damaged;
use crate::error::Result;

/// Names that one list in a message shows.
const SHOWN: usize = 6;

/// What is wrong, tensor by tensor.
#[derive(Default)]
pub(super) struct Fit {
    pub missing: Vec<String>,
    pub extra: Vec<String>,
    pub misshapen: Vec<String>,
}

impl Fit {
    /// Notes a tensor whose shape is not the configuration's.
    pub fn check_shape(&mut self, name: &str, found: &[usize], expected: &[usize]) {
        if found != expected {
            self.misshapen.push(format!("{name} is {found:?} instead of {expected:?}"));
        }
    }

    /// Fails with everything that was noted about `file`, whose tensors the file `configuration` calls for.
    pub fn finish(self, file: &str, configuration: &str) -> Result<()> {
        let lists = [("missing", self.missing), ("unexpected", self.extra), ("of the wrong shape", self.misshapen)];
        let parts: Vec<String> = lists
            .into_iter()
            .filter(|(_, names)| !names.is_empty())
            .map(|(what, names)| format!("{} {what}: {}", names.len(), capped(&names)))
            .collect();
        if parts.is_empty() {
            return Ok(());
        }
        let problem = format!("the tensors are not those of {configuration}; {}", parts.join("; "));
        Err(damaged(file, problem))
    }
}

fn capped(names: &[String]) -> String {
    let shown = names[..names.len().min(SHOWN)].join(", ");
    match names.len().checked_sub(SHOWN) {
        None | Some(0) => shown,
        Some(more) => format!("{shown} and {more} more"),
    }
}
