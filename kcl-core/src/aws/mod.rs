//! Implements the crate's traits with the AWS SDK: the lease table in DynamoDB, the stream in
//! Kinesis, the checks before a start, a dead-letter stream, and a fence for tables of the user's.
#![cfg_attr(
    not(feature = "unstable-store"),
    allow(unreachable_pub, reason = "the feature `unstable-store` exports stores, streams and checks")
)]

mod client;
#[cfg(feature = "json")]
mod dead_letters;
mod diagnosis;
mod dry_run;
mod dynamodb;
mod error_table;
mod event;
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

unstable_store! {
    use dry_run::{DryRun};
    use dynamodb::{TableSpec, prepare_table};
    use kinesis::{KinesisStream};
    use preflight::{preflight};
}
