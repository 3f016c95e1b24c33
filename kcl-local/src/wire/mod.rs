//! The protocol between clients and services: how requests are read and answers written, for either door.

pub(crate) mod auth;
pub(crate) mod encoding;
pub(crate) mod event_stream;
pub(crate) mod kinesis;
mod records;
pub(crate) mod stamp;

/// The largest request body. Kinesis needs 14 MiB (10 MiB of records in base64, with keys), DynamoDB acquires 16.
pub(crate) const MAX_BODY: usize = 16 * 1024 * 1024;
