//! Every setting of a worker: its meaning, unit and default, and which of them contradict each other.

use crate::record::Checkpoint;
use std::time::Duration;

/// The settings of a worker. See [`Settings::default`] for what each is when it is not set.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Settings {
    /// A worker that is silent for so long is dead to the fleet.
    pub failover_time: Duration,
    /// Between two beats of a session.
    pub beat: Duration,
    /// Between two looks at the fleet row.
    pub watch: Duration,
    /// Between two planning cycles.
    pub planner_tick: Duration,
    /// A planned move that takes longer is ended by the old owner's coordination thread.
    pub handoff_timeout: Duration,
    /// How long a shutdown may take before what was acknowledged is released and the rest is dropped.
    pub shutdown_deadline: Duration,
    /// Between two checkpoints of a lease.
    pub checkpoint_interval: Duration,
    /// Between two lists of the stream's shards.
    pub shard_sync_interval: Duration,
    /// A foreign (Java) lease whose counter stands still for so long is free.
    pub java_failover_time: Duration,
    /// Between two reads of a shard that is behind.
    pub poll_interval: Duration,
    /// Between two reads of a shard that had nothing new.
    pub idle_poll_interval: Duration,
    /// The most records a read asks for.
    pub max_records: u32,
    /// Fetched bytes that may wait to be processed, in the whole process.
    pub byte_budget: usize,
    /// Where shards start that nobody has read yet.
    pub start: Start,
    /// The most leases this worker takes.
    pub max_leases: Option<u32>,
    /// Claims of this worker under way at once.
    pub max_claims_in_flight: usize,
    /// The lease table's name; the application's name if absent.
    pub table_name: Option<String>,
    /// Whether a table that we create is protected against deletion.
    pub deletion_protection: bool,
    /// Tags for a table that we create.
    pub table_tags: Vec<(String, String)>,
}

/// Where shards start that nobody has read yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Start {
    /// With the oldest record. Nothing is skipped.
    #[default]
    TrimHorizon,
    /// With what arrives after the application's first start; that instant is kept, so a restart never means "now" again.
    Latest,
    /// With what arrived at or after this instant, in milliseconds since the Unix epoch.
    AtTimestamp(i64),
}

impl Start {
    /// The sentinel that a new lease gets.
    #[must_use]
    pub fn sentinel(self) -> Checkpoint {
        match self {
            Start::TrimHorizon => Checkpoint::TrimHorizon,
            Start::Latest => Checkpoint::Latest,
            Start::AtTimestamp(_) => Checkpoint::AtTimestamp,
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            failover_time: Duration::from_secs(10),
            beat: Duration::from_millis(2_500),
            watch: Duration::from_millis(500),
            planner_tick: Duration::from_secs(1),
            handoff_timeout: Duration::from_secs(30),
            shutdown_deadline: Duration::from_secs(25),
            checkpoint_interval: Duration::from_secs(5),
            shard_sync_interval: Duration::from_secs(60),
            java_failover_time: Duration::from_secs(20),
            poll_interval: Duration::from_millis(200),
            idle_poll_interval: Duration::from_millis(500),
            max_records: 10_000,
            byte_budget: 256 * 1024 * 1024,
            start: Start::TrimHorizon,
            max_leases: None,
            max_claims_in_flight: 64,
            table_name: None,
            deletion_protection: false,
            table_tags: Vec::new(),
        }
    }
}
