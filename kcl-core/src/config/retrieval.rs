//! Defines how the shards of a stream are read.

/// How the shards of a stream are read.
///
/// Polling:
/// - calls GetRecords, at most 5 times and 2 MiB per second for each shard; all polling readers of
///   the shard share these limits, also those of other applications;
/// - costs nothing in addition to the shard;
/// - has a delay of half of `poll_interval` plus one call;
/// - delivers every record in order, and recovers from throttling, expired iterators and lost
///   responses.
///
/// Fan-out:
/// - subscribes with SubscribeToShard, every four to five minutes; each consumer has its own 2 MiB
///   per second for each shard;
/// - costs a fee per consumer, shard and hour, and per GB;
/// - has a delay of about 70 ms on AWS;
/// - delivers every record in order. A subscription that ends, breaks or sends nothing for 20 s is
///   replaced by one that starts after the last accepted record.
///
/// All fetched records count against the byte budget. A slow handler only delays its own shard.
/// (The service ends a subscription whose events are not received; the reader then opens another
/// one.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Retrieval {
    /// Fan-out, falling back to polling while no subscription is open: while the consumer is being
    /// registered, between two subscriptions, and while fan-out is refused (quota, permission, or
    /// the consumer was deleted or is used by another program). A record that both readers receive
    /// is delivered once.
    ///
    /// Registers the application's consumer, which AWS bills until it is deregistered; see the
    /// settings `consumer_name`, `consumer_arn` and `deregister_consumer`.
    Auto,
    /// Fan-out only. While it is refused, the shard waits, and the error policy decides.
    FanOut,
    /// Polling only. The default, because a registered consumer costs money.
    #[default]
    Polling,
}
