//! The seams filled with the AWS SDK: the table in DynamoDB, the stream in Kinesis, what is checked of both before a worker
//! starts, dead letters to a stream, and a fence for tables of the user's.

mod answer_limit;
mod client;
#[cfg(feature = "json")]
mod dead_letters;
mod diagnosis;
mod dry_run;
mod dynamodb;
mod error_table;
mod failure;
mod fence;
pub(crate) mod kinesis;
mod preflight;
mod startup_retry;

pub use client::Clients;
#[cfg(feature = "json")]
pub use dead_letters::KinesisDeadLetters;
pub use dry_run::DryRun;
pub use dynamodb::{DynamoDbStore, TableSpec, prepare_table};
pub use fence::Fence;
pub use kinesis::KinesisStream;
pub use preflight::preflight;
pub(crate) use preflight::{describe_stream, may_read};

#[allow(unused_imports, reason = "the worker classifies its errors by it")]
pub(crate) use failure::code_of;
