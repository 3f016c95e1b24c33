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
//! | `watch`, `staleness` | the fleet row: who plans, and for how long it has been silent |
//! | `table_read`, `full_read` | full reads of the table, page by page |
//! | `leader` | who is to read what; the first sync_pass and the list of every minute |
//! | `claim`, `claims` | from being told to take a lease until it is held |
//! | `held` | the one writer of a held lease's row |
//! | `leases` | how plan, claims, consumers and reshards meet |
//! | `streams`, `serving` | which streams are served, and what follows when one comes, goes or vanishes |
//! | `leaving` | a stream that is to be served no more, until nothing of it is left, and who else serves it |
//! | `shard_sync` | of several streams, keeping leases in step with shards, for whom the plan says so |
//! | `watchdog`, `reconcile` | whether every shard moves, and what is done where it does not |
//! | `unreadable` | leases whose shards cannot be read: the alarm, and when another worker is to try |
//! | `replay` | whether every shard of a range that has an end is done |
//! | `weigh` | what this worker's leases weigh, where the fleet is balanced by bytes |
//! | `parked` | keys in quarantine, for operators |
//! | `handback` | leaving a plain table where a fleet could not do so itself |
//! | `again` | their calls of the table |
//! | `backoff` | how long to wait before a call, or a round of calls, is repeated |
//! | `stopping`, `departure` | leaving, asked to or because it cannot go on |

mod agreeing;
mod backoff;
mod claim;
mod claims;
pub(crate) mod cleanup;
mod coordinator;
mod departure;
mod effects;
mod event;
mod fleet_poll;
mod fleet_row;
mod full_read;
mod handback;
mod held_lease;
mod known_rows;
mod leader;
mod leases;
mod liveness;
#[cfg(test)]
mod machine_tests;
mod quarantine;
mod reconcile;
mod replay;
mod replay_poll;
mod retry;
mod run;
mod serving;
mod session;
mod shard_sync;
mod shutdown;
mod signals;
mod staleness;
mod start;
mod stream_removal;
mod streams;
mod table_read;
mod throughput;
#[cfg(test)]
mod timing_tests;
mod unreadable;
mod watchdog;

pub(crate) use coordinator::{Coordinator, Identity};
pub use handback::{Handback, HandbackOptions, HandbackProgress, handback};
pub(crate) use leader::{Explanation, explain};
pub use quarantine::KeySelector;
pub(crate) use quarantine::{QuarantinedLease, parked, request_quarantined};
pub(crate) use retry::read_table;
pub(crate) use run::{Ask, Outside, StreamApis, run};
pub(crate) use stream_removal::Elsewhere;
pub(crate) use streams::{Change, Served, Streams, served_by_others};

/// LATEST means "what arrives from now on". The service's clock may be ahead of its own answer by this much, in ms.
const LATEST_MARGIN_MS: i64 = 2_000;
