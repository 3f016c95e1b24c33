//! The user's side: the trait they implement, and the consumer that calls it for one shard.

mod delivery;
mod traits;

pub use delivery::{Delivery, Gate, Report, ReportKind, Reports};
pub use traits::{Batch, BoxError, RecordProcessor, ShardContext};
