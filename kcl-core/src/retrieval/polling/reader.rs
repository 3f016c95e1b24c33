//! The loop that obeys the machine: one call at a time, each with a deadline, paced, within the byte budget.

use super::machine::{Event, Next, State, step};
use super::pace::{Answer, LARGEST_ANSWER};
use super::shard_limits::{OfShard, OfStream};
use crate::clock::Time;
use crate::config::Settings;
use crate::record::{ShardId, StartingPosition};
use crate::retrieval::call::{CALL_DEADLINE, PROBE_DEADLINE, UNANSWERED, in_time_of};
use crate::retrieval::progress::Progress;
use crate::retrieval::{ByteBudget, Chunk, ReadError, Readers, Reservation, ShardReader};
use crate::shard::{ApiError, ApiErrorKind, EndEvidence, Fetched, ListWhich, StreamApi, pages};
use crate::stopwatch::Stopwatch;
use crate::telemetry::event::reading::{EndInDoubt, IteratorExpired, ReadAnswered, ReadFailing, ReadThrottled};
use async_trait::async_trait;
use futures_util::future::BoxFuture;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// While an answer is decoded its text is in memory too: base64 is a third longer than what it says, and the SDK puts
/// the pieces of a body together before it reads it.
const WIRE: u64 = 3;
/// What a record acquires beside its payload: its numbers, its key, the place in a list.
pub(in crate::retrieval) const OVERHEAD_PER_PART: u64 = 224;

/// What the largest call needs: what a shard that holds something leaves for others.
pub(crate) const LARGEST_CALL: u64 = LARGEST_ANSWER * WIRE;

const ITERATOR: &str = "GetShardIterator";

/// So many records with so much payload.
fn in_memory((count, bytes): (usize, u64)) -> u64 {
    bytes + count as u64 * OVERHEAD_PER_PART
}

/// Makes polling readers for one stream.
#[derive(Debug)]
pub(crate) struct PollingReaders {
    api: Arc<dyn StreamApi>,
    budget: ByteBudget,
    settings: Settings,
    rng: Mutex<fastrand::Rng>,
    origin: Instant,
    shard_limits: Mutex<OfStream>,
}

impl PollingReaders {
    /// Readers that share this budget.
    pub(crate) fn new(api: Arc<dyn StreamApi>, budget: ByteBudget, settings: Settings, rng: fastrand::Rng) -> Self {
        PollingReaders {
            api,
            budget,
            settings,
            rng: Mutex::new(rng),
            origin: Instant::now(),
            shard_limits: Mutex::default(),
        }
    }
}

impl Readers for PollingReaders {
    fn open(&self, shard: &ShardId, from: StartingPosition, fetching: Arc<Stopwatch>) -> Box<dyn ShardReader> {
        let rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner).fork();
        let now = Time::from_origin(self.origin.elapsed());
        let mut shard_limits = self.shard_limits.lock().unwrap_or_else(PoisonError::into_inner);
        Box::new(PollingReader {
            api: Arc::clone(&self.api),
            shard: shard.clone(),
            budget: self.budget.clone(),
            progress: Progress::from(&from),
            state: State::NeedIterator { from },
            evidence: EndEvidence::default(),
            shard_limits: shard_limits.begin(shard, &self.settings, now),
            rng,
            origin: self.origin,
            fetching,
        })
    }
}

#[derive(Debug)]
struct PollingReader {
    api: Arc<dyn StreamApi>,
    shard: ShardId,
    budget: ByteBudget,
    state: State,
    progress: Progress,
    evidence: EndEvidence,
    shard_limits: OfShard,
    rng: fastrand::Rng,
    origin: Instant,
    /// Runs while no call is answered.
    fetching: Arc<Stopwatch>,
}

