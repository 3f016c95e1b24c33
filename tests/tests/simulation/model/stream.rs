//! The stream for one process: calls the Kinesis engine directly.

use super::{convert, refusal};
use crate::world::exchange::{Reply, exchange};
use crate::world::history::{Fact, Name};
use crate::world::memory::Memory;
use crate::world::stream::{STREAM, Stream};
use crate::world::weather::{Fate, Service, Weather};
use async_trait::async_trait;
use kcl_core::record::{ShardId, StartingPosition, StreamIdentity};
use kcl_core::shard::{
    ApiError, ApiErrorKind, FanOutApi, Fetched, ListWhich, Listing, Shard, StreamApi, StreamDescription,
};
use kcl_local::kinesis::model::{
    self, DescribeStreamSummaryInput, GetRecordsInput, GetShardIteratorInput, ListShardsInput, Request, Response,
    ShardFilterInput, Timestamp,
};
use std::sync::Arc;

#[derive(Clone, Debug)]
pub(crate) struct StreamSeat {
    pub(super) stream: Stream,
    pub(super) weather: Weather,
    pub(super) process: Name,
    pub(super) memory: Memory,
}

impl StreamSeat {
    pub(crate) fn new(stream: Stream, weather: Weather, process: Name, memory: Memory) -> Self {
        StreamSeat { stream, weather, process, memory }
    }

    pub(super) async fn ask(&self, operation: &'static str, request: Request) -> Result<(Response, i64), ApiError> {
        self.ask_anyhow(operation, request).await.map(|(answer, at, _)| (answer, at))
    }

    /// The answer, and the way in which it is to be falsified, if any.
    async fn ask_anyhow(
        &self,
        operation: &'static str,
        request: Request,
    ) -> Result<(Response, i64, Option<u32>), ApiError> {
        let (_, fate) = self.weather.fate(&self.process, Service::Stream, operation);
        let wrong = if let Some(Fate::Wrong(way)) = fate { Some(way) } else { None };
        let stream = self.stream.clone();
        let effect = async move { (stream.try_ask(request), stream.now().millis()) };
        let failed = |kind, message: &str| Err(ApiError::new(kind, message));
        match exchange(&self.weather, fate, effect).await {
            Reply::Answer((Ok(answer), at)) => Ok((answer, at, wrong)),
            Reply::Answer((Err(error), _)) => Err(convert::error(&error)),
            Reply::Throttled => failed(ApiErrorKind::Throttled, "the stream is throttled"),
            Reply::Refused(error) => Err(refusal::of_stream(operation, error)),
            Reply::Unavailable => failed(ApiErrorKind::Unavailable, "the stream failed"),
            Reply::IteratorExpired if operation == "GetRecords" => {
                failed(ApiErrorKind::IteratorExpired, "the iterator expired")
            }
            Reply::IteratorExpired => failed(ApiErrorKind::Unavailable, "the stream failed"),
        }
    }
}

pub(super) fn name() -> Option<String> {
    Some(STREAM.to_owned())
}

/// The engine answered with another operation's response.
pub(super) fn wrong<T>(answer: &Response) -> T {
    panic!("the engine answered {answer:?}")
}

#[async_trait]
impl StreamApi for StreamSeat {
    async fn describe(&self) -> Result<StreamDescription, ApiError> {
        let input = DescribeStreamSummaryInput { stream_name: name(), ..DescribeStreamSummaryInput::default() };
        let (answer, _) = self.ask("DescribeStreamSummary", input.into()).await?;
        let Response::DescribeStreamSummary(answer) = answer else { return wrong(&answer) };
        let summary = answer.stream_description_summary;
        Ok(StreamDescription {
            identity: StreamIdentity::new(summary.stream_arn, convert::time(summary.stream_creation_timestamp)),
            retention_hours: u32::try_from(summary.retention_period_hours).unwrap(),
            open_shards: u32::try_from(summary.open_shard_count).unwrap(),
            keyed: true,
        })
    }

