//! A stream of one shard with a record every 100 ms, for both polling and fan-out, with scripted
//! faults.

use crate::clock::TokioClock;
use crate::config::Settings;
use crate::record::{Record, SequenceNumber, ShardId, StartingPosition, StreamIdentity};
use crate::retrieval::fanout::{FanOutReaders, Registrar};
use crate::retrieval::polling::PollingReaders;
use crate::retrieval::{ByteBudget, Chunk, ReadError, Readers, ShardReader};
use crate::shard::{
    ApiError, ApiErrorKind, ConsumerRef, FanOutApi, Fetched, ListWhich, Listing, Pushed, RegisteredConsumer, Shard,
    StreamApi, StreamDescription, SubscribeRequest, Subscription,
};
use crate::stopwatch::Stopwatch;
use async_trait::async_trait;
use std::collections::VecDeque;
use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until, timeout};

pub(super) const EVERY: Duration = Duration::from_millis(100);

/// The outcome of a subscribe call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// It fails with this error.
    Fails(ApiErrorKind),
    /// It is never answered.
    Hangs,
    /// It succeeds after this many milliseconds, with a subscription of this behaviour.
    Opens(u64, Life),
}

/// The behaviour of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// It lives for five minutes.
    Good,
    /// It ends after this many events.
    Ends(u32),
    /// It fails after this many events.
    Breaks(u32, ApiErrorKind),
    /// It sends nothing after this many events.
    FallsSilent(u32),
    /// It sends a contradictory event after this many events.
    Contradicts(u32),
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) calls: VecDeque<Call>,
    /// The outcome after the scripted ones.
    pub(super) otherwise: Call,
    pub(super) subscribed: Vec<(Duration, StartingPosition)>,
    pub(super) polls: usize,
    pub(super) finds: usize,
    pub(super) registered: usize,
    /// When it was registered, if it exists.
    pub(super) consumer: Option<Instant>,
    /// The error of registering.
    pub(super) register_fails: Option<ApiErrorKind>,
    pub(super) find_fails: Option<ApiErrorKind>,
    /// The shard ends after this many records.
    pub(super) ends_after: Option<u64>,
    /// The shard is not listed.
    pub(super) gone: bool,
}

/// A scripted service. Clones share its state.
#[derive(Clone, Debug)]
pub(super) struct Service {
    pub(super) state: Arc<Mutex<State>>,
    origin: Instant,
}

fn number(n: u64) -> SequenceNumber {
    SequenceNumber::parse(n.to_string()).unwrap()
}

pub(super) fn failed(kind: ApiErrorKind) -> ApiError {
    ApiError::new(kind, format!("{kind:?}"))
}

fn child() -> Shard {
    let (id, parents) = (ShardId::from("shardId-000000000001"), vec![shard()]);
    Shard { id, parents, hash_range: None, starting_sequence_number: None, closed: false }
}

fn shard() -> ShardId {
    ShardId::from("shardId-000000000000")
}

impl Service {
    pub(super) fn new(calls: impl IntoIterator<Item = Call>) -> Self {
        let state = State {
            calls: calls.into_iter().collect(),
            otherwise: Call::Opens(10, Life::Good),
            subscribed: Vec::new(),
            polls: 0,
            finds: 0,
            registered: 0,
            consumer: Some(Instant::now() - Duration::from_secs(60)),
            register_fails: None,
            find_fails: None,
            ends_after: None,
            gone: false,
        };
        Service { state: Arc::new(Mutex::new(state)), origin: Instant::now() }
    }

    pub(super) fn set(self, set: impl FnOnce(&mut State)) -> Self {
        set(&mut self.state.lock().unwrap());
        self
    }

    pub(super) fn see<T>(&self, see: impl FnOnce(&State) -> T) -> T {
        see(&self.state.lock().unwrap())
    }

    /// Opens a reader from the start, which polls if `may_poll`.
    pub(super) fn reader(&self, may_poll: bool) -> Box<dyn ShardReader> {
        self.reader_of("app", may_poll, StartingPosition::TrimHorizon)
    }

