//! Implements [`FanOutApi`] with Kinesis clients, one attempt per call.

use super::subscription_clients::{PooledClient, SubscriptionClients};
use super::{KinesisStream, response};
use crate::aws::failure::{Cause, Failure};
use crate::record::{SequenceNumber, ShardId, StartingPosition};
use crate::shard::{
    ApiError, ApiErrorKind, ConsumerRef, FanOutApi, Pushed, RegisteredConsumer, SubscribeRequest, Subscription,
};
use async_trait::async_trait;
use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::primitives::event_stream::EventReceiver;
use aws_sdk_kinesis::types::error::SubscribeToShardEventStreamError;
use aws_sdk_kinesis::types::{
    ConsumerStatus, ShardIteratorType, StartingPosition as ApiPosition, SubscribeToShardEvent,
    SubscribeToShardEventStream,
};
use std::sync::Arc;
use tokio::sync::OnceCell;

const FIND: &str = "DescribeStreamConsumer";
const REGISTER: &str = "RegisterStreamConsumer";
const DEREGISTER: &str = "DeregisterStreamConsumer";
const SUBSCRIBE: &str = "SubscribeToShard";

/// Enhanced fan-out of one stream.
#[derive(Debug)]
pub(super) struct KinesisFanOut {
    stream: KinesisStream,
    arn: OnceCell<String>,
    clients: Arc<SubscriptionClients>,
}

impl KinesisFanOut {
    pub(super) fn new(stream: KinesisStream) -> Self {
        let clients = Arc::new(SubscriptionClients::new(stream.client.clone()));
        KinesisFanOut { stream, arn: OnceCell::new(), clients }
    }

    async fn stream_arn(&self) -> Result<&str, Failure> {
        let described = self.arn.get_or_try_init(|| async {
            match self.stream.arn() {
                Some(arn) => Ok(arn),
                None => self.stream.summary().await.map(|description| description.identity.arn),
            }
        });
        described.await.map(String::as_str)
    }

    async fn find(&self, consumer: &ConsumerRef) -> Result<Option<RegisteredConsumer>, Failure> {
        let request = self.stream.client.describe_stream_consumer();
        let request = match consumer {
            ConsumerRef::Arn(arn) => request.consumer_arn(arn),
            ConsumerRef::Name(name) => request.stream_arn(self.stream_arn().await?).consumer_name(name),
        };
        let described = match request.send().await.map_err(|error| Failure::of(FIND, error)) {
            Ok(response) => response.consumer_description,
            Err(failure) if failure.cause == Cause::NotFound => return Ok(None),
            Err(failure) => return Err(failure),
        };
        Ok(described.map(|consumer| RegisteredConsumer {
            active: consumer.consumer_status == ConsumerStatus::Active,
            arn: consumer.consumer_arn,
        }))
    }

    async fn register(&self, name: &str) -> Result<RegisteredConsumer, Failure> {
        let arn = self.stream_arn().await?;
        let request = self.stream.client.register_stream_consumer().stream_arn(arn).consumer_name(name);
        let response = request.send().await.map_err(|error| Failure::of(REGISTER, error))?;
        let consumer = response
            .consumer
            .ok_or_else(|| Failure::new(Cause::Unanswered, REGISTER, "the response has no consumer"))?;
        let active = consumer.consumer_status == ConsumerStatus::Active;
        Ok(RegisteredConsumer { active, arn: consumer.consumer_arn })
    }