#[async_trait]
impl ShardReader for PollingReader {
    async fn next(&mut self) -> Result<Chunk, ReadError> {
        loop {
            let not_before = self.origin + self.shard_limits.lock().not_before.since(Time::ZERO);
            if Instant::now() < not_before {
                sleep_until(not_before).await;
            }
            let mut reservation = match self.state {
                State::Ready { .. } => {
                    let largest = self.shard_limits.lock().pace.largest_answer(self.now());
                    self.budget.reserve(&self.shard, largest * WIRE).await
                }
                State::NeedIterator { .. } | State::Doubting { .. } | State::Ended { .. } => Reservation::default(),
            };
            let (sent, limit) = (self.now(), self.shard_limits.lock().amount.records());
            self.fetching.begin();
            let (event, error) = match self.call(limit).await {
                Ok(event) => (event, None),
                Err(error) => (Event::Failed(error.kind), Some(error)),
            };
            if self.shows_progress(&event) {
                self.fetching.end();
            }
            // No await from here on: an answer is accepted and handed on, or, where this future is dropped, neither.
            let answer = answer(&event, limit);
            let records = if let Some(Answer::Records { count, bytes, .. }) = answer { (count, bytes) } else { (0, 0) };
            reservation.settle(in_memory(records));
            if let State::Ready { .. } = self.state {
                self.learn_amount(answer, sent);
            }
            let state = std::mem::replace(&mut self.state, State::Ended { children: Vec::new() });
            let (state, next) = step(&self.shard, state, event, &mut self.evidence);
            self.state = state;
            self.tell(&next, answer, error.as_ref(), sent);
            match (next, error) {
                (Next::Deliver { records, millis_behind_latest, end }, _) => {
                    return Ok(Chunk { records, millis_behind_latest, end, reservation, ..Chunk::default() });
                }
                (Next::GiveUp, Some(source)) => return Err(ReadError { shard: self.shard.clone(), source }),
                (Next::Pause { pause, report }, _) => {
                    self.pause(pause);
                    if let Some((doubt, lasted)) = report {
                        EndInDoubt { shard: &self.shard, doubt, lasted }.emit();
                    }
                }
                // Tried again by whoever gets it. From here on it is an outage that somebody should know of.
                (Next::BackOff, Some(source))
                    if source.kind == ApiErrorKind::Unavailable && self.fetching.elapsed() >= UNANSWERED =>
                {
                    return Err(ReadError { shard: self.shard.clone(), source });
                }
                (Next::GiveUp | Next::Renew | Next::BackOff | Next::GoOn, _) => {}
            }
        }
    }
}

impl PollingReader {
    fn now(&self) -> Time {
        Time::from_origin(self.origin.elapsed())
    }

    /// Whether an answer shows that the shard is read, or that what keeps it from being read is not that nobody answers.
    fn shows_progress(&mut self, event: &Event) -> bool {
        match event {
            // Every attempt begins with one.
            Event::Iterator(_) | Event::Failed(ApiErrorKind::Unavailable) => false,
            Event::Fetched(Fetched { records, millis_behind_latest, next_iterator, children }) => {
                let ended = next_iterator.is_none() && !children.is_empty();
                self.progress.is_shown_by(records, *millis_behind_latest, ended)
            }
            Event::Listed(..) | Event::Failed(_) => true,
        }
    }

    /// The call that the state asks for.
    async fn call(&self, limit: u32) -> Result<Event, ApiError> {
        let (operation, deadline, call): (_, _, BoxFuture<'_, Result<Event, ApiError>>) = match &self.state {
            State::NeedIterator { from } => (
                ITERATOR,
                PROBE_DEADLINE,
                Box::pin(async { self.api.shard_iterator(&self.shard, from).await.map(Event::Iterator) }),
            ),
            State::Ready { from, iterator } => {
                if self.fetching.elapsed() >= CALL_DEADLINE {
                    self.probe(from).await?;
                }
                let get = Box::pin(async { self.api.get_records(iterator, limit).await.map(Event::Fetched) });
                ("GetRecords", CALL_DEADLINE, get)
            }
            State::Doubting { .. } => {
                // Each page has a deadline of its own, and is progress.
                let on_page = || {
                    self.fetching.end();
                    self.fetching.begin();
                };
                let listing = pages::list(self.api.as_ref(), ListWhich::All, on_page).await?;
                return Ok(Event::Listed(listing, self.now()));
            }
            // Nothing is asked any more: the machine tells the end again, whatever the event.
            State::Ended { .. } => return Ok(Event::Fetched(Fetched::default())),
        };
        in_time_of(deadline, || format!("{operation} for shard `{}`", self.shard), call).await
    }

