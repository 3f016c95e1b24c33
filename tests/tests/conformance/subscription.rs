//! A subscription under test.

use std::time::Duration;

use aws_sdk_kinesis::operation::subscribe_to_shard::SubscribeToShardOutput;
use aws_sdk_kinesis::types::error::SubscribeToShardEventStreamError;
use aws_sdk_kinesis::types::{
    ConsumerStatus, ShardIteratorType, StartingPosition, SubscribeToShardEvent, SubscribeToShardEventStream,
};

use super::failure::Failure;
use super::stream::{From, Stream, data};

/// An open subscription, and its events so far.
#[derive(Debug)]
pub(crate) struct Subscription {
    answer: SubscribeToShardOutput,
}

/// How a subscription ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Without an error.
    Clean,
    /// With an error event of this name.
    Error(String),
    /// The bytes were no message, or the message was incomplete.
    Broken,
}

impl Subscription {
    pub(crate) async fn open(consumer: &Consumer<'_>, shard: &str, from: From<'_>) -> Result<Self, Failure> {
        let position = StartingPosition::builder();
        let position = match from {
            From::TrimHorizon => position.r#type(ShardIteratorType::TrimHorizon),
            From::Latest => position.r#type(ShardIteratorType::Latest),
            From::At(number) => position.r#type(ShardIteratorType::AtSequenceNumber).sequence_number(number),
            From::After(number) => position.r#type(ShardIteratorType::AfterSequenceNumber).sequence_number(number),
            From::Time(time) => position.r#type(ShardIteratorType::AtTimestamp).timestamp(time),
        };
        Self::open_at(consumer, shard, position.build().unwrap()).await
    }

    pub(crate) async fn open_at(
        consumer: &Consumer<'_>,
        shard: &str,
        position: StartingPosition,
    ) -> Result<Self, Failure> {
        let request = consumer.stream.server.client.subscribe_to_shard().consumer_arn(&consumer.arn);
        let answer = request.shard_id(shard).starting_position(position).send().await?;
        Ok(Self { answer })
    }

    /// The next event, or the end.
    pub(crate) async fn next(&mut self) -> Result<SubscribeToShardEvent, End> {
        match self.answer.event_stream.recv().await {
            Ok(Some(SubscribeToShardEventStream::SubscribeToShardEvent(event))) => Ok(event),
            Ok(Some(other)) => panic!("{other:?}"),
            Ok(None) => Err(End::Clean),
            Err(error) => match error.as_service_error() {
                Some(error) => Err(End::Error(name(error))),
                None => Err(End::Broken),
            },
        }
    }

    pub(crate) async fn event(&mut self) -> SubscribeToShardEvent {
        self.next().await.unwrap()
    }

    /// The next `count` records, from as many events as necessary, and the last event.
    pub(crate) async fn records(&mut self, count: usize) -> (Vec<String>, SubscribeToShardEvent) {
        let mut records = Vec::new();
        loop {
            let event = self.event().await;
            records.extend(data(&event.records));
            if records.len() >= count {
                return (records, event);
            }
        }
    }

    /// All events until the end.
    pub(crate) async fn rest(&mut self) -> (Vec<SubscribeToShardEvent>, End) {
        let mut events = Vec::new();
        loop {
            match self.next().await {
                Ok(event) => events.push(event),
                Err(end) => return (events, end),
            }
        }
    }
}

/// The name is in a header; the SDK keeps it only as the variant.
#[allow(clippy::wildcard_enum_match_arm, reason = "the SDK deprecates the variant that would have to be named")]
fn name(error: &SubscribeToShardEventStreamError) -> String {
    use SubscribeToShardEventStreamError as E;
    match error {
        E::ResourceNotFoundException(_) => super::failure::NOT_FOUND,
        E::ResourceInUseException(_) => super::failure::IN_USE,
        E::KmsDisabledException(_) => "KMSDisabledException",
        E::KmsInvalidStateException(_) => "KMSInvalidStateException",
        E::KmsAccessDeniedException(_) => "KMSAccessDeniedException",
        E::KmsNotFoundException(_) => "KMSNotFoundException",
        E::KmsOptInRequired(_) => "KMSOptInRequired",
        E::KmsThrottlingException(_) => "KMSThrottlingException",
        E::InternalFailureException(_) => "InternalFailureException",
        other => panic!("{other:?}"),
    }
    .to_owned()
}

/// A registered consumer of a stream.
pub(crate) struct Consumer<'a> {
    pub(crate) stream: &'a Stream<'a>,
    pub(crate) arn: String,
}

impl<'a> Consumer<'a> {
    /// A new one, `CREATING`.
    pub(crate) async fn register(stream: &'a Stream<'a>, name: &str) -> Self {
        let register = stream.server.client.register_stream_consumer().stream_arn(&stream.arn).consumer_name(name);
        let arn = register.send().await.unwrap().consumer.unwrap().consumer_arn;
        Self { stream, arn }
    }

    /// A new one, `ACTIVE`.
    pub(crate) async fn active(stream: &'a Stream<'a>, name: &str) -> Self {
        let consumer = Self::register(stream, name).await;
        while consumer.status().await != Ok(ConsumerStatus::Active) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        consumer
    }

    pub(crate) async fn status(&self) -> Result<ConsumerStatus, Failure> {
        let describe = self.stream.server.client.describe_stream_consumer().consumer_arn(&self.arn);
        Ok(describe.send().await?.consumer_description.unwrap().consumer_status)
    }

    pub(crate) async fn deregister(&self) {
        self.stream.server.client.deregister_stream_consumer().consumer_arn(&self.arn).send().await.unwrap();
    }

    pub(crate) async fn subscribe(&self, shard: &str, from: From<'_>) -> Result<Subscription, Failure> {
        Subscription::open(self, shard, from).await
    }
}
