//! An engine with the semantics of Amazon Kinesis Data Streams: a state machine of (request, now, randomness) to response that knows no I/O.

#![allow(dead_code, reason = "the operations that use it come with the next change")]

mod config;
mod engine;
mod hash_key;
pub mod model;
mod sequence_number;
mod shard_id;
mod time;

pub use config::EngineConfig;
pub use engine::Engine;
pub use hash_key::{HashKey, HashKeyRange};
pub use sequence_number::SequenceNumber;
pub use shard_id::ShardId;
pub use time::EngineTime;
