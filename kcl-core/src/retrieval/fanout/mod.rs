//! Reading a shard by enhanced fan-out: a subscription pushes its records, at a rate that no other reader acquires from.
//!
//! | part | is |
//! |---|---|
//! | `machine` | where the reader stands in its shard and its subscription (pure) |
//! | `registrar` | finds or creates the application's one consumer, for all shards |
//! | `turns` | at most one subscribe call a second for a shard, whoever makes it |
//! | `reader` | the loop that obeys, and polls while nothing is pushed |
//!
//! ```text
//! registering --> subscribing (not before t) --> streaming --> closed
//!      ^               ^      \                   |     |
//!      |               |       doubting           |     rotating, before five minutes, with jitter
//!      |               +--------------------------+-----+
//!      +---- refused (asked again minutes later)
//! ```
//!
//! A position is taken from what was accepted, never from what was asked for: a subscription that ends, is cut, falls
//! silent or is replaced is followed by one that starts after the last accepted record. While there is none, whatever the
//! reason, the shard is polled (unless the setting forbids it), so a rotation, a redeploy or a refusal is no gap.

mod machine;
mod reader;
mod registrar;
mod subscribe_rate;
#[cfg(test)]
mod tests;

pub(crate) use machine::Lost;
pub(crate) use reader::FanOutReaders;
pub(crate) use registrar::Registrar;
