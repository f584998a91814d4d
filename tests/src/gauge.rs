//! What a process holds and uses, as the kernel says: memory, descriptors, threads, processor time.

use core::fmt;
use core::time::Duration;
use std::fs;

/// What this process holds at one moment.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sample {
    /// Resident memory in KiB, exactly (`/proc/self/smaps_rollup`; `VmRSS` is kept for each processor, and off by up to some
    /// 100 KiB).
    pub resident: u64,
    /// Open descriptors.
    pub descriptors: u64,
    /// Threads.
    pub threads: u64,
}

impl Sample {
    /// Looks.
    #[must_use]
    pub fn now() -> Self {
        // The folder itself is open while it is read.
        let descriptors = fs::read_dir("/proc/self/fd").map_or(0, |list| list.count().saturating_sub(1));
        Self {
            resident: field("/proc/self/smaps_rollup", "Rss:"),
            descriptors: u64::try_from(descriptors).unwrap_or(0),
            threads: field("/proc/self/status", "Threads:"),
        }
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} KiB, {} descriptors, {} threads", self.resident, self.descriptors, self.threads)
    }
}

/// How many descriptors this process may have.
#[must_use]
pub fn most_descriptors() -> u64 {
    field("/proc/self/limits", "Max open files")
}

/// Processor time of the threads this process has now.
#[must_use]
pub fn processor_time() -> Duration {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let nanos = tasks.map(|task| {
        let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        text.split_whitespace().next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0)
    });
    Duration::from_nanos(nanos.sum())
}

/// The number behind a name in a file of the kernel; 0 where there is none.
fn field(path: &str, name: &str) -> u64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_is_seen() {
        let sample = Sample::now();
        assert!(sample.resident > 100 && sample.threads > 0, "{sample}");
        assert!(most_descriptors() >= sample.descriptors && sample.descriptors > 2);
        let held: Vec<_> = (0..100).map(|_| fs::File::open("/proc/self/status").unwrap()).collect();
        // Other tests open and close theirs meanwhile.
        assert!(Sample::now().descriptors > sample.descriptors + 50);
        drop(held);
        assert!(processor_time() > Duration::ZERO);
    }
}
