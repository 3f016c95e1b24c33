//! The fleet: sessions, plan, claims, and the one writer of every lease row.
//!
//! [`Coordinator`] is one worker's coordination as a machine without I/O; [`run`] is the loop that obeys it, on a
//! thread of its own. The parts, by what they know:
//!
//! | part | knows |
//! |---|---|
//! | `start` | whether the table is ours to work on: of this stream, and no other hand at work |
//! | `agreeing` | the settings that all workers of a fleet use |
//! | `session` | drawing a number, registering, beating |
//! | `liveness` | from one session's rows, whether its worker is alive |
//! | `watch`, `silence` | the fleet row: who plans, and for how long it has been silent |
//! | `table_read`, `full_read` | full reads of the table, page by page |
//! | `planner` | who is to read what; the first fill and the list of every minute |
//! | `claim`, `claims` | from being told to take a lease until it is held |
//! | `held` | the one writer of a held lease's row |
//! | `leases` | how plan, claims, consumers and reshards meet |
//! | `streams`, `serving` | which streams are served, and what follows when one comes, goes or vanishes |
//! | `leaving` | a stream that is to be served no more, until nothing of it is left, and who else serves it |
//! | `listings` | of several streams, keeping leases in step with shards, for whom the plan says so |
//! | `watchdog`, `reconcile` | whether every shard moves, and what is done where it does not |
//! | `unreadable` | leases whose shards cannot be read: the alarm, and when another worker is to try |
//! | `replay` | whether every shard of a range that has an end is done |
//! | `weigh` | what this worker's leases weigh, where the fleet is balanced by bytes |
//! | `parked` | keys in quarantine, for operators |
//! | `handback` | leaving a plain table where a fleet could not do so itself |
//! | `again` | their calls of the table |
//! | `backoff` | how long to wait before a call, or a round of calls, is repeated |
//! | `stopping`, `goodbye` | leaving, asked to or because it cannot go on |

mod again;
mod agreeing;
mod backoff;
mod claim;
mod claims;
pub(crate) mod clearing;
mod coordinator;
mod effects;
mod fleet_row;
mod full_read;
mod goodbye;
mod handback;
mod held;
mod leases;
mod leaving;
mod listings;
mod liveness;
mod parked;
mod planner;
mod reconcile;
mod replay;
mod run;
mod serving;
mod session;
mod signals;
mod silence;
mod start;
mod stopping;
mod streams;
mod table_read;
#[cfg(test)]
mod timing_tests;
mod unreadable;
mod watch;
mod watchdog;
mod weigh;

pub(crate) use coordinator::{Coordinator, Identity};
pub(crate) use effects::Failure;
pub use handback::{Handback, HandbackOptions, HandbackProgress, handback};
pub(crate) use leaving::Elsewhere;
pub use parked::{ParkedLease, WhichParked, parked, wish_parked};
pub use planner::{Ended, Explanation, Reason, Stays, explain};
pub(crate) use run::{Ask, Outside, StreamApis, run};
pub(crate) use streams::{Change, Served, Streams, served_by_others};
pub(crate) use watchdog::{Stage, Step as WatchdogStep};

/// LATEST means "what arrives from now on". The service's clock may be ahead of its own answer by this much, in ms.
const LATEST_MARGIN_MS: i64 = 2_000;
