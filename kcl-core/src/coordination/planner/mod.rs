//! Planning: which worker reads which shard. Rules as pure functions, and the machine that carries a term.

mod assign;
mod beat;
mod collect;
mod cycle;
mod explain;
pub(super) mod fill;
mod filling;
#[cfg(test)]
mod fleet_tests;
mod lists;
mod newborn;
mod orders;
mod plan;
mod promises;
mod reason;
mod resting;
mod row_writes;
mod sessions;
mod settings;
mod stage;
mod term;
mod unheld;
mod unreadable;
mod view;
mod waiting;
mod weights;
mod without_room;

pub use explain::explain;
pub use reason::{Ended, Explanation, Reason, Stays};
pub(crate) use resting::Resting;
pub(crate) use term::{News, Term};
