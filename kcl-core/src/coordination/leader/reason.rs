//! Why a lease is where it is, as a value and as a sentence.

use crate::lease::row::{LeaseKey, SessionNumber, WorkerId};
use crate::record::{ShardId, StreamId};
use std::fmt;
use std::time::Duration;

/// A lease, and why it is where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Explanation {
    /// The lease.
    pub(crate) lease: LeaseKey,
    /// Why.
    pub(crate) reason: Reason,
}

/// Why a lease is where it is. Its text is a sentence for whoever is on call.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub(crate) enum Reason {
    /// The shard is read to its end.
    Finished,
    /// Some parents are not read to their end, and a key's records come in order.
    WaitsForParents {
        /// Which ones.
        parents: Vec<ShardId>,
    },
    /// A live worker reads it, and it stays there.
    Held {
        /// Who.
        by: WorkerId,
        /// In which session.
        session: SessionNumber,
        /// Why it is not moved.
        stays: Stays,
    },
    /// A worker that shuts down reads it, and nobody is told to take it yet.
    Leaving {
        /// Who.
        by: WorkerId,
    },
    /// A live worker is to release it, and another to take it then.
    Moving {
        /// Who releases it.
        from: WorkerId,
        /// Who acquires it.
        to: WorkerId,
        /// For how long that has been the plan, if it is known: rows do not say it.
        waited: Option<Duration>,
    },
    /// Nobody reads it, and this worker is to claim it at once.
    Promised {
        /// Who.
        to: WorkerId,
        /// For how long that has been the plan, if it is known: rows do not say it.
        waited: Option<Duration>,
        /// Who was passed over because it did not take what it was told to take a moment ago. Known to the leader only.
        passed_over: Vec<WorkerId>,
    },
    /// Nobody reads it; the next plan yields it to somebody.
    Free {
        /// Whose session had ended, if somebody had it.
        after: Option<(WorkerId, Ended)>,
    },
    /// Nobody reads it, and every worker has as many leases as it acquires.
    NoRoom {
        /// How many workers there are.
        workers: usize,
    },
    /// No worker serves its stream, of several: it stays where it is.
    NotServed {
        /// The stream.
        stream: Option<StreamId>,
    },
    /// Nobody reads it, and there is no worker, or none that does not shut down.
    NoWorkers,
    /// Its owner has no session. It is free once it stood still.
    Orphan {
        /// The owner.
        owner: WorkerId,
        /// For how long it must stand still.
        still_for: Duration,
    },
    /// Another kind of consumer (Java KCL) wrote it last. It is free once it stood still.
    Foreign {
        /// The owner that the row names.
        owner: Option<WorkerId>,
        /// For how long it must stand still.
        still_for: Duration,
        /// Whether it was seen to move. Known to the leader only.
        moving: bool,
    },
}

/// Why a lease that is held stays where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub(crate) enum Stays {
    /// Its reader has no more than its share.
    Balanced,
    /// Its reader has more leases than another, and moves are made some at a time.
    ItsTurnComes {
        /// Leases of its reader.
        has: usize,
        /// Leases of the worker with the fewest.
        fewest: usize,
    },
    /// Its reader carries more than another, in bytes a second, but too little for a move.
    NotWorthAMove {
        /// What its reader carries.
        carries: u64,
        /// What the lightest carries.
        lightest: u64,
    },
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub(crate) enum Ended {
    /// By itself.
    Left,
    /// It was silent for `failover_time`, and the fleet ended it.
    Fenced,
    /// A later one of the same worker replaced it.
    Replaced,
}

impl Reason {
    /// The same, without how long it has been so.
    #[must_use]
    pub(super) fn timeless(self) -> Self {
        match self {
            Reason::Moving { from, to, .. } => Reason::Moving { from, to, waited: None },
            Reason::Promised { to, passed_over, .. } => Reason::Promised { to, waited: None, passed_over },
            Reason::Finished
            | Reason::WaitsForParents { .. }
            | Reason::Held { .. }
            | Reason::Leaving { .. }
            | Reason::Free { .. }
            | Reason::NoRoom { .. }
            | Reason::NotServed { .. }
            | Reason::NoWorkers
            | Reason::Orphan { .. }
            | Reason::Foreign { .. } => self,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Finished => write!(f, "its shard is read to its end"),
            Reason::WaitsForParents { parents } => {
                let parents: Vec<&str> = parents.iter().map(ShardId::as_str).collect();
                write!(f, "waits until {} is read to its end, as records of a key come in order", parents.join(" and "))
            }
            Reason::Held { by, session, stays } => write!(f, "read by `{by}` (session {session}), {stays}"),
            Reason::Leaving { by } => {
                write!(f, "read by `{by}`, which shuts down; it goes to another worker as soon as one has room")
            }
            Reason::Moving { from, to, waited } => {
                write!(f, "moves from `{from}`, which finishes what it has begun and releases it, to `{to}`")?;
                write_waited(f, *waited)
            }
            Reason::Promised { to, waited, passed_over } => {
                write!(f, "nobody reads it; `{to}` was told to claim it")?;
                write_waited(f, *waited)?;
                if passed_over.is_empty() {
                    return Ok(());
                }
                let passed_over: Vec<String> = passed_over.iter().map(|worker| format!("`{worker}`")).collect();
                write!(
                    f,
                    "; {} did not take what it was told to take, and gets nothing for a while",
                    passed_over.join(", ")
                )
            }
            Reason::Free { after: None } => write!(f, "nobody reads it; the next plan yields it to a worker"),
            Reason::Free { after: Some((owner, ended)) } => {
                let how = match ended {
                    Ended::Left => "left",
                    Ended::Fenced => "was silent for `failover_time` and was ended by the fleet",
                    Ended::Replaced => "was replaced by a later session of the same worker",
                };
                write!(f, "nobody reads it: its owner `{owner}` {how}; the next plan yields it to a worker")
            }
            Reason::NoRoom { workers } => write!(
                f,
                "nobody reads it: each of {workers} workers has as many leases as it acquires; start more, or raise \
                 `max_leases`"
            ),
            Reason::NotServed { stream } => {
                let stream = stream.as_ref().map_or("", StreamId::as_str);
                write!(f, "nobody reads it: no worker serves stream `{stream}`; it stays where it is")
            }
            Reason::NoWorkers => write!(f, "nobody reads it: there is no worker, or all shut down"),
            Reason::Orphan { owner, still_for } => write!(
                f,
                "its owner `{owner}` has no session; free once it stood still for {}",
                humantime::format_duration(*still_for)
            ),
            Reason::Foreign { owner, still_for, moving } => {
                write!(f, "written last by another kind of consumer (Java KCL?)")?;
                if let Some(owner) = owner {
                    write!(f, ", under the name `{owner}`")?;
                }
                if *moving {
                    write!(f, ", which is at work: stop it, or this fleet")
                } else {
                    write!(f, "; free once it stood still for {}", humantime::format_duration(*still_for))
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
            Stays::ItsTurnComes { has, fewest } => {
                write!(f, "which has {has} leases while another has {fewest}; some are moved at a time")
            }
            Stays::NotWorthAMove { carries, lightest } => write!(
                f,
                "which carries {} KB/s while another carries {} KB/s: too little of a difference for a move",
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
