//! The user's side: the trait they implement, and the consumer that calls it for one shard.

mod consumer;
mod delivery;
#[cfg(feature = "macros")]
#[cfg(test)]
mod derived;
mod error_policy;
mod host;
#[cfg(feature = "macros")]
pub(crate) mod json;
mod meta;
mod stages;
mod traits;

pub(crate) use delivery::{Delivery, Gate, Report, ReportKind, Reports};
pub(crate) use error_policy::{ErrorPolicy, RetryForEver};
pub(crate) use host::{ConsumerHost, StartConsumer};
#[cfg(feature = "macros")]
pub use json::DecodeError;
pub use meta::RecordMeta;
pub use traits::{Batch, BoxError, RecordProcessor, ShardContext};
