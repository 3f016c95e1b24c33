//! Asks before a start whether the worker's role may read the stream, without reading anything.
//!
//! A worker that registers acquires shards from healthy ones. If its role may not read them, they stall until it has given them
//! back, at each restart. So the calls that read are tried with `DryRun` first. The service answers a dry run with an error in
//! any case, and checks permissions before anything else. Only a permission that is missing, or credentials that are not
//! accepted, refuse the start: every other answer says that the call is allowed, or that nothing is known.
//!
//! A service that does not know `DryRun` (an emulator) makes the call. So each is chosen to be harmless: nothing lies behind
//! LATEST, and no subscription begins at a sequence number that no record has (one at LATEST would end another worker's).
//!
//! AWS grants one dry run a second for each stream, whoever asks (Kinesis developer guide, "Test your permissions with dry
//! run"). A start needs a single one, as its iterator comes from a real call.

use super::answer_limit::AnswerLimit;
use super::failure::{Cause, Failure};
use crate::config::Settings;
use crate::record::StreamRef;
use crate::retrieval::{self, Retrieval};
use crate::shard::ConsumerRef;
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::config::timeout::TimeoutConfig;
use aws_sdk_kinesis::types::{ShardIteratorType, StartingPosition};
use std::time::Duration;

/// Of a call. What is not answered by then says nothing about permissions, and a start should not wait for it.
const PATIENCE: Duration = Duration::from_secs(2);

/// Before the only repetition of a dry run that was throttled: a fleet that starts at once shares one a second.
const THROTTLED_PAUSE: Duration = Duration::from_secs(1);

/// No record has it.
const NO_POSITION: &str = "1";

/// How a stream is to be read, which decides what is tried.
#[derive(Clone, Debug)]
pub struct DryRun {
    retrieval: Retrieval,
    consumer: ConsumerRef,
}

impl DryRun {
    /// Of reading in this way. The consumer matters for [`Retrieval::FanOut`] only: [`Retrieval::Auto`] polls where it may not
    /// subscribe.
    #[must_use]
    pub fn new(retrieval: Retrieval, consumer: ConsumerRef) -> Self {
        DryRun { retrieval, consumer }
    }

    pub(crate) fn of(settings: &Settings, application: &str) -> Self {
        DryRun::new(settings.retrieval, retrieval::consumer(settings, application))
    }

    /// Returns the missing permission, or the refused credentials. The coordination's client lists shards, the other reads.
    pub(super) async fn check(
        &self,
        reading: &Client,
        coordination: &Client,
        stream: &StreamRef,
        arn: &str,
        rng: &mut fastrand::Rng,
    ) -> Result<(), Failure> {
        let [reading, coordination] = [reading, coordination].map(impatient);
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
        // Every worker lists shards, and only a shard that is there has iterators.
        let Some(shard) = calls.first_shard().await? else { return Ok(()) };
        match self.retrieval {
            Retrieval::Polling | Retrieval::Auto => calls.poll(&shard).await,
            Retrieval::FanOut => calls.subscribe(&self.consumer, &shard).await,
        }
    }
}

fn impatient(client: &Client) -> Client {
    let timeouts = TimeoutConfig::builder().operation_attempt_timeout(PATIENCE).build();
    let config = client.config().to_builder().retry_config(RetryConfig::disabled()).timeout_config(timeouts);
    Client::from_conf(config.interceptor(AnswerLimit).build())
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

    /// The ARN, where the caller names the stream by it: a policy may allow one form and not the other.
    fn named_arn(&self) -> Option<String> {
        match self.stream {
            StreamRef::Name(_) => None,
            StreamRef::Arn(arn) => Some(arn.clone()),
        }
    }

    async fn first_shard(&self) -> Result<Option<String>, Failure> {
        let ask = self.coordination.list_shards().set_stream_name(self.name()).set_stream_arn(self.named_arn());
        let listed = ask.max_results(1).send().await.map_err(|error| Failure::of("ListShards", error))?;
        Ok(listed.shards.unwrap_or_default().into_iter().next().map(|shard| shard.shard_id))
    }

    /// The permission for GetRecords is one on the stream of the iterator, so a real iterator is needed.
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

    /// A consumer that is not there yet will end in the time of its creation, so a policy that covers it ends in a wildcard.
    async fn consumer_arn(&self, consumer: &ConsumerRef) -> Result<String, Failure> {
        let name = match consumer {
            ConsumerRef::Arn(arn) => return Ok(arn.clone()),
            ConsumerRef::Name(name) => name,
        };
        let described = self.reading.describe_stream_consumer().stream_arn(self.arn).consumer_name(name).send().await;
        match described.map_err(|error| Failure::of("DescribeStreamConsumer", error)) {
            Ok(answer) => match answer.consumer_description {
                Some(consumer) => Ok(consumer.consumer_arn),
                None => Ok(format!("{}/consumer/{name}:1", self.arn)),
            },
            Err(failure) if failure.cause == Cause::NotFound => Ok(format!("{}/consumer/{name}:1", self.arn)),
            Err(failure) => Err(failure),
        }
    }
}
