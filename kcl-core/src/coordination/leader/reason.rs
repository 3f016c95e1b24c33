//! Defines the reasons why a lease is where it is, and their texts.

use crate::lease::row::{LeaseKey, SessionNumber, WorkerId};
use crate::record::{ShardId, StreamId};
use std::fmt;
use std::time::Duration;

/// A lease, and why it is where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Explanation {
    /// The lease.
    pub(crate) lease: LeaseKey,
    /// Why it is there.
    pub(crate) reason: Reason,
}

/// Why a lease is where it is. `Display` gives a sentence for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub(crate) enum Reason {
    /// The shard is read to its end.
    Finished,
    /// Some parents are not read to their end yet. Children wait for them, so that the records of
    /// each key stay in order.
    WaitsForParents {
        /// The unfinished parents.
        parents: Vec<ShardId>,
    },
    /// A live worker reads it, and it stays there.
    Held {
        /// The worker.
        by: WorkerId,
        /// The worker's session.
        session: SessionNumber,
        /// Why it is not moved.
        stays: Stays,
    },
    /// A worker that is shutting down reads it, and no other worker is assigned yet.
    Leaving {
        /// The worker.
        by: WorkerId,
    },
    /// A live worker is to release it, and another one to acquire it then.
    Moving {
        /// The worker that releases it.
        from: WorkerId,
        /// The worker that acquires it.
        to: WorkerId,
        /// How long the move has been pending. Known to the leader only.
        waited: Option<Duration>,
    },
    /// Nobody reads it, and this worker is to claim it at once.
    Assigned {
        /// The worker.
        to: WorkerId,
        /// How long the assignment has been pending. Known to the leader only.
        waited: Option<Duration>,
        /// Workers that are avoided, because they did not carry out an assignment a moment ago.
        /// Known to the leader only.
        avoided: Vec<WorkerId>,
    },
    /// Nobody reads it. The leader assigns it in its next cycle.
    Free {
        /// Its last owner and how that session ended, if it had an owner.
        after: Option<(WorkerId, Ended)>,
    },
    /// Nobody reads it, and every worker holds as many leases as it may (`max_leases`).
    Unassignable {
        /// The number of workers.
        workers: usize,
    },
    /// No worker serves its stream. It stays where it is.
    Unserved {
        /// The stream.
        stream: Option<StreamId>,
    },
    /// Nobody reads it, and there is no worker, or all are shutting down.
    NoWorkers,
    /// Its owner has no session. It becomes free once its row has been unchanged for a time.
    Orphaned {
        /// The owner.
        owner: WorkerId,
        /// How long the row must be unchanged.
        stale_after: Duration,
    },
    /// An external writer (Java KCL) wrote it last. It becomes free once its row has been unchanged
    /// for a time.
    ExternalWriter {
        /// The owner that the row names.
        owner: Option<WorkerId>,
        /// How long the row must be unchanged.
        stale_after: Duration,
        /// Whether it was seen to change. Known to the leader only.
        moving: bool,
    },
}

/// Why a lease that is held stays where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub(crate) enum Stays {
    /// Its reader holds no more than its share.
    Balanced,
    /// Its reader holds more leases than another worker, and only some leases are moved at a time.
    MoveQueued {
        /// The number of leases of its reader.
        has: usize,
        /// The number of leases of the worker with the fewest.
        fewest: usize,
    },
    /// Its reader carries more bytes per second than another worker, but the difference is too
    /// small for a move.
    NotWorthAMove {
        /// Bytes per second of its reader.
        carries: u64,
        /// Bytes per second of the worker with the fewest.
        lightest: u64,
    },
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub(crate) enum Ended {
    /// The worker shut down.
    Left,
    /// Its heartbeat was unchanged for `failover_time`, and the fleet fenced it.
    Fenced,
    /// A later session of the same worker replaced it.
    Replaced,
}

