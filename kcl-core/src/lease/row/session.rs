//! Session rows: one registration of a worker, from its registration until it ends or is fenced.

use super::{SessionNumber, Weights, WorkerId, WorkerProfile};
use crate::record::StreamId;
use std::collections::BTreeSet;
use std::time::Duration;

/// The row `session/<worker>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The worker.
    pub worker: WorkerId,
    /// The session's number; a later session of the same worker has a higher one.
    pub number: SessionNumber,
    /// A random number chosen at registration. It distinguishes this session from one of another
    /// process with the same number, which can exist if the fleet row was deleted by hand.
    pub tag: u64,
    /// The heartbeat: it increases every quarter of `failover_time` while the worker lives.
    pub heartbeat: u64,
    /// The session's state.
    pub state: SessionState,
    /// The most leases the worker wants, if it set a bound.
    pub capacity: Option<u32>,
    /// The number of leases it owned at its last heartbeat.
    pub load: u32,
    /// The leases' throughput, if the fleet is balanced by bytes.
    pub weights: Option<Weights>,
    /// The streams that the worker is configured for, in a table of several.
    pub streams: Option<BTreeSet<StreamId>>,
    /// What the worker stated at registration. Heartbeats do not change it.
    pub profile: WorkerProfile,
}

impl Session {
    /// Returns how long this session's heartbeat must be unchanged before the session may be
    /// fenced: its own worker's `failover_time`, whatever the observer's is. Rows of earlier
    /// versions do not contain it; then the observer's applies.
    #[must_use]
    pub fn failover_time(&self, observers: Duration) -> Duration {
        self.profile.settings.map_or(observers, |settings| settings.failover_time)
    }

    /// True if the worker is configured for the lease's stream.
    #[must_use]
    pub fn serves(&self, stream: Option<&StreamId>) -> bool {
        match (&self.streams, stream) {
            (Some(streams), Some(stream)) => streams.contains(stream),
            (None, _) | (_, None) => true,
        }
    }
}

/// The state of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SessionState {
    /// It takes part in the fleet.
    Active,
    /// It releases all leases and claims none.
    Draining,
    /// The worker ended it.
    Left,
    /// Another worker ended it: its heartbeat was unchanged for `failover_time`.
    Fenced,
}

impl SessionState {
    /// True if it has ended. An ended session never becomes active again.
    #[must_use]
    pub fn has_ended(self) -> bool {
        matches!(self, SessionState::Left | SessionState::Fenced)
    }
}
