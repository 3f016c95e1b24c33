//! Defines what a session row states about its worker: the settings that the whole fleet must agree
//! on, and the worker's process.

use crate::config::BalanceBy;
use std::fmt;
use std::time::Duration;

/// What a worker states about itself when it registers. All absent in rows of earlier versions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkerProfile {
    /// The fleet-wide settings as this session uses them.
    pub settings: Option<SharedSettings>,
    /// True if the worker adopted these settings from the fleet row, so that they do not count as
    /// its own configuration.
    pub adopted: bool,
    /// The process that registered the session.
    pub process: Option<ProcessId>,
}

/// The settings that all workers of a fleet must agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharedSettings {
    /// A worker is treated as dead if its heartbeat does not change for this long.
    pub failover_time: Duration,
    /// The quantity that the leader balances among workers.
    pub balance_by: BalanceBy,
}

/// The settings of a fleet, and the worker that wrote them into the fleet row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetSettings {
    /// The settings that all workers use.
    pub shared: SharedSettings,
    /// The end of a replay, in milliseconds since the Unix epoch.
    pub until_ms: Option<i64>,
    /// The worker that wrote them.
    pub set_by: String,
}

/// The process that a session belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessId {
    /// The host's name.
    pub host: String,
    /// The process id on that host (or in its container).
    pub id: u32,
    /// When the process started, in milliseconds since the Unix epoch.
    pub started_at_ms: i64,
    /// A name that is unique among all processes of one kernel since its boot, where available:
    /// boot id, PID namespace, start in clock ticks.
    pub kernel: Option<String>,
}

impl fmt::Display for ProcessId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ProcessId { host, id, started_at_ms, kernel: _ } = self;
        let started = crate::config::timestamp(*started_at_ms);
        write!(f, "process {id} on host `{host}`, started at {started}")
    }
}