    pub(super) fn reader_of(&self, name: &str, may_poll: bool, from: StartingPosition) -> Box<dyn ShardReader> {
        self.readers(ConsumerRef::Name(name.to_owned()), may_poll, ByteBudget::new(1 << 28, 1 << 20)).open(
            &shard(),
            from,
            Arc::new(Stopwatch::new(Arc::new(TokioClock::new()))),
        )
    }

    pub(super) fn readers(&self, consumer: ConsumerRef, may_poll: bool, budget: ByteBudget) -> FanOutReaders {
        let (api, stream): (Arc<dyn FanOutApi>, Arc<dyn StreamApi>) = (Arc::new(self.clone()), Arc::new(self.clone()));
        let registrar = Arc::new(Registrar::new(Arc::clone(&api), consumer));
        let rng = fastrand::Rng::with_seed(3);
        let polling =
            PollingReaders::new(Arc::clone(&stream), budget.clone(), (&Settings::default()).into(), rng.clone());
        FanOutReaders::new(api, stream, registrar, budget, may_poll.then(|| Arc::new(polling)), rng)
    }

    /// Returns the number of records that exist now.
    fn tip(&self) -> u64 {
        let tip = (self.origin.elapsed().as_millis() / EVERY.as_millis()) as u64;
        self.see(|state| state.ends_after.map_or(tip, |end| tip.min(end)))
    }

    fn is_over(&self, after: u64) -> bool {
        self.see(|state| state.ends_after.is_some_and(|end| after >= end))
    }

    fn record(n: u64) -> Record {
        Record::new(number(n), format!("record {n}"))
    }

    fn after(from: &StartingPosition) -> u64 {
        match from {
            StartingPosition::After(position) => position.sequence_number.as_str().parse().unwrap(),
            StartingPosition::At(number) => number.as_str().parse::<u64>().unwrap() - 1,
            StartingPosition::TrimHorizon | StartingPosition::AtTimestamp(_) => 0,
        }
    }
}

#[async_trait]
impl StreamApi for Service {
    async fn describe(&self) -> Result<StreamDescription, ApiError> {
        let identity = StreamIdentity { arn: "arn".to_owned(), created_at: 1 };
        Ok(StreamDescription { identity, retention_hours: 24, open_shards: 1, keyed: true })
    }

    async fn list_shards(&self, _: ListWhich) -> Result<Listing, ApiError> {
        let gone = self.see(|state| state.gone);
        let own = Shard { id: shard(), parents: vec![], ..child() };
        let shards = if gone { vec![child()] } else { vec![own] };
        Ok(Listing { shards, answered_at_ms: None })
    }

    async fn shard_iterator(&self, _: &ShardId, from: &StartingPosition) -> Result<String, ApiError> {
        Ok(Service::after(from).to_string())
    }

    async fn get_records(&self, iterator: &str, _: u32) -> Result<Fetched, ApiError> {
        self.state.lock().unwrap().polls += 1;
        sleep(Duration::from_millis(10)).await;
        let (after, tip): (u64, u64) = (iterator.parse().unwrap(), self.tip());
        let over = self.is_over(tip);
        Ok(Fetched {
            records: (after + 1..=tip).map(Service::record).collect(),
            millis_behind_latest: Some(0),
            next_iterator: (!over).then(|| tip.max(after).to_string()),
            children: if over { vec![child()] } else { vec![] },
        })
    }
}

#[async_trait]
impl FanOutApi for Service {
    async fn find_consumer(&self, _: &ConsumerRef) -> Result<Option<RegisteredConsumer>, ApiError> {
        let mut state = self.state.lock().unwrap();
        state.finds += 1;
        if let Some(kind) = state.find_fails {
            return Err(failed(kind));
        }
        // A consumer takes five seconds to become active.
        let arn = format!("consumer/{}", state.registered);
        let active = |since: Instant| since.elapsed() >= Duration::from_secs(5);
        Ok(state.consumer.map(|since| RegisteredConsumer { arn, active: active(since) }))
    }

    async fn register_consumer(&self, _: &str) -> Result<RegisteredConsumer, ApiError> {
        let mut state = self.state.lock().unwrap();
        if let Some(kind) = state.register_fails {
            return Err(failed(kind));
        }
        state.registered += 1;
        state.consumer = Some(Instant::now());
        Ok(RegisteredConsumer { arn: format!("consumer/{}", state.registered), active: false })
    }

