//! What the operating system says that a process uses (Linux: `/proc`; elsewhere nothing is known).

use std::{fs, path::PathBuf};

/// Ticks of `/proc/PID/stat` in a second: fixed by Linux' ABI for user space, whatever the kernel's own rate.
const TICKS_PER_SECOND: f64 = 100.0;

/// What a process uses at one moment. What the system does not tell is zero.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ProcessFigures {
    /// Processor time in user space and in the kernel, seconds since its start.
    pub cpu_seconds: f64,
    /// Memory that is resident, bytes.
    pub resident_bytes: u64,
    /// Memory of its own: resident and neither a file nor shared, bytes.
    pub anonymous_bytes: u64,
    /// File descriptors that are open; zero for a process of somebody else.
    pub descriptors: u64,
    /// File descriptors that it may open.
    pub descriptors_max: u64,
    /// Threads.
    pub threads: u64,
}

impl ProcessFigures {
    /// This process.
    #[must_use]
    pub fn own() -> Self {
        Self::read("self".into())
    }

    /// Another process; `None` where there is none with this number.
    #[must_use]
    pub fn of(pid: u32) -> Option<Self> {
        let name = pid.to_string();
        PathBuf::from("/proc").join(&name).join("stat").exists().then(|| Self::read(name))
    }

    fn read(name: String) -> Self {
        let folder = PathBuf::from("/proc").join(name);
        let text = |file: &str| fs::read_to_string(folder.join(file)).unwrap_or_default();
        let status = text("status");
        let line = |key: &str| status.lines().find_map(|l| l.strip_prefix(key)).map_or(0, first_number);
        let limits = text("limits");
        let open_files = limits.lines().find_map(|l| l.strip_prefix("Max open files"));
        Self {
            cpu_seconds: cpu_seconds(&text("stat")),
            resident_bytes: line("VmRSS:") * 1024,
            anonymous_bytes: line("RssAnon:") * 1024,
            descriptors: fs::read_dir(folder.join("fd")).map_or(0, |entries| entries.count() as u64),
            descriptors_max: open_files.map_or(0, first_number),
            threads: line("Threads:"),
        }
    }
}

fn first_number(text: &str) -> u64 {
    text.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0)
}

/// Fields 14 and 15 of `stat`; the second field is a name in parentheses that may hold anything (proc(5)).
fn cpu_seconds(stat: &str) -> f64 {
    let Some((_, after_name)) = stat.rsplit_once(')') else { return 0.0 };
    let ticks: u64 =
        after_name.split_whitespace().skip(11).take(2).filter_map(|word| word.parse::<u64>().ok()).sum();
    ticks as f64 / TICKS_PER_SECOND
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 2 3 4 150 50 9 9 20 0 1";
        assert_eq!(cpu_seconds(stat), 2.0);
        assert_eq!(cpu_seconds(""), 0.0);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_memory_and_threads() {
        let own = ProcessFigures::own();
        assert!(own.resident_bytes > 100_000 && own.threads > 0 && own.descriptors > 0, "{own:?}");
        assert_eq!(ProcessFigures::of(u32::MAX), None);
    }
}
