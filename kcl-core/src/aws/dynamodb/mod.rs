//! Stores the lease table in DynamoDB, in KCL's format.

mod attributes;
mod expression;
mod read;
mod store;
mod table;
mod write;

pub use store::DynamoDbStore;
pub use table::{TableSpec, prepare_table};
