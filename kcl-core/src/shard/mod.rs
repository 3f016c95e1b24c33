//! Shards: what Kinesis says of them, and which leases they call for.

mod api;
mod fan_out;
mod sync;

pub use api::{ApiError, ApiErrorKind, Fetched, ListWhich, Listing, Shard, StreamApi, StreamDescription};
pub use fan_out::{ConsumerRef, FanOutApi, Pushed, RegisteredConsumer, Subscription};
pub(crate) use sync::{child_lease, first_fill, forgotten, hole, hole_in, is_replayed, missing, missing_of_range};
