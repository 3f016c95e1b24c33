#![cfg(test)]
//! Whole fleets on the embedded servers, in one thread and on virtual time.

mod coordination;
mod damage;
mod fan_out;
mod handling;
mod limits;
mod may_not_read;
mod numbers;
mod permissions;
mod positions;
mod refusals;
mod replay;
mod resharding;
mod signals;
mod stage;
mod starting;
mod stopping;
mod streams;
mod twins;
