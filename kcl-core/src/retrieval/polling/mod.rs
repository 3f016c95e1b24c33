//! Reading a shard by GetRecords.
//!
//! | part | is |
//! |---|---|
//! | `machine` | where a reader stands in its shard (pure) |
//! | `pace` | when the next call may be sent (pure) |
//! | `amount` | how many records it asks for (pure) |
//! | `quiet` | which failure is worth a warning (pure) |
//! | `shard_limits` | what of this outlives a reader |
//! | `reader` | the loop that obeys |

mod batch_size;
mod machine;
mod pace;
mod quiet;
mod reader;
mod shard_limits;
#[cfg(test)]
mod tests;

pub(super) use machine::drop_done;
pub(super) use quiet::Quiet;
pub(super) use reader::OVERHEAD_PER_PART;
pub(crate) use reader::{LARGEST_CALL, PollingReaders};
