//! The fleet row: who plans, and the counters that everyone may add to.

use super::{FleetSettings, SessionNumber, WorkerId};
use crate::record::Checkpoint;
use std::time::Duration;

/// The row `fleet`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fleet {
    /// The leader's term; every new leader acquires the next.
    pub term: u64,
    /// Who plans: worker and session.
    pub leader: Option<(WorkerId, SessionNumber)>,
    /// The leader's own `failover_time`: its heartbeat must stand still for so long before another worker acquires the term. Absent
    /// where an earlier version took the term.
    pub leader_failover_time: Option<Duration>,
    /// The planning heartbeat: moves while planning goes on.
    pub heartbeat: u64,
    /// The leader's session heartbeat that stood when it last heartbeat here.
    pub leader_session_heartbeat: Option<u64>,
    /// The version of the plan rows that may be obeyed.
    pub assignment_version: u64,
    /// Added to by anyone who wants the table read.
    pub wake: u64,
    /// The last session number drawn.
    pub sessions: SessionNumber,
    /// The table's format; a higher one than ours is refused.
    pub format: u64,
    /// The library, with its version, that made the row or raised its format.
    pub writer: Option<String>,
    /// Where the application's first leases start, pinned when their first fill began.
    pub start: Option<FleetStart>,
    /// Whether the first fill of leases is complete: a shard first seen later starts at TRIM_HORIZON.
    pub filled: bool,
    /// The settings that all workers are to use; absent until a worker of this version leads a fleet whose workers agree.
    pub settings: Option<FleetSettings>,
}

/// The application's pinned start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetStart {
    /// TRIM_HORIZON, LATEST or AT_TIMESTAMP.
    pub checkpoint: Checkpoint,
    /// What LATEST or AT_TIMESTAMP mean, in milliseconds since the Unix epoch.
    pub at_ms: Option<i64>,
}

impl Fleet {
    /// The format that this version of the library reads and writes.
    pub const FORMAT: u64 = 1;

    /// This version of the library, as rows name it.
    pub const WRITER: &'static str = concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION"));

    /// A fleet row above every term and number found in a full read of the table.
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

    /// Why this version does not work on the table, if its format is newer than it knows.
    #[must_use]
    pub fn is_too_new(&self) -> Option<String> {
        let writer = self.writer.as_deref().unwrap_or("a newer version");
        (self.format > Fleet::FORMAT).then(|| {
            format!(
                "has format {}, which {writer} wrote, and this is {}, which knows formats up to {}: upgrade it",
                self.format,
                Fleet::WRITER,
                Fleet::FORMAT
            )
        })
    }
}
