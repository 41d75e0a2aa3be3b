//! How much of the machine somebody else used during a measurement, from Linux's own books:
//!
//! others = (busy ticks of all CPUs - ticks of this process and its finished children) / ticks that passed on one CPU
//!
//! `/proc/stat` and `/proc/self/stat` count in the same ticks. Time stolen by a hypervisor is somebody else's too.

use std::fs;

/// Ticks since the machine or the process started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticks {
    busy: u64,
    per_cpu: u64,
    own: u64,
}

impl Ticks {
    /// The present state; `None` where there is no such book-keeping (other systems than Linux).
    pub fn now() -> Option<Self> {
        let (busy, per_cpu) = machine(&fs::read_to_string("/proc/stat").ok()?)?;
        Some(Self { busy, per_cpu, own: own(&fs::read_to_string("/proc/self/stat").ok()?)? })
    }

    /// CPUs that others kept busy between `start` and `self`, on average.
    pub fn others_since(&self, start: &Self) -> f64 {
        let passed = self.per_cpu.saturating_sub(start.per_cpu).max(1);
        let (busy, own) = (self.busy.saturating_sub(start.busy), self.own.saturating_sub(start.own));
        busy.saturating_sub(own) as f64 / passed as f64
    }
}

/// Busy ticks of all CPUs together and ticks passed on one, from the text of `/proc/stat`.
fn machine(text: &str) -> Option<(u64, u64)> {
    let numbers: Vec<u64> = text.lines().next()?.strip_prefix("cpu ")?.split_whitespace().map_while(parse).collect();
    // Guest time, which follows, is contained in user time.
    let &[user, nice, system, idle, iowait, irq, softirq, steal] = numbers.first_chunk()?;
    let is_cpu =
        |line: &&str| line.strip_prefix("cpu").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    let cpus = text.lines().filter(is_cpu).count() as u64;
    let busy = user + nice + system + irq + softirq + steal;
    Some((busy, (busy + idle + iowait).checked_div(cpus)?))
}

/// utime + stime + cutime + cstime, fields 14 to 17 of `/proc/self/stat`.
fn own(text: &str) -> Option<u64> {
    // The program's name, field 2, may itself contain spaces and parentheses.
    let after_name = &text[text.rfind(')')? + 1..];
    let fields: Vec<u64> = after_name.split_whitespace().skip(11).take(4).map_while(parse).collect();
    (fields.len() == 4).then(|| fields.iter().sum())
}

fn parse(word: &str) -> Option<u64> {
    word.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str =
        "cpu  100 1 20 300 4 5 6 7 0 0\ncpu0 50 0 10 150 2 2 3 3 0 0\ncpu1 50 1 10 150 2 3 3 4 0 0\nintr 9\n";

    #[test]
    fn the_machines_ticks_are_read() {
        assert_eq!(machine(STAT), Some((139, 443 / 2)));
        assert_eq!(machine("cpu  1 2 3\n"), None);
        assert_eq!(machine("cpu  1 2 3 4 5 6 7 8\n"), None, "no CPU is listed");
    }

    #[test]
    fn own_ticks_include_children_whatever_the_name() {
        let text = "42 (a) b) S 1 2 3 4 5 6 7 8 9 10 100 20 3000 400 20 0 1";
        assert_eq!(own(text), Some(3520));
        assert_eq!(own("42 (cut) S 1 2"), None);
    }

    #[test]
    fn what_is_busy_and_not_ours_is_others() {
        let start = Ticks { busy: 1000, per_cpu: 5000, own: 10 };
        let alone = Ticks { busy: 1200, per_cpu: 5100, own: 210 };
        let shared = Ticks { busy: 1200, per_cpu: 5100, own: 60 };
        assert_eq!(alone.others_since(&start), 0.0);
        assert_eq!(shared.others_since(&start), 1.5);
    }
}
