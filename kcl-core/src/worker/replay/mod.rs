//! Reading a range of a stream again, beside whoever else reads it.
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

/// In which order the shards of a range are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Order {
    /// A shard after those it came from: records of a partition key come in order, across splits and merges too.
    #[default]
    ParentsFirst,
    /// All at once, where only the order within a shard matters: quicker where the stream was resharded within the range.
    AllAtOnce,
}
