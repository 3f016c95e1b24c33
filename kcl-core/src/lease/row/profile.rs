//! What a session row says of the worker behind it: the settings that the whole fleet must know, and its process.

use crate::config::BalanceBy;
use std::fmt;
use std::time::Duration;

/// What a worker says of itself when it registers. Rows of earlier versions say nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkerProfile {
    /// The settings that workers of a fleet agree on, as this session uses them.
    pub settings: Option<SharedSettings>,
    /// Whether the worker took these settings from the fleet row, so that it has no say in them.
    pub adopted: bool,
    /// The process that registered the session.
    pub process: Option<ProcessId>,
}

/// The settings that all workers of a fleet are to agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharedSettings {
    /// A worker whose heartbeat stands still for so long is treated as dead.
    pub failover_time: Duration,
    /// What is balanced among workers.
    pub balance_by: BalanceBy,
}

/// The settings of a fleet, and the worker that wrote them into the fleet row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetSettings {
    /// What all workers are to use.
    pub shared: SharedSettings,
    /// The end of a replay, in milliseconds since the Unix epoch.
    pub until_ms: Option<i64>,
    /// Who wrote them.
    pub set_by: String,
}

/// Which process a session belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessId {
    /// The host's name.
    pub host: String,
    /// The process id on that host (or in its container).
    pub id: u32,
    /// When the process started, in milliseconds since the Unix epoch.
    pub started_at_ms: i64,
    /// Names the process among all that the same kernel ran since it booted, where that can be told: boot, namespace of
    /// process ids, start in clock ticks.
    pub kernel: Option<String>,
}

impl SharedSettings {
    /// The longest `failover_time` that a row may name: a larger number is taken for damage.
    pub const LONGEST_FAILOVER_TIME: Duration = Duration::from_secs(24 * 60 * 60);
}

impl fmt::Display for ProcessId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ProcessId { host, id, started_at_ms, kernel: _ } = self;
        let started = crate::config::timestamp(*started_at_ms);
        write!(f, "process {id} on host `{host}`, started at {started}")
    }
}
