//! The seam to enhanced fan-out: registered consumers of a stream, and subscriptions that push a shard's records.

use super::{ApiError, Shard};
use crate::record::{Record, SequenceNumber, ShardId, StartingPosition};
use async_trait::async_trait;
use std::fmt::Debug;

/// A consumer that is registered with a stream. It reads at a rate of its own, and is billed by the shard and the hour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisteredConsumer {
    /// Its ARN; a consumer that is registered anew under the same name has another one.
    pub arn: String,
    /// Whether it can subscribe by now.
    pub active: bool,
}

/// Which consumer is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConsumerRef {
    /// The one of that name.
    Name(String),
    /// This one.
    Arn(String),
}

/// The calls that a fan-out reader makes of one stream. One attempt a call, no retries inside.
#[async_trait]
pub trait FanOutApi: Debug + Send + Sync + 'static {
    /// The consumer, if there is one (DescribeStreamConsumer).
    async fn find_consumer(&self, consumer: &ConsumerRef) -> Result<Option<RegisteredConsumer>, ApiError>;

    /// Registers a consumer (RegisterStreamConsumer). [`ApiErrorKind::NotReady`](super::ApiErrorKind::NotReady) when another
    /// hand has registered it, or the one before it is still being removed.
    async fn register_consumer(&self, name: &str) -> Result<RegisteredConsumer, ApiError>;

    /// Removes a consumer (DeregisterStreamConsumer). Fine where it is gone.
    async fn deregister_consumer(&self, arn: &str) -> Result<(), ApiError>;

    /// Subscribes to a shard (SubscribeToShard). [`ApiErrorKind::NotReady`](super::ApiErrorKind::NotReady) when another
    /// subscription is too young to be replaced, or the consumer is not active.
    async fn subscribe(
        &self,
        consumer_arn: &str,
        shard: &ShardId,
        from: &StartingPosition,
    ) -> Result<Box<dyn Subscription>, ApiError>;
}

/// What a subscription pushes. Dropping it ends it.
#[async_trait]
pub trait Subscription: Send + 'static {
    /// The next event; `None` at the end of the subscription, which says nothing of the shard. No deadline inside.
    ///
    /// # Cancellation
    /// Dropping the future loses nothing.
    async fn next(&mut self) -> Result<Option<Pushed>, ApiError>;
}

/// One event of a subscription.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pushed {
    /// The records, in order; may be none.
    pub records: Vec<Record>,
    /// Where to go on after this event, also where it has no records; absent at the end of the shard.
    pub continuation: Option<SequenceNumber>,
    /// How far behind the tip this event ends, in milliseconds.
    pub millis_behind_latest: Option<u64>,
    /// At the end of the shard, the shards it ended in.
    pub children: Vec<Shard>,
}
