//! How much of the machine somebody else used during a measurement, from Linux's own books:
//!
//! others = (busy ticks of all CPUs - ticks of this process and all that it started) / ticks that passed on one CPU
//!
//! `/proc/stat` and `/proc/<process>/stat` count in the same ticks. What has ended is in the books of who started it. Time stolen by a hypervisor is somebody else's too.

use std::fs;
use std::process;

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
        let processes = fs::read_dir("/proc").ok()?.flatten();
        // Some end meanwhile.
        let stats = processes.filter_map(|process| fs::read_to_string(process.path().join("stat")).ok());
        let processes: Vec<Process> = stats.filter_map(|text| Process::parse(&text)).collect();
        Some(Self { busy, per_cpu, own: ticks_of_tree(&processes, process::id().into()) })
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

/// A process in the books.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Process {
    id: u64,
    parent: u64,
    ticks: u64,
}

impl Process {
    /// From the text of `/proc/<process>/stat`: its id, its parent's (field 4), utime + stime + cutime + cstime (fields 14 to 17).
    fn parse(text: &str) -> Option<Self> {
        let id = parse(text.split_whitespace().next()?)?;
        // The program's name, field 2, may itself contain spaces and parentheses.
        let fields: Vec<&str> = text[text.rfind(')')? + 1..].split_whitespace().collect();
        let ticks = fields.get(11..15)?.iter().map(|word| parse(word)).sum::<Option<u64>>()?;
        Some(Self { id, parent: parse(fields.get(1)?)?, ticks })
    }
}

/// Of a process and all below it.
fn ticks_of_tree(processes: &[Process], root: u64) -> u64 {
    let mut tree = vec![root];
    let mut done = 0;
    while let Some(&parent) = tree.get(done) {
        tree.extend(processes.iter().filter(|process| process.parent == parent).map(|process| process.id));
        done += 1;
    }
    processes.iter().filter(|process| tree.contains(&process.id)).map(|process| process.ticks).sum()
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
        assert_eq!(Process::parse(text), Some(Process { id: 42, parent: 1, ticks: 3520 }));
        assert_eq!(Process::parse("42 (cut) S 1 2"), None);
    }

    #[test]
    fn what_children_start_is_own_too() {
        let process = |id, parent, ticks| Process { id, parent, ticks };
        let all = [process(1, 0, 1), process(9, 7, 10), process(7, 5, 100), process(5, 1, 1000), process(6, 1, 10_000)];
        assert_eq!(ticks_of_tree(&all, 5), 1110);
        assert_eq!(ticks_of_tree(&all, 6), 10_000);
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
