#![cfg(test)]
#![allow(clippy::wildcard_enum_match_arm, reason = "a check looks at the few facts that concern it")]
//! Whole fleets in one thread, on virtual time, from one seed: what must hold at every instant, and what must come true.

mod chaos;
mod invariant;
mod model;
#[cfg(kcl_mutants)]
mod mutants;
mod scenario;
mod wire;
mod world;
