//! Reads a shard by enhanced fan-out: a subscription pushes its records, with read throughput of
//! its own.
//!
//! | module | content |
//! |---|---|
//! | `machine` | the states of a reader and its subscription (pure) |
//! | `registrar` | finds or registers the application's one consumer, for all shards |
//! | `rate_limiter` | limits subscribe calls to one a second per shard |
//! | `reader` | the loop that executes the machine's decisions, and polls while no subscription is open |
//!
//! ```text
//! registering --> subscribing (not before t) --> streaming --> closed
//!      ^               ^      \                   |     |
//!      |               |       doubting           |     rotating, before five minutes, with jitter
//!      |               +--------------------------+-----+
//!      +---- refused (retried minutes later)
//! ```
//!
//! The position advances only with accepted records. After a subscription ends, breaks, stops
//! sending or is replaced, the next one starts after the last accepted record. Without a
//! subscription, for whatever reason, the shard is polled (unless the setting forbids it), so a
//! rotation, a redeploy or a refusal causes no gap.

mod machine;
mod reader;
mod registrar;
mod subscribe_rate;
#[cfg(test)]
mod tests;

pub(crate) use machine::Lost;
pub(crate) use reader::FanOutReaders;
pub(crate) use registrar::Registrar;
