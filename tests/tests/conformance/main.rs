//! What a Kinesis server must do, as a checklist that is run against one: the embedded engine, through AWS's own client in virtual time.
//!
//! Every check bears the number of its point in its name. With `CONFORMANCE_ENDPOINT=http://127.0.0.1:4567` in the environment, those
//! checks that need nothing but a client run against the server there instead; the others are passed over.

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
