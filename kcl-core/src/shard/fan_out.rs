//! Defines [`FanOutApi`], the Kinesis calls of enhanced fan-out: registered consumers, and
//! subscriptions that push a shard's records.

use super::{ApiError, Shard};
use crate::record::{Record, SequenceNumber, ShardId, StartingPosition};
use async_trait::async_trait;
use std::fmt::Debug;

/// A consumer that is registered with a stream. It has its own read throughput, and AWS bills it
/// per shard and hour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisteredConsumer {
    /// Its ARN; a consumer that is registered again under the same name has another one.
    pub arn: String,
    /// True if it is ACTIVE and can subscribe.
    pub active: bool,
}

/// Names a consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConsumerRef {
    /// The consumer with this name.
    Name(String),
    /// The consumer with this ARN.
    Arn(String),
}

/// A subscription to open.
#[derive(Clone, Copy, Debug)]
pub struct SubscribeRequest<'a> {
    /// The consumer.
    pub consumer_arn: &'a str,
    /// The shard.
    pub shard: &'a ShardId,
    /// Where the subscription starts.
    pub from: &'a StartingPosition,
}

/// The calls of a fan-out reader to one stream. Each method makes one attempt, without retries.
#[async_trait]
pub trait FanOutApi: Debug + Send + Sync + 'static {
    /// Returns the consumer, if it exists (DescribeStreamConsumer).
    async fn find_consumer(&self, consumer: &ConsumerRef) -> Result<Option<RegisteredConsumer>, ApiError>;

    /// Registers a consumer (RegisterStreamConsumer).
    /// [`ApiErrorKind::NotReady`](super::ApiErrorKind::NotReady) if it exists already, or an
    /// earlier one of this name is still being deleted.
    async fn register_consumer(&self, name: &str) -> Result<RegisteredConsumer, ApiError>;

    /// Removes a consumer (DeregisterStreamConsumer). Succeeds if it does not exist.
    async fn deregister_consumer(&self, arn: &str) -> Result<(), ApiError>;

    /// Subscribes to a shard (SubscribeToShard).
    /// [`ApiErrorKind::NotReady`](super::ApiErrorKind::NotReady) if another subscription is younger
    /// than 5 s, or the consumer is not active.
    async fn subscribe(&self, request: SubscribeRequest<'_>) -> Result<Box<dyn Subscription>, ApiError>;
}

/// An open subscription. Dropping it ends it.
#[async_trait]
pub trait Subscription: Send + 'static {
    /// Returns the next event; `None` at the end of the subscription, which does not mean the end
    /// of the shard. The caller sets a timeout.
    ///
    /// # Cancellation
    /// Dropping the future loses nothing.
    async fn next(&mut self) -> Result<Option<Pushed>, ApiError>;
}

/// One event of a subscription.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pushed {
    /// The records, in order; may be empty.
    pub records: Vec<Record>,
    /// The position after this event, even if it has no records; absent at the end of the shard.
    pub continuation: Option<SequenceNumber>,
    /// The time by which the end of this event is behind the tip, in milliseconds.
    pub millis_behind_latest: Option<u64>,
    /// At the end of the shard, the shards that replaced it.
    pub children: Vec<Shard>,
}
