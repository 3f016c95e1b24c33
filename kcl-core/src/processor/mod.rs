//! The user's side: the trait they implement, and the consumer that calls it for one shard.

mod delivery;
#[cfg(feature = "macros")]
#[cfg(test)]
mod derived;
#[cfg(feature = "macros")]
pub(crate) mod json;
mod meta;
mod traits;

pub use delivery::{Delivery, Gate, Report, ReportKind, Reports};
#[cfg(feature = "macros")]
pub use json::DecodeError;
pub use meta::RecordMeta;
pub use traits::{Batch, BoxError, RecordProcessor, ShardContext};
