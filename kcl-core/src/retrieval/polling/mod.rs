//! Reads a shard by polling with GetRecords.
//!
//! | module | content |
//! |---|---|
//! | `machine` | the states of a reader (pure) |
//! | `pace` | when the next call may be sent (pure) |
//! | `batch_size` | how many records a call requests (pure) |
//! | `shard_limits` | the limits of a shard, kept from one reader to the next |
//! | `reader` | the loop that executes the machine's decisions |

mod batch_size;
mod machine;
mod pace;
mod reader;
mod shard_limits;
#[cfg(test)]
mod tests;

pub(super) use machine::drop_completed;
pub(super) use reader::OVERHEAD_PER_PART;
pub(crate) use reader::{LARGEST_CALL, PollingReaders};
