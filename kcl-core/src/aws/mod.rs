//! The seams filled with the AWS SDK: the table in DynamoDB, the stream in Kinesis, and what is checked of both before
//! a worker starts.

mod dynamodb;
mod failure;

pub use dynamodb::DynamoDbStore;
