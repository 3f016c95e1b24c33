//! The rules of a Kinesis server as a checklist, run against the embedded engine through AWS's own
//! client in virtual time.
//!
//! Every check has the number of its point in its name. With
//! `CONFORMANCE_ENDPOINT=http://127.0.0.1:4567` in the environment, those checks that need only a
//! client run against that server; the others are skipped.

#![allow(clippy::unwrap_used, reason = "a check that cannot go on has failed")]

mod checklist;
mod decimal;
mod dry_run;
mod events;
mod every_operation;
mod failure;
mod fanout;
mod iterators;
mod listing;
mod reading;
mod resharding;
mod retention;
mod server;
mod shard_end;
mod stream;
mod streams;
mod subscribing;
mod subscription;
mod throttling;
mod wire;
mod writing;
