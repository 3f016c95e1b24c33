//! Reads a range of a stream again, independently of the application that reads it live.
//!
//! | part | knows |
//! |---|---|
//! | `builder` | putting one together |
//! | `run` | running it on a table in memory, and what came of it |
//! | `counted` | how many records were handled |
//! | `range` | whether a range can be read, by the service's own time |
//! | `all_at_once` | a stream whose shards follow on none |

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
