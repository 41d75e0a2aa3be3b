//! How much memory there is, and how much this process has used.

use sysinfo::{MemoryRefreshKind, ProcessRefreshKind, ProcessesToUpdate, System};

/// Bytes that can be allocated without swapping: the system's available memory, or what is left of the control group's
/// limit where that is less (containers). `None` when the operating system does not tell.
pub fn available() -> Option<u64> {
    let mut system = System::new().ok()?;
    system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
    let limit = system.cgroup_limits().map_or(u64::MAX, |group| group.free_memory);
    Some(system.available_memory().min(limit)).filter(|&bytes| bytes > 0)
}

/// The most bytes of physical memory that this process has occupied at any time (`VmHWM`) on Linux; elsewhere what it
/// occupies now, which is the same for a trainer that allocates everything up front. `None` when the system does not tell.
pub fn peak() -> Option<u64> {
    if let Ok(status) = std::fs::read_to_string("/proc/self/status")
        && let Some(bytes) = high_water_mark(&status)
    {
        return Some(bytes);
    }
    let pid = sysinfo::get_current_pid().ok()?;
    let mut system = System::new().ok()?;
    system.refresh_processes_specifics(
        ProcessesToUpdate::Some(&[pid]),
        false,
        ProcessRefreshKind::nothing().with_memory(),
    );
    system.process(pid).map(sysinfo::Process::memory)
}

/// The line `VmHWM:     1234 kB` of Linux's `/proc/self/status`, in bytes.
fn high_water_mark(status: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    value.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_high_water_mark_is_read_from_the_status_file() {
        assert_eq!(high_water_mark("Name:\tx\nVmHWM:\t    1234 kB\nVmRSS:\t 99 kB\n"), Some(1234 * 1024));
        assert_eq!(high_water_mark("Name:\tx\n"), None);
    }

    #[test]
    fn peak_memory_counts_what_was_touched_and_given_back() {
        const SIZE: usize = 64 << 20;
        drop(std::hint::black_box(vec![1u8; SIZE]));
        let peak = peak().unwrap();
        if cfg!(target_os = "linux") {
            assert!(peak >= SIZE as u64, "{peak}");
        } else {
            assert!(peak > 0);
        }
    }

    #[test]
    fn some_memory_is_available() {
        assert!(available().unwrap() > 1 << 20);
    }
}