    /// Asks a service that did not answer lately for something small. A full answer may take [`CALL_DEADLINE`] on a slow line, so
    /// GetRecords cannot have a shorter one; but one that was lost in an outage would hold the shard for as long after its end.
    async fn probe(&self, from: &StartingPosition) -> Result<(), ApiError> {
        let what = || format!("{ITERATOR} for shard `{}`", self.shard);
        match in_time_of(PROBE_DEADLINE, what, self.api.shard_iterator(&self.shard, from)).await {
            Err(error) if error.kind == ApiErrorKind::Unavailable => Err(error),
            // Any other answer is an answer.
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// No call is sent for about so long: readers of many shards must not ask in step.
    fn pause(&mut self, pause: Duration) {
        let not_before = self.now() + pause.mul_f64(0.8 + 0.4 * self.rng.f64());
        let mut shard_limits = self.shard_limits.lock();
        shard_limits.not_before = shard_limits.not_before.max(not_before);
    }

    /// Sets how many records the next call asks for.
    fn learn_amount(&self, answer: Option<Answer>, sent: Time) {
        let took = self.now().since(sent);
        match answer {
            Some(Answer::Records { count, .. }) => self.shard_limits.lock().amount.came(count, took),
            Some(Answer::Failed) => self.shard_limits.lock().amount.did_not_come(took),
            Some(Answer::Throttled | Answer::IteratorExpired | Answer::PositionRefused) | None => {}
        }
    }

    /// Sets when the next call may be sent, and says what happened.
    fn tell(&mut self, next: &Next, answer: Option<Answer>, error: Option<&ApiError>, sent: Time) {
        // An iterator costs nothing; a list of shards that settled nothing must not be asked for in a loop.
        let Some(answer) = answer.or((*next == Next::BackOff).then_some(Answer::Failed)) else { return };
        let now = self.now();
        let mut shard_limits = self.shard_limits.lock();
        shard_limits.not_before = shard_limits.pace.answered(answer, sent, now, &mut self.rng);
        let retry_after = shard_limits.not_before.since(now);
        let (shard, failures) = (&self.shard, shard_limits.pace.failures());
        match answer {
            Answer::Records { .. } => ReadAnswered { shard }.emit(),
            Answer::IteratorExpired if *next == Next::Renew => IteratorExpired { shard }.emit(),
            Answer::Throttled => {
                ReadThrottled { shard, failures, retry_after }.emit();
            }
            Answer::Failed | Answer::IteratorExpired | Answer::PositionRefused => {
                if let Some(error) = error {
                    ReadFailing { shard, kind: error.kind, error, failures, retry_after }.emit();
                }
            }
        }
    }
}

/// The event, as the pace counts it.
fn answer(event: &Event, limit: u32) -> Option<Answer> {
    match event {
        Event::Fetched(fetched) => Some(Answer::Records {
            count: fetched.records.len(),
            bytes: fetched.records.iter().map(|record| record.data.len() as u64).sum(),
            full: fetched.records.len() >= limit as usize,
            behind: fetched.millis_behind_latest,
        }),
        Event::Failed(ApiErrorKind::Throttled) => Some(Answer::Throttled),
        Event::Failed(ApiErrorKind::IteratorExpired) => Some(Answer::IteratorExpired),
        Event::Failed(
            ApiErrorKind::NotFound
            | ApiErrorKind::NotReady
            | ApiErrorKind::Denied
            | ApiErrorKind::Refused
            | ApiErrorKind::Unavailable,
        ) => Some(Answer::Failed),
        Event::Failed(ApiErrorKind::PositionRefused) => Some(Answer::PositionRefused),
        Event::Iterator(_) | Event::Listed(..) => None,
    }
}
