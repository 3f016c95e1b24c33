#![cfg(test)]
//! Whole fleets in one thread, on virtual time, from one seed: what must hold at every instant, and what must come true.

mod chaos;
mod invariant;
mod model;
mod mutants;
mod scenario;
mod wire;
mod world;
