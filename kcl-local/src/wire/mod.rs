//! The wire protocol: decodes requests and encodes responses, for both front ends.

pub(crate) mod auth;
pub(crate) mod encoding;
pub(crate) mod event_stream;
pub(crate) mod kinesis;
mod records;
pub(crate) mod response_headers;

/// The largest request body. Kinesis needs 14 MiB (10 MiB of records in base64, with keys);
/// DynamoDB accepts 16 MiB.
pub(crate) const MAX_BODY: usize = 16 * 1024 * 1024;
