//! Shards: what Kinesis says of them, and which leases they call for.

mod api;
mod ended;
mod fan_out;
pub(crate) mod pages;
mod sightings;
mod sync;

pub use api::{ApiError, ApiErrorKind, Fetched, ListWhich, Listing, Shard, ShardPage, StreamApi, StreamDescription};
#[cfg(feature = "aws")]
pub(crate) use ended::is_name;
pub(crate) use ended::{Doubt, EndEvidence, Verdict, are_children};
pub use fan_out::{ConsumerRef, FanOutApi, Pushed, RegisteredConsumer, Subscription};
pub(crate) use sightings::{Sightings, Unusable};
pub(crate) use sync::{child_lease, first_fill, hole_in, is_replayed, missing_of_range};
