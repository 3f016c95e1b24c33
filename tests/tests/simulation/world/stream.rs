//! The stream in either tier: puts records, splits and merges shards. One of several streams can be
//! deleted and created again.

use super::history::{Fact, History};
use kcl_core::record::aggregate::Aggregator;
use kcl_local::LocalAws;
use kcl_local::kinesis::model::{
    CreateStreamInput, DeleteStreamInput, DescribeStreamSummaryInput, ListShardsInput, PutRecordInput, Request,
    Response, Scope, Shard,
};
use kcl_local::kinesis::{Engine, EngineConfig, EngineTime, HashKey, Reshard, ShardId, Step, SubscriptionId};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;

pub(crate) const STREAM: &str = "flights";

/// 2026-01-01T00:00:00Z, the start of the embedded servers' virtual time.
const EPOCH_MS: i64 = 1_767_225_600_000;

/// The place of the engine.
#[derive(Clone, Debug)]
enum Place {
    Here(Arc<Mutex<Engine>>),
    Served(Arc<LocalAws>),
}

/// See the module's documentation. Clones are the same stream.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    place: Place,
    scope: Scope,
    history: History,
    put: Arc<Mutex<u32>>,
    /// Notified whenever a subscription may have an event.
    bell: Arc<Notify>,
    /// Set for one of several streams.
    life: Option<Arc<Mutex<Life>>>,
}

/// The stream that currently has the name.
#[derive(Debug, Default)]
struct Life {
    /// The prefix of lease keys; empty while there is no stream.
    id: Option<String>,
    /// The number of streams that had the name so far.
    nth: u32,
}

impl Stream {
    /// An engine of our own.
    pub(crate) fn here(seed: u64, shards: u32, history: History) -> Self {
        let engine = Engine::new(EngineConfig::in_process(), seed);
        let place = Place::Here(Arc::new(Mutex::new(engine)));
        Self::create(place, Scope::new("000000000000", "us-east-1"), shards, history)
    }

    /// The same, as one of several.
    pub(crate) fn here_among_several(seed: u64, shards: u32, history: History) -> Self {
        let mut stream = Self::here(seed, shards, history);
        stream.life = Some(Arc::default());
        stream.begin_life();
        stream
    }

    /// Another stream of that name, in another account.
    pub(crate) fn of_another_account(&self, shards: u32) -> Self {
        let scope = Scope::new("111111111111", "us-east-1");
        let stream = Stream { scope, life: Some(Arc::default()), ..self.clone() };
        stream.make(shards);
        stream
    }

    /// The engine of the embedded servers.
    pub(crate) fn served(aws: Arc<LocalAws>, shards: u32, history: History) -> Self {
        let scope = aws.scope().clone();
        Self::create(Place::Served(aws), scope, shards, history)
    }

    fn create(place: Place, scope: Scope, shards: u32, history: History) -> Self {
        let stream = Stream { place, scope, history, put: Arc::default(), bell: Arc::default(), life: None };
        stream.make(shards);
        stream
    }

    /// Creates the stream, for the first time or again.
    pub(crate) fn make(&self, shards: u32) {
        self.ask(CreateStreamInput {
            stream_name: Some(STREAM.to_owned()),
            shard_count: Some(shards.into()),
            ..CreateStreamInput::default()
        });
        self.begin_life();
    }

    fn begin_life(&self) {
        let Some(life) = &self.life else { return };
        let input = DescribeStreamSummaryInput { stream_name: Some(STREAM.to_owned()), ..Default::default() };
        let Response::DescribeStreamSummary(answer) = self.ask(input) else { panic!("no summary") };
        let summary = answer.stream_description_summary;
        let id = format!("{}:{}", self.account_and_name(), summary.stream_creation_timestamp.0 / 1_000);
        let nth = {
            let mut life = life.lock().unwrap();
            life.id = Some(id.clone());
            life.nth += 1;
            life.nth
        };
        if nth > 1 {
            self.history.add(Fact::MadeAgain { stream: id });
        }
    }

