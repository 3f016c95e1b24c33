//! The seams filled with the AWS SDK: the table in DynamoDB, the stream in Kinesis, and what is checked of both before
//! a worker starts.

mod client;
mod dynamodb;
mod explain;
mod failure;
mod kinesis;
mod patience;
mod preflight;

pub use client::Clients;
pub use dynamodb::{DynamoDbStore, TableSpec, prepare_table};
pub use kinesis::KinesisStream;
pub use preflight::preflight;

#[allow(unused_imports, reason = "the worker classifies its errors by it")]
pub(crate) use failure::code_of;
