#![cfg(test)]
//! Whole fleets on the embedded servers, in one thread and on virtual time.

mod coordination;
mod permissions;
mod positions;
mod resharding;
mod stage;
mod starting;
mod stopping;