    async fn deregister(&self, arn: &str) -> Result<(), Failure> {
        let sent = self.stream.client.deregister_stream_consumer().consumer_arn(arn).send().await;
        match sent.map_err(|error| Failure::of(DEREGISTER, error)) {
            Err(failure) if failure.cause != Cause::NotFound => Err(failure),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    async fn open(
        &self,
        consumer_arn: &str,
        shard: &ShardId,
        from: &StartingPosition,
    ) -> Result<EventSubscription, Failure> {
        let client = self.clients.take();
        let request = client.subscribe_to_shard().consumer_arn(consumer_arn).shard_id(shard.as_str());
        let response = request.starting_position(position(from)?).send().await;
        let receiver = response.map_err(|error| Failure::of(SUBSCRIBE, error))?.event_stream;
        let subject = format!("shard `{shard}` of stream `{}`", self.stream.stream);
        Ok(EventSubscription { receiver, subject, _client: client })
    }
}

#[async_trait]
impl FanOutApi for KinesisFanOut {
    async fn find_consumer(&self, consumer: &ConsumerRef) -> Result<Option<RegisteredConsumer>, ApiError> {
        self.stream.api_result(self.find(consumer).await)
    }

    async fn register_consumer(&self, name: &str) -> Result<RegisteredConsumer, ApiError> {
        self.stream.api_result(self.register(name).await)
    }

    async fn deregister_consumer(&self, arn: &str) -> Result<(), ApiError> {
        self.stream.api_result(self.deregister(arn).await)
    }

    async fn subscribe(&self, request: SubscribeRequest<'_>) -> Result<Box<dyn Subscription>, ApiError> {
        let SubscribeRequest { consumer_arn, shard, from } = request;
        let opened = self.open(consumer_arn, shard, from).await;
        let subject = || format!("shard `{shard}` of stream `{}`", self.stream.stream);
        opened.map(|events| Box::new(events) as _).map_err(|failure| {
            // As for iterators. For other positions, the error does not show whether the position
            // or the consumer was rejected.
            let ahead = failure.cause == Cause::Request && matches!(from, StartingPosition::AtTimestamp(_));
            let error = super::error(failure, &subject());
            if ahead { ApiError { kind: ApiErrorKind::StartAhead, ..error } } else { error }
        })
    }
}

/// An open subscription.
struct EventSubscription {
    receiver: EventReceiver<SubscribeToShardEventStream, SubscribeToShardEventStreamError>,
    subject: String,
    _client: PooledClient,
}

#[async_trait]
impl Subscription for EventSubscription {
    async fn next(&mut self) -> Result<Option<Pushed>, ApiError> {
        loop {
            let event = self
                .receiver
                .recv()
                .await
                .map_err(|error| super::error(Failure::of_event(SUBSCRIBE, error), &self.subject))?;
            match event {
                None => return Ok(None),
                Some(SubscribeToShardEventStream::SubscribeToShardEvent(event)) => {
                    return pushed(event).map(Some).map_err(|failure| super::error(failure, &self.subject));
                }
                // An event type of a later version of the service.
                Some(_) => {}
            }
        }
    }
}

fn pushed(event: SubscribeToShardEvent) -> Result<Pushed, Failure> {
    let children = event.child_shards.unwrap_or_default();
    // The last event of a shard has none, which the SDK returns as an empty string.
    let continuation = Some(event.continuation_sequence_number).filter(|number| !number.is_empty());
    let continuation = continuation
        .map(SequenceNumber::parse)
        .transpose()
        .map_err(|error| Failure::new(Cause::Unanswered, SUBSCRIBE, error.to_string()))?;
    response::last_number(&event.records, SUBSCRIBE)?;
    Ok(Pushed {
        records: event.records.into_iter().map(response::record).collect(),
        continuation,
        millis_behind_latest: u64::try_from(event.millis_behind_latest).ok(),
        children: children.into_iter().map(response::child).collect::<Result<_, _>>()?,
    })
}

fn position(from: &StartingPosition) -> Result<ApiPosition, Failure> {
    let request = ApiPosition::builder();
    let request = match from {
        StartingPosition::TrimHorizon => request.r#type(ShardIteratorType::TrimHorizon),
        StartingPosition::AtTimestamp(ms) => {
            request.r#type(ShardIteratorType::AtTimestamp).timestamp(DateTime::from_millis(*ms))
        }
        StartingPosition::At(number) => {
            request.r#type(ShardIteratorType::AtSequenceNumber).sequence_number(number.as_str())
        }
        // As for iterators: an aggregate with a completed part is read again.
        StartingPosition::After(position) => request
            .r#type(match position.sub_sequence_number {
                0 => ShardIteratorType::AfterSequenceNumber,
                _ => ShardIteratorType::AtSequenceNumber,
            })
            .sequence_number(position.sequence_number.as_str()),
    };
    request.build().map_err(|error| Failure::new(Cause::Request, SUBSCRIBE, error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_kinesis::types::ChildShard;

    fn event(continuation: &str, children: Option<Vec<ChildShard>>) -> SubscribeToShardEvent {
        SubscribeToShardEvent::builder()
            .set_records(Some(Vec::new()))
            .continuation_sequence_number(continuation)
            .millis_behind_latest(0)
            .set_child_shards(children)
            .build()
            .unwrap()
    }

    #[test]
    fn the_last_event_of_a_shard_has_children_and_no_continuation() {
        let child =
            ChildShard::builder().shard_id("shardId-000000000001").set_parent_shards(Some(vec!["p".to_owned()]));
        let last = pushed(event("", Some(vec![child.build().unwrap()]))).unwrap();
        assert_eq!((last.continuation, last.children.len()), (None, 1));
        let other = pushed(event("42", None)).unwrap();
        assert_eq!(other.continuation.map(|number| number.to_string()).as_deref(), Some("42"));
        assert_eq!(pushed(event("null", None)).unwrap_err().cause, Cause::Unanswered);
    }
}
