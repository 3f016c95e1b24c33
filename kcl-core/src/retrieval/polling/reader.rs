//! The loop that obeys the machine: one call at a time, each with a deadline, paced, within the byte budget.

use super::machine::{Event, Next, State, step};
use super::pace::{Answer, LARGEST_ANSWER, Pace};
use super::quiet::Quiet;
use crate::clock::Time;
use crate::config::Settings;
use crate::record::{ShardId, StartingPosition};
use crate::retrieval::call::in_time;
use crate::retrieval::{ByteBudget, Chunk, ReadError, Readers, Reservation, ShardReader};
use crate::shard::{ApiError, ApiErrorKind, Fetched, ListWhich, StreamApi};
use crate::stopwatch::Stopwatch;
use crate::telemetry::event::processing::{IteratorExpired, ReadAnswered, ReadFailing, ReadThrottled};
use async_trait::async_trait;
use futures_util::future::BoxFuture;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::time::{Instant, sleep_until};

/// While an answer is decoded its text is in memory too: base64 is a third longer than what it says, and the SDK puts
/// the pieces of a body together before it reads it.
const WIRE: u64 = 3;
/// What a record takes beside its payload: its numbers, its key, the place in a list.
pub(in crate::retrieval) const BESIDE_PAYLOAD: u64 = 224;

/// What the largest call needs: what a shard that holds something leaves for others.
pub(crate) const LARGEST_CALL: u64 = LARGEST_ANSWER * WIRE;

/// So many records with so much payload.
fn in_memory((count, bytes): (usize, u64)) -> u64 {
    bytes + count as u64 * BESIDE_PAYLOAD
}

/// Makes polling readers for one stream.
#[derive(Debug)]
pub(crate) struct PollingReaders {
    api: Arc<dyn StreamApi>,
    budget: ByteBudget,
    settings: Settings,
    rng: Mutex<fastrand::Rng>,
}

impl PollingReaders {
    /// Readers that share this budget.
    pub(crate) fn new(api: Arc<dyn StreamApi>, budget: ByteBudget, settings: Settings, rng: fastrand::Rng) -> Self {
        PollingReaders { api, budget, settings, rng: Mutex::new(rng) }
    }
}

impl Readers for PollingReaders {
    fn open(&self, shard: &ShardId, from: StartingPosition, fetching: Arc<Stopwatch>) -> Box<dyn ShardReader> {
        let rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner).fork();
        let origin = Instant::now();
        Box::new(PollingReader {
            api: Arc::clone(&self.api),
            shard: shard.clone(),
            limit: self.settings.max_records,
            budget: self.budget.clone(),
            state: State::NeedIterator { from },
            pace: Pace::new(&self.settings),
            quiet: Quiet::default(),
            rng,
            origin,
            not_before: origin,
            fetching,
        })
    }
}

#[derive(Debug)]
struct PollingReader {
    api: Arc<dyn StreamApi>,
    shard: ShardId,
    limit: u32,
    budget: ByteBudget,
    state: State,
    pace: Pace,
    quiet: Quiet,
    rng: fastrand::Rng,
    origin: Instant,
    not_before: Instant,
    /// Runs while no call is answered.
    fetching: Arc<Stopwatch>,
}

