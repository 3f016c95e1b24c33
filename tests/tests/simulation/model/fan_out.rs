//! Fan-out for one process: reads events of the Kinesis engine's subscriptions directly.

use super::stream::{StreamSeat, name, starting_at, wrong};
use super::{convert, refusal};
use crate::world::history::Fact;
use crate::world::weather::{Fate, Service};
use async_trait::async_trait;
use kcl_core::shard::{
    ApiError, ApiErrorKind, ConsumerRef, FanOutApi, Pushed, RegisteredConsumer, SubscribeRequest, Subscription,
};
use kcl_local::kinesis::model::{
    ConsumerStatus, DeregisterStreamConsumerInput, DescribeStreamConsumerInput, DescribeStreamSummaryInput,
    RegisterStreamConsumerInput, Request, Response, StartingPositionInput, SubscribeToShardInput,
};
use kcl_local::kinesis::{Step, SubscriptionId};

impl StreamSeat {
    async fn arn(&self) -> Result<String, ApiError> {
        let input = DescribeStreamSummaryInput { stream_name: name(), ..DescribeStreamSummaryInput::default() };
        let (answer, _) = self.ask("DescribeStreamSummary", input.into()).await?;
        let Response::DescribeStreamSummary(answer) = answer else { return wrong(&answer) };
        Ok(answer.stream_description_summary.stream_arn)
    }
}

#[async_trait]
impl FanOutApi for StreamSeat {
    async fn find_consumer(&self, consumer: &ConsumerRef) -> Result<Option<RegisteredConsumer>, ApiError> {
        let input = match consumer {
            ConsumerRef::Arn(arn) => DescribeStreamConsumerInput {
                consumer_arn: Some(arn.clone()),
                ..DescribeStreamConsumerInput::default()
            },
            ConsumerRef::Name(name) => DescribeStreamConsumerInput {
                stream_arn: Some(self.arn().await?),
                consumer_name: Some(name.clone()),
                ..DescribeStreamConsumerInput::default()
            },
        };
        match self.ask("DescribeStreamConsumer", input.into()).await {
            Ok((Response::DescribeStreamConsumer(answer), _)) => {
                let found = answer.consumer_description;
                let active = found.consumer_status == ConsumerStatus::Active;
                Ok(Some(RegisteredConsumer { arn: found.consumer_arn, active }))
            }
            Ok((other, _)) => wrong(&other),
            Err(error) if error.kind == ApiErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn register_consumer(&self, name: &str) -> Result<RegisteredConsumer, ApiError> {
        let input = RegisterStreamConsumerInput {
            stream_arn: Some(self.arn().await?),
            consumer_name: Some(name.to_owned()),
            ..RegisterStreamConsumerInput::default()
        };
        let (answer, _) = self.ask("RegisterStreamConsumer", input.into()).await?;
        let Response::RegisterStreamConsumer(answer) = answer else { return wrong(&answer) };
        Ok(RegisteredConsumer { arn: answer.consumer.consumer_arn, active: false })
    }

    async fn deregister_consumer(&self, arn: &str) -> Result<(), ApiError> {
        let input = DeregisterStreamConsumerInput {
            consumer_arn: Some(arn.to_owned()),
            ..DeregisterStreamConsumerInput::default()
        };
        self.ask("DeregisterStreamConsumer", Request::from(input)).await.map(drop)
    }

    async fn subscribe(&self, request: SubscribeRequest<'_>) -> Result<Box<dyn Subscription>, ApiError> {
        let SubscribeRequest { consumer_arn, shard, from } = request;
        let (kind, number, timestamp) = starting_at(from);
        let position = StartingPositionInput { r#type: Some(kind.to_owned()), sequence_number: number, timestamp };
        let input = SubscribeToShardInput {
            consumer_arn: Some(consumer_arn.to_owned()),
            shard_id: Some(shard.to_string()),
            starting_position: Some(position),
            ..SubscribeToShardInput::default()
        };
        let (history, process, shard) = (self.stream.history(), self.process.clone(), shard.to_string());
        history.add(Fact::AsksToBePushed { process: process.clone(), shard: shard.clone() });
        let (answer, _) = match self.ask("SubscribeToShard", input.into()).await {
            Ok(answer) => answer,
            Err(error) => {
                history.add(Fact::PushRefused { process, shard, why: error.message.clone() });
                return Err(error);
            }
        };
        let Response::SubscribeToShard(id) = answer else { return wrong::<Result<_, _>>(&answer) };
        history.add(Fact::Pushed { process, shard });
        Ok(Box::new(Subscribed { seat: self.clone(), id }))
    }
}

struct Subscribed {
    seat: StreamSeat,
    id: SubscriptionId,
}

#[async_trait]
impl Subscription for Subscribed {
    /// A fault is drawn for each event. Events for a process that is cut off no longer arrive.
    async fn next(&mut self) -> Result<Option<Pushed>, ApiError> {
        let StreamSeat { stream, weather, process, memory } = &self.seat;
        let event = match stream.next_event(self.id).await {
            Step::Event(event) => event,
            Step::Failed(error) => return Err(convert::error(&error)),
            Step::Ended | Step::Wait(_) => return Ok(None),
        };
        match weather.fate(process, Service::Stream, "an event").1 {
            None => {}
            Some(Fate::Refused(error)) if error.breaks_a_subscription() => {
                return Err(refusal::of_stream("SubscribeToShard", error));
            }
            Some(Fate::Refused(_)) => {}
            Some(fate) if fate.is_silent() => return std::future::pending().await,
            Some(fate) => match fate.delay() {
                Some(delay) => tokio::time::sleep(delay).await,
                None => {
                    let message = "the subscription broke".to_owned();
                    return Err(ApiError::new(ApiErrorKind::Unavailable, message));
                }
            },
        }
        let mut pushed = convert::pushed(event);
        for record in &mut pushed.records {
            record.data = memory.count(std::mem::take(&mut record.data));
        }
        Ok(Some(pushed))
    }
}

impl Drop for Subscribed {
    fn drop(&mut self) {
        // A killed process sends no goodbye, but its connection closes.
        self.seat.stream.unsubscribe(self.id);
    }
}
