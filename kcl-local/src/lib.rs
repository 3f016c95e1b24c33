//! Embedded Kinesis and DynamoDB servers.

pub mod kinesis;
