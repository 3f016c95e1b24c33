//! Fleets under faults drawn from a seed, then calm: what must hold at every instant, and what must come true.

mod matrix;
pub(crate) mod play;
pub(crate) mod script;
pub(crate) mod seeds;
mod sweep;
