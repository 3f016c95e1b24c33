//! Reading a shard: one trait for every way to do it, one budget for the bytes that wait.
//!
//! | part | is |
//! |---|---|
//! | `reader` | the seam: what reads a shard, and what it hands on |
//! | `choice` | which reader the settings want |
//! | `polling`, `fanout` | the readers; `call` their deadline |
//! | `until`, `deaggregate` | what is between a reader and the consumer: an end, and aggregates taken apart |
//! | `prefetch`, `outage` | fetching ahead of the handler; since when and why that fails |
//! | `progress` | whether what was read is new |
//! | `budget` | how many bytes may wait, and whose turn it is |
//!
//! What went wrong with reading for users of other consumers, and which tests show that it does not here, is a list of its own:
//! `tests/tests/causes/causes.md`.

mod budget;
mod call;
mod choice;
mod deaggregate;
mod end_at_time;
mod fanout;
mod outage;
pub(crate) mod polling;
mod prefetch;
mod progress;
mod reader;

pub(crate) use budget::ByteBudget;
pub use budget::Reservation;
pub(crate) use call::{CALL_DEADLINE, in_time};
pub use choice::Retrieval;
#[cfg(feature = "aws")]
pub(crate) use choice::consumer;
pub(crate) use choice::{Chosen, readers};
pub(crate) use deaggregate::Deaggregation;
pub use deaggregate::{CorruptAggregate, CorruptAggregates};
pub(crate) use fanout::{Lost, Registrar};
pub(crate) use outage::{FailedRead, ReadOutage, Unreadable};
pub(crate) use prefetch::Prefetch;
pub use reader::{Chunk, ReadError, ShardReader};
pub(crate) use reader::{Readers, corrupt_at};
