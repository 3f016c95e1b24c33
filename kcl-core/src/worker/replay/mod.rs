//! Reads a range of a stream again, independently of the application that reads it live.
//!
//! | module | concern |
//! |---|---|
//! | `builder` | builds a replay |
//! | `run` | runs it on a lease table in memory, and reports the result |
//! | `counted` | counts the records that handlers finished |
//! | `range` | checks whether the stream keeps records of the range |
//! | `all_at_once` | presents the shards of the range without parents |

mod all_at_once;
mod builder;
mod counted;
mod range;
mod run;

pub use builder::ReplayBuilder;
pub(super) use range::check_range;
pub use run::{Replay, ReplaySummary};

/// The order in which the shards of a range are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Order {
    /// A shard after its parents. Records of a partition key come in order, across splits and
    /// merges too.
    #[default]
    ParentsFirst,
    /// All shards at once. Only the order within a shard is kept; faster if the stream was
    /// resharded within the range.
    AllAtOnce,
}
