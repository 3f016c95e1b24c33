//! Coordinates the workers of a fleet: sessions, leader election, assignments, claims, and the one writer of every lease
//! row.
//!
//! [`Coordinator`] is one worker's coordination as a machine without I/O; [`run`] is the loop that executes its commands,
//! on a thread of its own. The components, by concern:
//! - Foundations: [`call`] defines calls and their typed answers, [`effects`] collects commands, [`backoff`] has the
//!   pauses after failures, [`intervals`] all other pauses, [`table_read`] reads the table page by page.
//! - Start: [`startup`] and [`start`] examine whose table it is before anything is written.
//! - Session: [`session`] registers and heartbeats, [`liveness`] decides whether another session is alive,
//!   [`per_session`] holds everything that one session owns.
//! - Leader: [`fleet_row`] creates the fleet row, [`fleet_poll`] polls it and takes terms, [`staleness`] is the failure
//!   detector, [`leader`] carries a term, [`leader_wake`] asks the leader to read the table.
//! - Leases: [`assignment_reader`] reads this worker's assignment, [`claims`] and [`claim`] acquire leases,
//!   [`start_pins`] determines the start of leases that external writers created, [`held_lease`] writes the row of a held
//!   lease, [`reshards`] decides which children are claimed at once, [`consumers`] tracks the consumers of this process,
//!   [`throughput`] measures how much each lease weighs.
//! - Health: [`watchdog`] with [`stall`] and [`unreadable`], [`row_verifier`], [`signals`].
//! - Streams: [`streams`] are those that are served, [`stream_removal`] removes one of several, [`shard_sync`] keeps
//!   leases in step with shards, [`replay`] ends a replay.
//! - Shutdown: [`shutdown`], [`departure`], [`cleanup`].
//! - For operators: [`handback`], [`quarantine`], and their calls in [`retry`].

mod assignment_reader;
mod backoff;
mod call;
mod claim;
mod claims;
pub(crate) mod cleanup;
mod consumers;
mod coordinator;
mod departure;
mod effects;
mod event;
mod fleet_poll;
mod fleet_row;
mod handback;
mod held_lease;
mod intervals;
mod known_rows;
mod leader;
mod leader_wake;
mod liveness;
#[cfg(test)]
mod machine_tests;
mod per_session;
mod quarantine;
mod replay;
mod reshards;
mod retry;
mod row_verifier;
mod run;
mod session;
mod shard_sync;
mod shutdown;
mod signals;
mod staleness;
mod stall;
mod start;
mod start_pins;
mod startup;
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