impl Reason {
    /// The same reason without waiting times, so that reasons can be compared.
    #[must_use]
    pub(super) fn timeless(self) -> Self {
        match self {
            Reason::Moving { from, to, .. } => Reason::Moving { from, to, waited: None },
            Reason::Assigned { to, avoided, .. } => Reason::Assigned { to, waited: None, avoided },
            Reason::Finished
            | Reason::WaitsForParents { .. }
            | Reason::Held { .. }
            | Reason::Leaving { .. }
            | Reason::Free { .. }
            | Reason::Unassignable { .. }
            | Reason::Unserved { .. }
            | Reason::NoWorkers
            | Reason::Orphaned { .. }
            | Reason::ExternalWriter { .. } => self,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Finished => write!(f, "the shard is read to its end"),
            Reason::WaitsForParents { parents } => {
                let parents: Vec<&str> = parents.iter().map(ShardId::as_str).collect();
                write!(
                    f,
                    "waits until {} is read to its end, so that records of a key stay in order",
                    parents.join(" and ")
                )
            }
            Reason::Held { by, session, stays } => write!(f, "read by `{by}` (session {session}), {stays}"),
            Reason::Leaving { by } => {
                write!(f, "read by `{by}`, which is shutting down; goes to another worker as soon as one has room")
            }
            Reason::Moving { from, to, waited } => {
                write!(f, "moving from `{from}`, which finishes its current batch and releases it, to `{to}`")?;
                write_waited(f, *waited)
            }
            Reason::Assigned { to, waited, avoided } => {
                write!(f, "not read; assigned to `{to}`")?;
                write_waited(f, *waited)?;
                if avoided.is_empty() {
                    return Ok(());
                }
                let avoided: Vec<String> = avoided.iter().map(|worker| format!("`{worker}`")).collect();
                write!(f, "; {} did not carry out an assignment and gets no leases for a while", avoided.join(", "))
            }
            Reason::Free { after: None } => write!(f, "not read; assigned in the leader's next cycle"),
            Reason::Free { after: Some((owner, ended)) } => {
                let how = match ended {
                    Ended::Left => "left",
                    Ended::Fenced => "sent no heartbeat for `failover_time` and was fenced",
                    Ended::Replaced => "was replaced by a later session of the same worker",
                };
                write!(f, "not read: its owner `{owner}` {how}; assigned in the leader's next cycle")
            }
            Reason::Unassignable { workers } => write!(
                f,
                "not read: each of {workers} workers holds as many leases as `max_leases` allows; start more workers or \
                 raise it"
            ),
            Reason::Unserved { stream } => {
                let stream = stream.as_ref().map_or("", StreamId::as_str);
                write!(f, "not read: no worker serves stream `{stream}`; its checkpoint is kept")
            }
            Reason::NoWorkers => write!(f, "not read: there is no worker, or all are shutting down"),
            Reason::Orphaned { owner, stale_after } => write!(
                f,
                "not read: its owner `{owner}` has no session; free once its row is unchanged for {}",
                humantime::format_duration(*stale_after)
            ),
            Reason::ExternalWriter { owner, stale_after, moving } => {
                write!(f, "written last by an external writer (Java KCL?)")?;
                if let Some(owner) = owner {
                    write!(f, ", owner `{owner}`")?;
                }
                if *moving {
                    write!(f, ", which is active: stop it, or this fleet")
                } else {
                    write!(f, "; free once its row is unchanged for {}", humantime::format_duration(*stale_after))
                }
            }
        }
    }
}

fn write_waited(f: &mut fmt::Formatter<'_>, waited: Option<Duration>) -> fmt::Result {
    match waited {
        Some(waited) => write!(f, " {} s ago", waited.as_secs()),
        None => Ok(()),
    }
}

impl fmt::Display for Stays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stays::Balanced => write!(f, "which has its share"),
            Stays::MoveQueued { has, fewest } => {
                write!(f, "which has {has} leases while another worker has {fewest}; some are moved at a time")
            }
            Stays::NotWorthAMove { carries, lightest } => write!(
                f,
                "which carries {} KB/s while another worker carries {} KB/s: the difference is too small for a move",
                carries / 1_000,
                lightest / 1_000
            ),
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.lease, self.reason)
    }
}
