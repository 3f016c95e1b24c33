//! Implements the leader: decides which worker reads which shard (pure functions), and runs a term
//! (a state machine).

mod assign;
mod capacity_alarm;
mod cycle;
mod explain;
#[cfg(test)]
mod fleet_tests;
mod heartbeat;
mod instructions;
mod pending_moves;
mod plan;
mod problem;
mod reason;
mod row_cleanup;
mod row_writes;
mod sessions;
mod settings;
mod stage;
mod stale_owners;
pub(super) mod sync_pass;
mod sync_schedule;
mod term;
mod unclaimed_ownership;
mod unconfirmed_children;
mod unreadable;
mod waiting_children;
mod weights;

pub(crate) use explain::explain;
pub(crate) use reason::{Explanation, Reason};
pub(crate) use stale_owners::StaleOwnerTracker;
pub(crate) use term::{Term, TermEvent};
