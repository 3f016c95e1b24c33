//! Reads shards: several kinds of readers behind one trait, and one budget for fetched bytes.
//!
//! | module | content |
//! |---|---|
//! | `reader` | the trait of all readers, and the chunks that they return |
//! | `choice` | which reader the settings ask for |
//! | `polling`, `fanout` | the readers; `call_deadline`: the deadlines of their calls |
//! | `deaggregate`, `end_at_time` | layers between a reader and the consumer |
//! | `prefetch`, `outage` | fetching ahead of the handler; since when and why reads fail |
//! | `progress` | whether a response is new |
//! | `budget` | the limit of fetched bytes, and the order of shards that wait for it |
//!
//! `tests/tests/causes/causes.md` lists known reading bugs of other consumers and the tests that
//! show that this crate does not have them.

mod budget;
mod call_deadline;
mod choice;
mod deaggregate;
mod end_at_time;
pub(crate) mod event;
mod fanout;
mod outage;
pub(crate) mod polling;
mod prefetch;
mod progress;
mod reader;
mod warn_limiter;

pub(crate) use budget::{ByteBudget, Reservation};
pub(crate) use call_deadline::with_call_deadline;
#[cfg(feature = "aws")]
pub(crate) use choice::consumer;
pub(crate) use choice::{StreamReaders, readers};
pub use deaggregate::CorruptAggregate;
pub(crate) use deaggregate::Deaggregation;
pub(crate) use fanout::{Lost, Registrar};
pub(crate) use outage::{FailedRead, ReadOutage, Unreadable};
pub(crate) use prefetch::Prefetch;
pub use reader::ReadError;
pub(crate) use reader::{Chunk, Readers, ShardReader, corrupt_at};
