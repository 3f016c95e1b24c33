#![cfg(test)]
#![allow(clippy::wildcard_enum_match_arm, reason = "a check looks at the few facts that concern it")]
//! Simulates whole fleets in one thread, on virtual time and from one seed, and checks what must
//! hold at every instant (safety) and what must happen in the end (liveness).

mod chaos;
mod invariant;
mod model;
#[cfg(kcl_mutants)]
mod mutants;
mod scenario;
mod wire;
mod world;
