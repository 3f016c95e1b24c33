//! Planning: which worker reads which shard. Rules as pure functions, and the machine that carries a term.

mod assign;
mod capacity_alarm;
mod collect;
mod cycle;
mod explain;
mod filling;
#[cfg(test)]
mod fleet_tests;
mod heartbeat;
mod instructions;
mod lists;
mod pending_moves;
mod plan;
mod problem;
mod reason;
mod row_writes;
mod sessions;
mod settings;
mod stage;
mod stale_owners;
pub(super) mod sync_pass;
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