    async fn deregister_consumer(&self, _: &str) -> Result<(), ApiError> {
        self.state.lock().unwrap().consumer = None;
        Ok(())
    }

    async fn subscribe(&self, request: SubscribeRequest<'_>) -> Result<Box<dyn Subscription>, ApiError> {
        let from = request.from;
        let call = {
            let mut state = self.state.lock().unwrap();
            state.subscribed.push((self.origin.elapsed(), from.clone()));
            let otherwise = state.otherwise;
            state.calls.pop_front().unwrap_or(otherwise)
        };
        match call {
            Call::Fails(kind) => Err(failed(kind)),
            Call::Hangs => pending().await,
            Call::Opens(after, life) => {
                sleep(Duration::from_millis(after)).await;
                let next = Service::after(from);
                Ok(Box::new(Subscribed {
                    of: self.clone(),
                    life,
                    until: Instant::now() + Duration::from_secs(300),
                    next,
                    events: 0,
                }))
            }
        }
    }
}

struct Subscribed {
    of: Service,
    life: Life,
    until: Instant,
    /// The last record that was pushed.
    next: u64,
    events: u32,
}

#[async_trait]
impl Subscription for Subscribed {
    async fn next(&mut self) -> Result<Option<Pushed>, ApiError> {
        let reached = |events: u32| self.events >= events;
        match self.life {
            Life::Ends(events) if reached(events) => return Ok(None),
            Life::Breaks(events, kind) if reached(events) => return Err(failed(kind)),
            Life::FallsSilent(events) if reached(events) => pending().await,
            Life::Contradicts(events) if reached(events) => return Ok(Some(Pushed::default())),
            Life::Good | Life::Ends(_) | Life::Breaks(..) | Life::FallsSilent(_) | Life::Contradicts(_) => {}
        }
        let tip = self.of.tip();
        if tip <= self.next && !self.of.is_over(self.next) {
            let wanted = self.of.origin + EVERY * u32::try_from(self.next + 1).unwrap();
            sleep_until(wanted.min(self.until)).await;
        }
        if Instant::now() >= self.until {
            return Ok(None);
        }
        let (tip, from) = (self.of.tip(), self.next);
        (self.next, self.events) = (tip.max(from), self.events + 1);
        let over = self.of.is_over(self.next);
        Ok(Some(Pushed {
            records: (from + 1..=tip).map(Service::record).collect(),
            continuation: (!over).then(|| number(self.next)),
            millis_behind_latest: Some(0),
            children: if over { vec![child()] } else { vec![] },
        }))
    }
}

/// What a reader returns within a time: the numbers of the records, the longest pause, and how it
/// ended.
pub(super) struct Read {
    pub(super) numbers: Vec<u64>,
    pub(super) longest_pause: Duration,
    pub(super) ended: bool,
    pub(super) error: Option<ReadError>,
}

pub(super) async fn read(reader: &mut Box<dyn ShardReader>, secs: u64) -> Read {
    let until = Instant::now() + Duration::from_secs(secs);
    let mut read = Read { numbers: Vec::new(), longest_pause: Duration::ZERO, ended: false, error: None };
    let mut last = Instant::now();
    while let Ok(chunk) = timeout(until - Instant::now(), reader.next()).await {
        match chunk {
            Ok(Chunk { records, end, .. }) => {
                if !records.is_empty() {
                    read.longest_pause = read.longest_pause.max(last.elapsed());
                    last = Instant::now();
                }
                read.numbers.extend(records.iter().map(|it| it.sequence_number.as_str().parse::<u64>().unwrap()));
                read.ended = end.is_some();
            }
            Err(error) => read.error = Some(error),
        }
        if read.ended || read.error.is_some() {
            break;
        }
    }
    read
}

impl Read {
    /// Checks that every record arrived once, in order.
    pub(super) fn assert_complete_from(&self, first: u64) {
        let expected: Vec<u64> = (first..first + self.numbers.len() as u64).collect();
        assert_eq!(self.numbers, expected);
    }
}
