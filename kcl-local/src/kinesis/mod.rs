//! An engine with the semantics of Amazon Kinesis Data Streams: a state machine from (request, now,
//! randomness) to response, without I/O.
//!
//! The engine follows AWS's behaviour where it is documented or was observed; a comment explains
//! each other choice. Encryption and resource policies are stored and returned, but have no effect.
//! Queues and channels are not supported.

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