    /// Deletes the stream with its unread records.
    pub(crate) fn delete(&self) {
        self.ask(DeleteStreamInput {
            stream_name: Some(STREAM.to_owned()),
            enforce_consumer_deletion: Some(true),
            ..DeleteStreamInput::default()
        });
        let deleted = self.life.as_ref().and_then(|life| life.lock().unwrap().id.take());
        self.history.add(Fact::Deleted { stream: deleted.unwrap_or_default() });
    }

    pub(crate) fn is_there(&self) -> bool {
        self.life.as_ref().is_none_or(|life| life.lock().unwrap().id.is_some())
    }

    /// The prefix of the ids of all streams of that name, in a table of several streams.
    pub(crate) fn account_and_name(&self) -> String {
        format!("{}:{STREAM}", self.scope.account)
    }

    pub(crate) fn arn(&self) -> String {
        format!("arn:aws:kinesis:{}:{}:stream/{STREAM}", self.scope.region, self.scope.account)
    }

    /// The lease key of a shard.
    fn lease(&self, shard: &str) -> String {
        let id = self.life.as_ref().and_then(|life| life.lock().unwrap().id.clone());
        id.map_or_else(|| shard.to_owned(), |id| format!("{id}:{shard}"))
    }

    /// The partition key of the record with that number. Successive streams of one name use
    /// different keys.
    fn key(&self, number: u32) -> String {
        let key = number % 9;
        match &self.life {
            None => format!("key-{key}"),
            Some(life) => format!("{}-{}-key-{key}", &self.scope.account[..1], life.lock().unwrap().nth),
        }
    }

    pub(crate) fn history(&self) -> &History {
        &self.history
    }

    pub(crate) fn now(&self) -> EngineTime {
        EngineTime::from_millis(EPOCH_MS + i64::try_from(self.history.now().as_millis()).unwrap())
    }

    /// The engine's answer.
    pub(crate) fn try_ask(&self, request: impl Into<Request>) -> Result<Response, kcl_local::kinesis::model::ApiError> {
        let request = request.into();
        match &self.place {
            Place::Here(engine) => {
                let reads =
                    matches!(request, Request::GetRecords(_) | Request::GetShardIterator(_) | Request::ListShards(_));
                let answer = engine.lock().unwrap().handle(&self.scope, request, self.now());
                if !reads {
                    self.bell.notify_waiters();
                }
                answer
            }
            Place::Served(aws) => aws.with_engine(|engine, now| engine.handle(&self.scope, request, now)),
        }
    }

    fn ask(&self, request: impl Into<Request>) -> Response {
        self.try_ask(request).unwrap_or_else(|error| panic!("{error:?}"))
    }

    /// Waits for the next event of a subscription, or its end.
    pub(crate) async fn next_event(&self, id: SubscriptionId) -> Step {
        let Place::Here(engine) = &self.place else { panic!("served streams push by themselves") };
        loop {
            let mut rung = std::pin::pin!(self.bell.notified());
            rung.as_mut().enable();
            let step = engine.lock().unwrap().next_event(id, self.now());
            let Step::Wait(due) = step else { return step };
            let pause = u64::try_from(due.millis() - self.now().millis()).unwrap_or(0).max(1);
            tokio::select! {
                () = rung => {}
                () = tokio::time::sleep(Duration::from_millis(pause)) => {}
            }
        }
    }

    pub(crate) fn unsubscribe(&self, id: SubscriptionId) {
        if let Place::Here(engine) = &self.place {
            engine.lock().unwrap().unsubscribe(id, self.now());
        }
    }

    /// Puts this many records, under the nine keys `number % 9`.
    pub(crate) fn put(&self, records: u32) {
        for _ in 0..records {
            self.put_one();
        }
    }

    /// The same, with payloads of this size in bytes.
    pub(crate) fn put_large(&self, records: u32, bytes: usize) {
        for _ in 0..records {
            self.put_sized(bytes);
        }
    }

