//! Embedded Kinesis and DynamoDB servers.
