//! Counts the records that a reader receives, and reports time, CPU and memory after the last one.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::Message;

/// The cost of reading a backlog.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Drained {
    /// Bytes of payload.
    pub(crate) bytes: u64,
    /// Time from the first batch to the last.
    pub(crate) seconds: f64,
    /// CPU time of the whole process since its start.
    pub(crate) cpu_seconds: f64,
    /// Peak resident memory (Linux only).
    pub(crate) peak_bytes: Option<u64>,
}

/// Shared by the readers of all shards.
#[derive(Debug)]
pub(super) struct Tally {
    expected: u64,
    records: AtomicU64,
    bytes: AtomicU64,
    first: OnceLock<Instant>,
}

impl Tally {
    pub(super) fn new(expected: u64) -> Self {
        Tally { expected, records: AtomicU64::new(0), bytes: AtomicU64::new(0), first: OnceLock::new() }
    }

    /// Counts a batch. After the last one prints the result and exits the process: the shutdown of
    /// a worker or a connection is not measured.
    pub(super) fn add(&self, records: usize, bytes: usize) {
        let first = *self.first.get_or_init(Instant::now);
        let bytes = self.bytes.fetch_add(bytes as u64, Ordering::Relaxed) + bytes as u64;
        let records = self.records.fetch_add(records as u64, Ordering::Relaxed) + records as u64;
        if records >= self.expected {
            let seconds = first.elapsed().as_secs_f64();
            let cpu = clock_gettime(ClockId::ProcessCPUTime);
            #[allow(clippy::cast_precision_loss, reason = "seconds and nanoseconds of a minute at most")]
            let cpu_seconds = cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9;
            Message::Drained(Drained { bytes, seconds, cpu_seconds, peak_bytes: peak_bytes() }).print();
            std::process::exit(0);
        }
    }
}

/// Reads `VmHWM:     12345 kB` from /proc/self/status.
fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib * 1_024)
}