    /// Puts an aggregate of this many records of one key, with payloads of this size in bytes.
    pub(crate) fn put_packed(&self, records: u32, bytes: usize) {
        let first = {
            let mut put = self.put.lock().unwrap();
            *put += records;
            *put - records
        };
        let key = self.key(first);
        let mut aggregator = Aggregator::default().max_bytes(10 * 1024 * 1024);
        for number in first..first + records {
            let mut data = number.to_string().into_bytes();
            data.resize(data.len().max(bytes), b' ');
            aggregator.add(&key, None, &data).unwrap();
        }
        let Some(packed) = aggregator.finish() else { return };
        let answer = self.ask(PutRecordInput {
            stream_name: Some(STREAM.to_owned()),
            data: Some(packed.data.into()),
            partition_key: Some(key.clone()),
            ..PutRecordInput::default()
        });
        let Response::PutRecord(answer) = answer else { panic!("{answer:?}") };
        for part in 0..records {
            let (shard, sequence) = (self.lease(&answer.shard_id.to_string()), answer.sequence_number.to_string());
            let (number, key, part) = (first + part, key.clone(), part.into());
            self.history.add(Fact::Put { number, key, shard, sequence, part });
        }
    }

    fn put_one(&self) {
        self.put_sized(0);
    }

    fn put_sized(&self, bytes: usize) {
        let number = {
            let mut put = self.put.lock().unwrap();
            *put += 1;
            *put - 1
        };
        let key = self.key(number);
        let mut data = number.to_string().into_bytes();
        data.resize(data.len().max(bytes), b' ');
        let answer = self.ask(PutRecordInput {
            stream_name: Some(STREAM.to_owned()),
            data: Some(data.into()),
            partition_key: Some(key.clone()),
            ..PutRecordInput::default()
        });
        let Response::PutRecord(answer) = answer else { panic!("{answer:?}") };
        let (shard, sequence) = (self.lease(&answer.shard_id.to_string()), answer.sequence_number.to_string());
        self.history.add(Fact::Put { number, key, shard, sequence, part: 0 });
    }

    /// Every shard that has not expired.
    pub(crate) fn shards(&self) -> Vec<Shard> {
        let listed = self.ask(ListShardsInput { stream_name: Some(STREAM.to_owned()), ..ListShardsInput::default() });
        let Response::ListShards(listed) = listed else { panic!("{listed:?}") };
        listed.shards
    }

    /// The open shards in the order of their hash keys.
    pub(crate) fn open(&self) -> Vec<Shard> {
        let mut open = self.shards();
        open.retain(|shard| shard.sequence_number_range.ending_sequence_number.is_none());
        open.sort_by_key(|shard| shard.hash_key_range.starting_hash_key);
        open
    }

    /// Splits the n-th open shard in the middle.
    pub(crate) fn split(&self, n: usize) {
        let open = self.open();
        let range = open[n].hash_key_range;
        let (start, end) = (range.starting_hash_key.0, range.ending_hash_key.0);
        self.reshard(Reshard::Split(open[n].shard_id, HashKey(start + (end - start) / 2)));
    }

    /// Merges the n-th open shard with the next one.
    pub(crate) fn merge(&self, n: usize) {
        let open = self.open();
        self.reshard(Reshard::Merge(open[n].shard_id, open[n + 1].shard_id));
    }

    fn reshard(&self, reshard: Reshard) {
        let before: Vec<ShardId> = self.open().iter().map(|shard| shard.shard_id).collect();
        let outcome = match &self.place {
            Place::Here(engine) => engine.lock().unwrap().reshard(&self.scope, STREAM, reshard, self.now()),
            Place::Served(aws) => aws.with_engine(|engine, now| engine.reshard(&self.scope, STREAM, reshard, now)),
        };
        outcome.unwrap_or_else(|error| panic!("{error:?}"));
        let after: Vec<ShardId> = self.open().iter().map(|shard| shard.shard_id).collect();
        let names = |these: &[ShardId], not: &[ShardId]| -> Vec<String> {
            these.iter().filter(|id| !not.contains(id)).map(|id| self.lease(&id.to_string())).collect()
        };
        self.history.add(Fact::Resharded { parents: names(&before, &after), children: names(&after, &before) });
    }
}
