//! Shards: what Kinesis says of them, and which leases they call for.

mod api;

pub use api::{ApiError, ApiErrorKind, Fetched, ListWhich, Listing, Shard, StreamApi, StreamDescription};
