//! Planning: which worker reads which shard. Rules as pure functions, and the machine that carries a term.

mod assign;
mod beat;
mod collect;
mod cycle;
mod fill;
mod orders;
mod plan;
mod promises;
mod resting;
mod sessions;
mod stage;
mod term;
mod view;
mod weights;

pub(crate) use resting::Resting;
pub(crate) use term::{News, Term};
