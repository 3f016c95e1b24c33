//! The table in DynamoDB, in KCL's format.

mod attributes;
mod expression;
mod read;
mod store;
mod write;

pub use store::DynamoDbStore;
