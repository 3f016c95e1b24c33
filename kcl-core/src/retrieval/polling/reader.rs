//! Executes the decisions of the machine: one call at a time, each with a deadline, paced, within
//! the byte budget.

use super::machine::{Event, Next, State, step};
use super::pace::{CallOutcome, LARGEST_RESPONSE};
use super::shard_limits::{SharedLimits, StreamLimits};
use crate::clock::Time;
use crate::config::PollingConfig;
use crate::config::timing::READ_CALL_DEADLINE;
use crate::record::{ShardId, StartingPosition};
use crate::retrieval::call_deadline::{PROBE_DEADLINE, UNANSWERED, with_deadline};
use crate::retrieval::event::reading::{EndInDoubt, IteratorExpired, ReadAnswered, ReadFailing, ReadThrottled};
use crate::retrieval::progress::Progress;
use crate::retrieval::{ByteBudget, Chunk, ReadError, Readers, Reservation, ShardReader};
use crate::shard::{ApiError, ApiErrorKind, EndEvidence, Fetched, ListWhich, StreamApi, pages};
use crate::stopwatch::Stopwatch;
use async_trait::async_trait;
use futures_util::future::BoxFuture;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Bytes of memory per byte of payload while a response is decoded: the text is in memory too,
/// base64 is a third longer than the payload, and the SDK concatenates a body before it parses it.
const WIRE: u64 = 3;
/// The memory that a record uses in addition to its payload: its numbers, its key, the list entry.
pub(in crate::retrieval) const OVERHEAD_PER_PART: u64 = 224;

/// The memory that the largest call needs. A shard that holds bytes leaves this much of the budget
/// for others.
pub(crate) const LARGEST_CALL: u64 = LARGEST_RESPONSE * WIRE;

const ITERATOR: &str = "GetShardIterator";

/// Returns the memory of `count` records with `bytes` of payload.
fn in_memory((count, bytes): (usize, u64)) -> u64 {
    bytes + count as u64 * OVERHEAD_PER_PART
}

/// Makes polling readers for one stream.
#[derive(Debug)]
pub(crate) struct PollingReaders {
    api: Arc<dyn StreamApi>,
    budget: ByteBudget,
    config: PollingConfig,
    rng: Mutex<fastrand::Rng>,
    origin: Instant,
    limits: Mutex<StreamLimits>,
}

impl PollingReaders {
    /// Creates readers that share this budget.
    pub(crate) fn new(api: Arc<dyn StreamApi>, budget: ByteBudget, config: PollingConfig, rng: fastrand::Rng) -> Self {
        PollingReaders { api, budget, config, rng: Mutex::new(rng), origin: Instant::now(), limits: Mutex::default() }
    }
}

