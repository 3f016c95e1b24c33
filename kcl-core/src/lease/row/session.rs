//! A worker's session: one life of a worker, from registering to leaving or being fenced.

use super::{SessionNumber, Weights, WorkerId, WorkerProfile};
use crate::record::StreamId;
use std::collections::BTreeSet;
use std::time::Duration;

/// The row `session/<worker>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The worker.
    pub worker: WorkerId,
    /// Which of its sessions; a higher number replaces a lower one.
    pub number: SessionNumber,
    /// Drawn by whoever registered it: it tells its row from that of another process, whose number came from a fleet row that
    /// was removed by hand.
    pub tag: u64,
    /// Moves every quarter of `failover_time` while the worker lives.
    pub heartbeat: u64,
    /// Where the session stands.
    pub state: SessionState,
    /// The most leases the worker wants, if it set a bound.
    pub capacity: Option<u32>,
    /// How many leases it held at its last heartbeat.
    pub load: u32,
    /// What those leases weigh, where the fleet is balanced by bytes.
    pub weights: Option<Weights>,
    /// The streams that the worker serves, in a table of several.
    pub streams: Option<BTreeSet<StreamId>>,
    /// What the worker says of itself. Heartbeats leave it as it was registered.
    pub profile: WorkerProfile,
}

impl Session {
    /// How long this session's heartbeat must stand still before the session may be ended: its own worker's `failover_time`,
    /// however the observer is configured. A row of an earlier version does not say it: the observer's is used.
    #[must_use]
    pub fn failover_time(&self, observers: Duration) -> Duration {
        self.profile.settings.map_or(observers, |settings| settings.failover_time)
    }

    /// Whether the worker serves a lease's stream.
    #[must_use]
    pub fn serves(&self, stream: Option<&StreamId>) -> bool {
        match (&self.streams, stream) {
            (Some(streams), Some(stream)) => streams.contains(stream),
            (None, _) | (_, None) => true,
        }
    }
}

/// Where a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SessionState {
    /// Takes part.
    Active,
    /// Gives everything up and acquires nothing.
    Draining,
    /// Ended by itself.
    Left,
    /// Ended by the fleet: its heartbeat stood still for `failover_time`.
    Fenced,
}

impl SessionState {
    /// Whether it is over, for ever.
    #[must_use]
    pub fn has_ended(self) -> bool {
        matches!(self, SessionState::Left | SessionState::Fenced)
    }
}
