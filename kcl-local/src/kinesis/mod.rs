//! An engine with the semantics of Amazon Kinesis Data Streams: a state machine of (request, now, randomness) to response that knows no I/O.
//!
//! Where AWS's behaviour is documented or was observed, the engine does the same; where it is not known, the choice is commented.
//! Left out: queues and channels; encryption and policies are stored and shown but do nothing.

mod account;
mod address;
mod config;
mod constraint;
mod control_rate;
mod engine;
mod hash_key;
mod hook;
mod iterator;
pub mod model;
mod operation;
mod page_token;
mod sequence_number;
mod shard_id;
mod stream;
mod subscription;
#[cfg(test)]
mod tests;
mod throttle;
mod time;
mod token;

pub use config::{AccountLimits, EngineConfig, ShardEndAnswer, Transitions};
pub use engine::Engine;
pub use hash_key::{HashKey, HashKeyRange};
pub use hook::Reshard;
pub use sequence_number::SequenceNumber;
pub use shard_id::ShardId;
pub use subscription::{Step, SubscriptionId};
pub use time::EngineTime;