#[async_trait]
impl ShardReader for PollingReader {
    async fn next(&mut self) -> Result<Chunk, ReadError> {
        loop {
            if Instant::now() < self.not_before {
                sleep_until(self.not_before).await;
            }
            let mut reservation = match self.state {
                State::Ready { .. } => {
                    let largest = self.pace.largest_answer(self.now());
                    self.budget.reserve(&self.shard, largest * WIRE).await
                }
                State::NeedIterator { .. } | State::Doubting { .. } | State::Ended { .. } => Reservation::default(),
            };
            let sent = self.now();
            self.fetching.begin();
            let (event, error) = match self.call().await {
                Ok(event) => (event, None),
                Err(error) => (Event::Failed(error.kind), Some(error)),
            };
            // A new iterator is no progress: every attempt begins with one.
            let stands = matches!(event, Event::Iterator(_) | Event::Failed(ApiErrorKind::Unavailable));
            if !stands {
                self.fetching.end();
            }
            // No await from here on: an answer is accepted and handed on, or, where this future is dropped, neither.
            let answer = self.answer(&event);
            let records = if let Some(Answer::Records { count, bytes, .. }) = answer { (count, bytes) } else { (0, 0) };
            reservation.settle(in_memory(records));
            let state = std::mem::replace(&mut self.state, State::Ended { children: Vec::new() });
            let (state, next) = step(&self.shard, state, event);
            self.state = state;
            self.tell(&next, answer, error.as_ref(), sent);
            match (next, error) {
                (Next::Deliver { records, millis_behind_latest, end }, _) => {
                    return Ok(Chunk { records, millis_behind_latest, end, reservation, ..Chunk::default() });
                }
                (Next::GiveUp, Some(source)) => return Err(ReadError { shard: self.shard.clone(), source }),
                (Next::GiveUp | Next::Renew | Next::BackOff | Next::GoOn, _) => {}
            }
        }
    }
}

impl PollingReader {
    fn now(&self) -> Time {
        Time::from_origin(self.origin.elapsed())
    }

    /// The call that the state asks for.
    async fn call(&self) -> Result<Event, ApiError> {
        let (operation, call): (_, BoxFuture<'_, Result<Event, ApiError>>) = match &self.state {
            State::NeedIterator { from } => (
                "GetShardIterator",
                Box::pin(async { self.api.shard_iterator(&self.shard, from).await.map(Event::Iterator) }),
            ),
            State::Ready { iterator, .. } => {
                ("GetRecords", Box::pin(async { self.api.get_records(iterator, self.limit).await.map(Event::Fetched) }))
            }
            State::Doubting { .. } => {
                ("ListShards", Box::pin(async { self.api.list_shards(ListWhich::All).await.map(Event::Listed) }))
            }
            // Nothing is asked any more: the machine tells the end again, whatever the event.
            State::Ended { .. } => return Ok(Event::Fetched(Fetched::default())),
        };
        in_time(|| format!("{operation} for shard `{}`", self.shard), call).await
    }

    /// The event, as the pace counts it.
    fn answer(&self, event: &Event) -> Option<Answer> {
        match event {
            Event::Fetched(fetched) => Some(Answer::Records {
                count: fetched.records.len(),
                bytes: fetched.records.iter().map(|record| record.data.len() as u64).sum(),
                full: fetched.records.len() >= self.limit as usize,
                behind: fetched.millis_behind_latest,
            }),
            Event::Failed(ApiErrorKind::Throttled) => Some(Answer::Throttled),
            Event::Failed(ApiErrorKind::IteratorExpired) => Some(Answer::IteratorExpired),
            Event::Failed(
                ApiErrorKind::NotFound | ApiErrorKind::NotReady | ApiErrorKind::Refused | ApiErrorKind::Unavailable,
            ) => Some(Answer::Failed),
            Event::Iterator(_) | Event::Listed(_) => None,
        }
    }

    /// Sets when the next call may be sent, and says what happened.
    fn tell(&mut self, next: &Next, answer: Option<Answer>, error: Option<&ApiError>, sent: Time) {
        // An iterator costs nothing; a list of shards that settled nothing must not be asked for in a loop.
        let Some(answer) = answer.or((*next == Next::BackOff).then_some(Answer::Failed)) else { return };
        let now = self.now();
        let not_before = self.pace.answered(answer, sent, now, &mut self.rng);
        self.not_before = self.origin + not_before.since(Time::ZERO);
        let retry_after = not_before.since(now);
        let (shard, failures) = (&self.shard, self.pace.failures());
        match answer {
            Answer::Records { .. } => ReadAnswered.emit(),
            Answer::IteratorExpired if *next == Next::Renew => IteratorExpired { shard }.emit(),
            Answer::Throttled => {
                ReadThrottled { shard, failures, retry_after, warn: self.quiet.may_warn(now) }.emit();
            }
            Answer::Failed | Answer::IteratorExpired => {
                if let Some(error) = error {
                    let warn = self.quiet.may_warn(now);
                    ReadFailing { shard, kind: error.kind, error, failures, retry_after, warn }.emit();
                }
            }
        }
    }
}
