//! Implements the crate's traits with the AWS SDK: the lease table in DynamoDB, the stream in
//! Kinesis, the checks before a start, a dead-letter stream, and a fence for tables of the user's.

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
mod response_limit;
mod startup_retry;

pub use client::Clients;
#[cfg(feature = "json")]
pub use dead_letters::KinesisDeadLetters;
pub use dynamodb::DynamoDbStore;
pub use fence::Fence;
pub(crate) use preflight::{check_read_permission, describe_stream};

#[allow(unused_imports, reason = "the worker classifies its errors by it")]
pub(crate) use failure::code_of;

unstable_store! {
    use dry_run::{DryRun};
    use dynamodb::{TableSpec, prepare_table};
    use kinesis::{KinesisStream};
    use preflight::{preflight};
}
