//! Reading a shard: one trait for every way to do it, one budget for the bytes that wait.

mod budget;
mod choice;
mod deaggregate;
mod fanout;
pub(crate) mod polling;
mod prefetch;
mod reader;
mod until;

pub(crate) use budget::ByteBudget;
pub use budget::Reservation;
pub use choice::Retrieval;
pub(crate) use choice::{Chosen, readers};
pub(crate) use deaggregate::Apart;
pub use deaggregate::{CorruptAggregate, CorruptAggregates};
pub(crate) use fanout::{Lost, Registrar};
pub(crate) use prefetch::Prefetch;
pub use reader::{Chunk, ReadError, ShardReader};
pub(crate) use reader::{Readers, corrupt_at};
