//! Defines how many handlers work on one shard at a time, and in which order.

/// How many handlers work on one shard at a time, and which order they keep.
///
/// With `n` handlers the factory makes `n` processors per shard, one for each *lane*
/// ([`ShardContext::lane`]). Each processor is called with one batch at a time.
///
/// - `Serial` keeps the order of the shard. All records go to one processor. Choose it for fast
///   handlers, and for handlers that depend on the shard's order.
/// - `PerKey(n)` keeps the order of each partition key, also across retries. A record goes to a
///   lane by a hash of its key, and a key's lane does not change while the lease is held, so a
///   processor may keep state per key. Choose it for handlers that wait for I/O.
/// - `Unordered(n)` keeps no order. Records go to any idle processor. Choose it for handlers that
///   wait for I/O, on data whose order is irrelevant.
///
/// All lanes share one checkpoint: it moves up to the first record that is not acknowledged. Which
/// records beyond it are done is stored in the lease's row (up to 2 KB), so that a crash repeats
/// few of them.
///
/// [`ShardContext::lane`]: crate::ShardContext::lane
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Concurrency {
    /// `Serial` on streams whose producers set partition keys. `Unordered(4)` on streams that
    /// distribute records themselves (record distribution strategy AUTO), because their records
    /// have no keys and hence no order.
    #[default]
    Auto,
    /// One processor per shard, in the order of the shard.
    Serial,
    /// This many processors per shard; each partition key in order.
    PerKey(u16),
    /// This many processors per shard, in no order.
    Unordered(u16),
}
