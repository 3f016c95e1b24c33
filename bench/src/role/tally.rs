//! Counts what a reader was given, and says what it took when all is there.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::Said;

/// What reading a backlog took.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Drained {
    /// Payload.
    pub(crate) bytes: u64,
    /// From the first batch to the last.
    pub(crate) seconds: f64,
    /// Processor time of the whole process, from its start on.
    pub(crate) cpu_seconds: f64,
    /// The most memory it ever had; absent where the system does not say it.
    pub(crate) peak_bytes: Option<u64>,
}

/// Shared by all that read.
#[derive(Debug)]
pub(super) struct Tally {
    wanted: u64,
    records: AtomicU64,
    bytes: AtomicU64,
    first: OnceLock<Instant>,
}

impl Tally {
    pub(super) fn new(wanted: u64) -> Self {
        Tally { wanted, records: AtomicU64::new(0), bytes: AtomicU64::new(0), first: OnceLock::new() }
    }

    /// Takes note of a batch. With the last one the process says what all of it took, and ends: the end of a worker or of a connection
    /// is not what is measured.
    pub(super) fn add(&self, records: usize, bytes: usize) {
        let first = *self.first.get_or_init(Instant::now);
        let bytes = self.bytes.fetch_add(bytes as u64, Ordering::Relaxed) + bytes as u64;
        let records = self.records.fetch_add(records as u64, Ordering::Relaxed) + records as u64;
        if records >= self.wanted {
            let seconds = first.elapsed().as_secs_f64();
            let cpu = clock_gettime(ClockId::ProcessCPUTime);
            #[allow(clippy::cast_precision_loss, reason = "seconds and nanoseconds of a minute at most")]
            let cpu_seconds = cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9;
            Said::Drained(Drained { bytes, seconds, cpu_seconds, peak_bytes: peak_bytes() }).say();
            std::process::exit(0);
        }
    }
}

/// Linux says it in /proc/self/status: `VmHWM:     12345 kB`.
fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib * 1_024)
}