impl Readers for PollingReaders {
    fn open(&self, shard: &ShardId, from: StartingPosition, fetching: Arc<Stopwatch>) -> Box<dyn ShardReader> {
        let rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner).fork();
        let now = Time::from_origin(self.origin.elapsed());
        let mut limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        Box::new(PollingReader {
            api: Arc::clone(&self.api),
            shard: shard.clone(),
            budget: self.budget.clone(),
            progress: Progress::from(&from),
            state: State::NeedIterator { from },
            evidence: EndEvidence::default(),
            limits: limits.begin(shard, self.config, now),
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
    limits: SharedLimits,
    rng: fastrand::Rng,
    origin: Instant,
    /// Runs while a call is unanswered.
    fetching: Arc<Stopwatch>,
}

#[async_trait]
impl ShardReader for PollingReader {
    async fn next(&mut self) -> Result<Chunk, ReadError> {
        loop {
            let not_before = self.origin + self.limits.lock().not_before.since(Time::ZERO);
            if Instant::now() < not_before {
                sleep_until(not_before).await;
            }
            let mut reservation = match self.state {
                State::Ready { .. } => {
                    let largest = self.limits.lock().pace.largest_response(self.now());
                    self.budget.reserve(&self.shard, largest * WIRE).await
                }
                State::NeedIterator { .. } | State::EndInDoubt { .. } | State::Ended { .. } => Reservation::default(),
            };
            let (sent, limit) = (self.now(), self.limits.lock().batch_size.records());
            self.fetching.begin();
            let (event, error) = match self.call(limit).await {
                Ok(event) => (event, None),
                Err(error) => (Event::Failed(error.kind), Some(error)),
            };
            if self.is_progress(&event) {
                self.fetching.end();
            }
            // No await after this point: if this future is dropped, the response is either accepted
            // and returned, or neither.
            let outcome = outcome(&event, limit);
            let records =
                if let Some(CallOutcome::Records { count, bytes, .. }) = outcome { (count, bytes) } else { (0, 0) };
            reservation.settle(in_memory(records));
            if let State::Ready { .. } = self.state {
                self.adjust_batch_size(outcome, sent);
            }
            let state = std::mem::replace(&mut self.state, State::Ended { children: Vec::new() });
            let (state, next) = step(&self.shard, state, event, &mut self.evidence);
            self.state = state;
            self.record_outcome(&next, outcome, error.as_ref(), sent);
            match (next, error) {
                (Next::Deliver { records, millis_behind_latest, end }, _) => {
                    return Ok(Chunk { records, millis_behind_latest, end, reservation, ..Chunk::default() });
                }
                (Next::Fail, Some(source)) => return Err(ReadError { shard: self.shard.clone(), source }),
                (Next::Pause { pause, report }, _) => {
                    self.pause(pause);
                    if let Some((doubt, lasted)) = report {
                        EndInDoubt { shard: &self.shard, doubt, lasted }.emit();
                    }
                }
                // The caller retries. After this time it is an outage that the owner must know of.
                (Next::BackOff, Some(source))
                    if source.kind == ApiErrorKind::Unavailable && self.fetching.elapsed() >= UNANSWERED =>
                {
                    return Err(ReadError { shard: self.shard.clone(), source });
                }
                (Next::Fail | Next::RenewIterator | Next::BackOff | Next::Continue, _) => {}
            }
        }
    }
}

impl PollingReader {
    fn now(&self) -> Time {
        Time::from_origin(self.origin.elapsed())
    }

    /// True if a response shows that the shard can be read, or that reading fails for another
    /// reason than a missing response.
    fn is_progress(&mut self, event: &Event) -> bool {
        match event {
            // Every attempt starts with a new iterator, so one alone shows nothing.
            Event::Iterator(_) | Event::Failed(ApiErrorKind::Unavailable) => false,
            Event::Fetched(Fetched { records, millis_behind_latest, next_iterator, children }) => {
                let ended = next_iterator.is_none() && !children.is_empty();
                self.progress.is_new(records, *millis_behind_latest, ended)
            }
            Event::Listed(..) | Event::Failed(_) => true,
        }
    }

    /// Makes the call that the state requires.
    async fn call(&self, limit: u32) -> Result<Event, ApiError> {
        let (operation, deadline, call): (_, _, BoxFuture<'_, Result<Event, ApiError>>) = match &self.state {
            State::NeedIterator { from } => (
                ITERATOR,
                PROBE_DEADLINE,
                Box::pin(async { self.api.shard_iterator(&self.shard, from).await.map(Event::Iterator) }),
            ),
            State::Ready { from, iterator } => {
                if self.fetching.elapsed() >= READ_CALL_DEADLINE {
                    self.probe(from).await?;
                }
                let get = Box::pin(async { self.api.get_records(iterator, limit).await.map(Event::Fetched) });
                ("GetRecords", READ_CALL_DEADLINE, get)
            }
            State::EndInDoubt { .. } => {
                // Each page has its own deadline, and is progress.
                let on_page = || {
                    self.fetching.end();
                    self.fetching.begin();
                };
                let listing = pages::list(self.api.as_ref(), ListWhich::All, on_page).await?;
                return Ok(Event::Listed(listing, self.now()));
            }
            // No call is needed: the machine returns the end again for every event.
            State::Ended { .. } => return Ok(Event::Fetched(Fetched::default())),
        };
        with_deadline(deadline, || format!("{operation} for shard `{}`", self.shard), call).await
    }

    /// Makes a small call to a service that has not answered recently. A full response may take
    /// [`READ_CALL_DEADLINE`] on a slow connection, so GetRecords cannot have a shorter deadline.
    /// But a GetRecords call that was lost in an outage would block the shard for that long after
    /// its end.
    async fn probe(&self, from: &StartingPosition) -> Result<(), ApiError> {
        let what = || format!("{ITERATOR} for shard `{}`", self.shard);
        match with_deadline(PROBE_DEADLINE, what, self.api.shard_iterator(&self.shard, from)).await {
            Err(error) if error.kind == ApiErrorKind::Unavailable => Err(error),
            // Any other error shows that the service responds.
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Sends no call for about `pause`. The jitter keeps the readers of many shards from calling at
    /// the same time.
    fn pause(&mut self, pause: Duration) {
        let not_before = self.now() + pause.mul_f64(0.8 + 0.4 * self.rng.f64());
        let mut limits = self.limits.lock();
        limits.not_before = limits.not_before.max(not_before);
    }

    /// Adjusts how many records the next call requests.
    fn adjust_batch_size(&self, outcome: Option<CallOutcome>, sent: Time) {
        let took = self.now().since(sent);
        match outcome {
            Some(CallOutcome::Records { count, .. }) => self.limits.lock().batch_size.received(count, took),
            Some(CallOutcome::Failed) => self.limits.lock().batch_size.timed_out(took),
            Some(CallOutcome::Throttled | CallOutcome::IteratorExpired | CallOutcome::PositionRefused) | None => {}
        }
    }

    /// Sets when the next call may be sent, and emits telemetry about the outcome.
    fn record_outcome(&mut self, next: &Next, outcome: Option<CallOutcome>, error: Option<&ApiError>, sent: Time) {
        // GetShardIterator does not count against the shard's read limits. An inconclusive list
        // must not be repeated without a pause.
        let Some(outcome) = outcome.or((*next == Next::BackOff).then_some(CallOutcome::Failed)) else { return };
        let now = self.now();
        let mut limits = self.limits.lock();
        let not_before = limits.pace.record(outcome, sent, now, &mut self.rng);
        // After "not found" the shards are listed at once, and a pause follows the list. Both
        // pauses together would delay the shard by more than 5 s after an outage.
        if *next != Next::Continue {
            limits.not_before = not_before;
        }
        let retry_after = limits.not_before.since(now);
        let (shard, failures) = (&self.shard, limits.pace.failures());
        match outcome {
            CallOutcome::Records { .. } => ReadAnswered { shard }.emit(),
            CallOutcome::IteratorExpired if *next == Next::RenewIterator => IteratorExpired { shard }.emit(),
            CallOutcome::Throttled => {
                ReadThrottled { shard, failures, retry_after }.emit();
            }
            CallOutcome::Failed | CallOutcome::IteratorExpired | CallOutcome::PositionRefused => {
                if let Some(error) = error {
                    ReadFailing { shard, kind: error.kind, error, failures, retry_after }.emit();
                }
            }
        }
    }
}

/// Returns the outcome that the pace counts for an event.
fn outcome(event: &Event, limit: u32) -> Option<CallOutcome> {
    match event {
        Event::Fetched(fetched) => Some(CallOutcome::Records {
            count: fetched.records.len(),
            bytes: fetched.records.iter().map(|record| record.data.len() as u64).sum(),
            full: fetched.records.len() >= limit as usize,
            behind: fetched.millis_behind_latest,
        }),
        Event::Failed(ApiErrorKind::Throttled) => Some(CallOutcome::Throttled),
        Event::Failed(ApiErrorKind::IteratorExpired) => Some(CallOutcome::IteratorExpired),
        Event::Failed(
            ApiErrorKind::NotFound
            | ApiErrorKind::NotReady
            | ApiErrorKind::Denied
            | ApiErrorKind::Refused
            | ApiErrorKind::StartAhead
            | ApiErrorKind::Unavailable,
        ) => Some(CallOutcome::Failed),
        Event::Failed(ApiErrorKind::PositionRefused) => Some(CallOutcome::PositionRefused),
        Event::Iterator(_) | Event::Listed(..) => None,
    }
}