    async fn list_shards(&self, which: ListWhich) -> Result<Listing, ApiError> {
        let filter = |kind: &str, at_ms: Option<i64>| {
            Some(ShardFilterInput { r#type: Some(kind.to_owned()), shard_id: None, timestamp: at_ms.map(Timestamp) })
        };
        let shard_filter = match which {
            ListWhich::All => None,
            ListWhich::AtTrimHorizon => filter("AT_TRIM_HORIZON", None),
            ListWhich::AtLatest => filter("AT_LATEST", None),
            ListWhich::AtTimestamp(ms) => filter("AT_TIMESTAMP", Some(ms)),
        };
        let input = ListShardsInput { stream_name: name(), shard_filter, ..ListShardsInput::default() };
        let (answer, at_ms, way) = self.ask_anyhow("ListShards", input.into()).await?;
        let Response::ListShards(answer) = answer else { return wrong(&answer) };
        // The service reports its time in whole seconds.
        let answered_at_ms = Some(at_ms / 1_000 * 1_000);
        let mut shards = answer.shards.iter().map(convert::shard).collect();
        if let Some(way) = way {
            make_wrong(&mut shards, way);
        }
        Ok(Listing { shards, answered_at_ms })
    }

    async fn shard_iterator(&self, shard: &ShardId, from: &StartingPosition) -> Result<String, ApiError> {
        let (kind, starting_sequence_number, timestamp) = starting_at(from);
        let input = GetShardIteratorInput {
            stream_name: name(),
            shard_id: Some(shard.to_string()),
            shard_iterator_type: Some(kind.to_owned()),
            starting_sequence_number,
            timestamp,
            ..GetShardIteratorInput::default()
        };
        let (answer, _) = self.ask("GetShardIterator", input.into()).await?;
        let Response::GetShardIterator(answer) = answer else { return wrong(&answer) };
        self.stream.history().add(Fact::Polls { process: self.process.clone(), shard: shard.to_string() });
        Ok(answer.shard_iterator)
    }

    async fn get_records(&self, iterator: &str, limit: u32) -> Result<Fetched, ApiError> {
        let input = GetRecordsInput {
            shard_iterator: Some(iterator.to_owned()),
            limit: Some(limit.into()),
            ..GetRecordsInput::default()
        };
        let (answer, _, way) = self.ask_anyhow("GetRecords", input.into()).await?;
        let Response::GetRecords(answer) = answer else { return wrong::<Result<Fetched, ApiError>>(&answer) };
        let answer: model::GetRecordsOutput = answer;
        let mut fetched = convert::fetched(answer);
        if way.is_some() {
            fetched.children.clear();
        }
        for record in &mut fetched.records {
            record.data = self.memory.count(std::mem::take(&mut record.data));
        }
        Ok(fetched)
    }

    fn fan_out(&self) -> Option<Arc<dyn FanOutApi>> {
        Some(Arc::new(self.clone()))
    }
}

/// Falsifies a list: empty, without one of its shards, as it was before the last reshard, or with a
/// shard that is its own ancestor.
fn make_wrong(shards: &mut Vec<Shard>, way: u32) {
    let nth = usize::try_from(way / 4).unwrap() % shards.len().max(1);
    match way % 4 {
        0 => shards.clear(),
        1 if !shards.is_empty() => drop(shards.remove(nth)),
        2 => {
            let Some(last) = shards.iter().map(|shard| shard.id.clone()).max() else { return };
            let parents = shards.iter().find(|shard| shard.id == last).map(|shard| shard.parents.clone());
            let parents = parents.unwrap_or_default();
            shards.retain(|shard| !shard.parents.iter().any(|parent| parents.contains(parent)));
            shards.iter_mut().filter(|shard| parents.contains(&shard.id)).for_each(|shard| shard.closed = false);
        }
        _ => {
            let id = shards.get(nth).map(|shard| shard.id.clone());
            shards.iter_mut().take(1).for_each(|shard| shard.parents.extend(id.clone()));
            shards.iter_mut().skip(nth).take(1).for_each(|shard| shard.parents.extend(id.clone()));
        }
    }
}

/// Kind, sequence number and timestamp of a starting position.
pub(super) fn starting_at(from: &StartingPosition) -> (&'static str, Option<String>, Option<Timestamp>) {
    match from {
        StartingPosition::TrimHorizon => ("TRIM_HORIZON", None, None),
        StartingPosition::AtTimestamp(ms) => ("AT_TIMESTAMP", None, Some(Timestamp(*ms))),
        StartingPosition::At(number) => ("AT_SEQUENCE_NUMBER", Some(number.to_string()), None),
        StartingPosition::After(position) => {
            ("AFTER_SEQUENCE_NUMBER", Some(position.sequence_number.to_string()), None)
        }
    }
}
