//! Checks before a start whether the worker's role may read the stream, without reading anything.
//!
//! A registered worker takes shards from healthy workers. If its role may not read them, they stall
//! until it has released them, at each restart. So the calls that read are made with `DryRun`
//! first. The service answers every dry run with an error, and checks permissions before anything
//! else. Only a missing permission or rejected credentials refuse the start; any other error means
//! that the call is allowed, or that it is unknown.
//!
//! A service that does not support `DryRun` (an emulator) executes the call. So each call is
//! harmless: nothing can be read after LATEST, and no subscription opens at a sequence number that
//! no record has (one at LATEST would end another worker's subscription).
//!
//! AWS allows one dry run per second for each stream, across all callers (Kinesis developer guide,
//! "Test your permissions with dry run"). A start needs only one, because its iterator comes from a
//! real call.

use super::failure::{Cause, Failure};
use super::response_limit::ResponseLimit;
use crate::config::{Retrieval, RetrievalConfig, Settings};
use crate::record::StreamRef;
use crate::retrieval;
use crate::shard::ConsumerRef;
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::config::timeout::TimeoutConfig;
use aws_sdk_kinesis::types::{ShardIteratorType, StartingPosition};
use std::time::Duration;

/// The timeout of a call. A missing response shows nothing about permissions, and a start should
/// not wait for it.
const CALL_TIMEOUT: Duration = Duration::from_secs(2);

/// The pause before the only retry of a throttled dry run: a fleet that starts together shares one
/// per second.
const THROTTLED_PAUSE: Duration = Duration::from_secs(1);

/// A sequence number that no record has.
const NO_POSITION: &str = "1";

/// How a stream will be read, which decides the calls to try.
#[derive(Clone, Debug)]
pub struct DryRun {
    retrieval: Retrieval,
    consumer: ConsumerRef,
}

impl DryRun {
    /// Creates a check for this kind of reading. The consumer only matters for
    /// [`Retrieval::FanOut`]: [`Retrieval::Auto`] polls if it may not subscribe.
    #[must_use]
    pub fn new(retrieval: Retrieval, consumer: ConsumerRef) -> Self {
        DryRun { retrieval, consumer }
    }

    pub(crate) fn of(settings: &Settings, application: &str) -> Self {
        DryRun::new(settings.retrieval, retrieval::consumer(&RetrievalConfig::from(settings), application))
    }

    /// Returns an error for a missing permission or rejected credentials. The coordination's client
    /// lists shards, the reading client reads.
    pub(super) async fn check(
        &self,
        reading: &Client,
        coordination: &Client,
        stream: &StreamRef,
        arn: &str,
        rng: &mut fastrand::Rng,
    ) -> Result<(), Failure> {
        let [reading, coordination] = [reading, coordination].map(with_short_timeout);
        let calls = Calls { reading, coordination, stream, arn };
        let mut checked = self.once(&calls).await;
        if let Err(Failure { cause: Cause::Throttled, .. }) = &checked {
            tokio::time::sleep(THROTTLED_PAUSE.mul_f64(1.0 + rng.f64())).await;
            checked = self.once(&calls).await;
        }
        match checked {
            Err(failure) if matches!(failure.cause, Cause::Permission | Cause::Credentials) => Err(failure),
            Ok(()) => Ok(()),
            Err(failure) => {
                tracing::debug!(%failure, "dry run answered");
                Ok(())
            }
        }
    }

    async fn once(&self, calls: &Calls<'_>) -> Result<(), Failure> {
        // Every worker lists shards, and an iterator needs an existing shard.
        let Some(shard) = calls.first_shard().await? else { return Ok(()) };
        match self.retrieval {
            Retrieval::Polling | Retrieval::Auto => calls.poll(&shard).await,
            Retrieval::FanOut => calls.subscribe(&self.consumer, &shard).await,
        }
    }
}

fn with_short_timeout(client: &Client) -> Client {
    let timeouts = TimeoutConfig::builder().operation_attempt_timeout(CALL_TIMEOUT).build();
    let config = client.config().to_builder().retry_config(RetryConfig::disabled()).timeout_config(timeouts);
    Client::from_conf(config.interceptor(ResponseLimit).build())
}

struct Calls<'a> {
    reading: Client,
    coordination: Client,
    stream: &'a StreamRef,
    arn: &'a str,
}

impl Calls<'_> {
    fn name(&self) -> Option<String> {
        match self.stream {
            StreamRef::Name(name) => Some(name.clone()),
            StreamRef::Arn(_) => None,
        }
    }

    /// Returns the ARN if the caller names the stream by it: a policy may allow one form and not
    /// the other.
    fn named_arn(&self) -> Option<String> {
        match self.stream {
            StreamRef::Name(_) => None,
            StreamRef::Arn(arn) => Some(arn.clone()),
        }
    }

    async fn first_shard(&self) -> Result<Option<String>, Failure> {
        let request = self.coordination.list_shards().set_stream_name(self.name()).set_stream_arn(self.named_arn());
        let listed = request.max_results(1).send().await.map_err(|error| Failure::of("ListShards", error))?;
        Ok(listed.shards.unwrap_or_default().into_iter().next().map(|shard| shard.shard_id))
    }

    /// The permission for GetRecords is checked on the stream of the iterator, so a real iterator
    /// is needed.
    async fn poll(&self, shard: &str) -> Result<(), Failure> {
        let iterator = self
            .reading
            .get_shard_iterator()
            .set_stream_name(self.name())
            .set_stream_arn(self.named_arn())
            .shard_id(shard)
            .shard_iterator_type(ShardIteratorType::Latest)
            .send()
            .await
            .map_err(|error| Failure::of("GetShardIterator", error))?;
        self.reading
            .get_records()
            .set_stream_arn(self.named_arn())
            .set_shard_iterator(iterator.shard_iterator)
            .limit(1)
            .dry_run(true)
            .send()
            .await
            .map(drop)
            .map_err(|error| Failure::of("GetRecords", error))
    }

    async fn subscribe(&self, consumer: &ConsumerRef, shard: &str) -> Result<(), Failure> {
        let position = StartingPosition::builder()
            .r#type(ShardIteratorType::AtSequenceNumber)
            .sequence_number(NO_POSITION)
            .build()
            .map_err(|error| Failure::new(Cause::Request, "SubscribeToShard", error.to_string()))?;
        self.reading
            .subscribe_to_shard()
            .consumer_arn(self.consumer_arn(consumer).await?)
            .shard_id(shard)
            .starting_position(position)
            .dry_run(true)
            .send()
            .await
            .map(drop)
            .map_err(|error| Failure::of("SubscribeToShard", error))
    }

    /// Returns the consumer's ARN. The ARN of a consumer that is not registered yet will end in its
    /// creation time, so a policy that covers it ends in a wildcard.
    async fn consumer_arn(&self, consumer: &ConsumerRef) -> Result<String, Failure> {
        let name = match consumer {
            ConsumerRef::Arn(arn) => return Ok(arn.clone()),
            ConsumerRef::Name(name) => name,
        };
        let described = self.reading.describe_stream_consumer().stream_arn(self.arn).consumer_name(name).send().await;
        match described.map_err(|error| Failure::of("DescribeStreamConsumer", error)) {
            Ok(response) => match response.consumer_description {
                Some(consumer) => Ok(consumer.consumer_arn),
                None => Ok(format!("{}/consumer/{name}:1", self.arn)),
            },
            Err(failure) if failure.cause == Cause::NotFound => Ok(format!("{}/consumer/{name}:1", self.arn)),
            Err(failure) => Err(failure),
        }
    }
}
