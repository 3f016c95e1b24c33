//! The fleet row: the elected leader, and the counters that every worker may increment.

use super::{FleetSettings, SessionNumber, WorkerId};
use crate::record::Checkpoint;
use std::time::Duration;

/// The row `fleet`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fleet {
    /// The leader's term; every new leader takes the next number.
    pub term: u64,
    /// The leader: worker and session.
    pub leader: Option<(WorkerId, SessionNumber)>,
    /// The leader's own `failover_time`: its heartbeat must not change for this long before another
    /// worker takes the next term. Absent if a leader of an earlier version took the term.
    pub leader_failover_time: Option<Duration>,
    /// The leader's heartbeat: it increases while the leader assigns leases.
    pub heartbeat: u64,
    /// The leader's session heartbeat at the time of its last heartbeat here.
    pub leader_session_heartbeat: Option<u64>,
    /// The latest version of the assignments that workers may follow.
    pub assignment_version: u64,
    /// Incremented by any worker that wants the leader to read the table.
    pub wake: u64,
    /// The last session number that was given out.
    pub sessions: SessionNumber,
    /// The table's format; a worker refuses a higher format than it knows.
    pub format: u64,
    /// The library, with its version, that made the row or raised its format.
    pub writer: Option<String>,
    /// Where the application's first leases start; pinned when their creation began.
    pub start: Option<FleetStart>,
    /// True if the application's first leases are all created. The lease of a shard that is first
    /// listed after that starts at TRIM_HORIZON.
    pub filled: bool,
    /// The settings that all workers use; absent until a worker of this version leads a fleet whose
    /// workers agree on them.
    pub settings: Option<FleetSettings>,
}

/// The application's pinned start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetStart {
    /// TRIM_HORIZON, LATEST or AT_TIMESTAMP.
    pub checkpoint: Checkpoint,
    /// The instant that LATEST or AT_TIMESTAMP stand for, in milliseconds since the Unix epoch.
    pub at_ms: Option<i64>,
}

impl Fleet {
    /// The format that this version reads and writes.
    pub const FORMAT: u64 = 1;

    /// This version of the library, as it names itself in rows.
    pub const WRITER: &'static str = concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION"));

    /// Creates a fleet row with a higher term and session number than any in a full read of the
    /// table. Used when the fleet row was lost.
    #[must_use]
    pub fn above(term: u64, sessions: SessionNumber, filled: bool) -> Self {
        Fleet {
            term: term.saturating_add(1),
            leader: None,
            leader_failover_time: None,
            heartbeat: 0,
            leader_session_heartbeat: None,
            assignment_version: 0,
            wake: 1,
            sessions,
            format: Fleet::FORMAT,
            writer: Some(Fleet::WRITER.to_owned()),
            start: None,
            filled,
            settings: None,
        }
    }

    /// Returns why this version refuses the table, if the table's format is newer than it knows.
    #[must_use]
    pub fn is_too_new(&self) -> Option<String> {
        let writer = self.writer.as_deref().unwrap_or("a newer version");
        (self.format > Fleet::FORMAT).then(|| {
            format!(
                "has format {}, which {writer} wrote, and this is {}, which supports formats up to {}: upgrade the worker",
                self.format,
                Fleet::WRITER,
                Fleet::FORMAT
            )
        })
    }
}
