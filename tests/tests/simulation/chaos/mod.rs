//! Fleets under faults drawn from a seed, then without faults: invariants hold at every instant,
//! and promises come true in the end.

mod log_volume;
mod matrix;
pub(crate) mod play;
pub(crate) mod script;
pub(crate) mod seeds;
mod sweep;
