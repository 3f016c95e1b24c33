//! Describes shards as Kinesis lists them and decides which leases they require.

mod api;
mod end_evidence;
mod fan_out;
mod list_history;
pub(crate) mod pages;
#[cfg(test)]
mod sample_shards;
mod sync;

pub use api::{ApiError, ApiErrorKind, Fetched, ListWhich, Listing, Shard, ShardPage, StreamApi, StreamDescription};
#[cfg(feature = "aws")]
pub(crate) use end_evidence::is_valid_shard_id;
pub(crate) use end_evidence::{EndDoubt, EndEvidence, Verdict, are_valid_children};
pub use fan_out::{ConsumerRef, FanOutApi, Pushed, RegisteredConsumer, SubscribeRequest, Subscription};
pub(crate) use list_history::{ListHistory, UnusableList};
pub(crate) use sync::{child_lease, first_fill, hole_in, is_replayed, missing_of_range};
