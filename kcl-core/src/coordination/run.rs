//! Executes the coordinator's commands: makes its calls, starts its consumers, emits its events.

use super::call::{Answer, Answered, Call, CallId, Failure, Op, Refusal, Reply, Rows};
use super::coordinator::{Coordinator, Event, Step};
use super::stream_removal::Elsewhere;
use super::streams::Change;
use crate::clock::Clock;
use crate::coordination::event::CallEnded;
use crate::error::Error;
use crate::lease::{Consistency, LeaseStore, RowKey, StoreError, StoreErrorKind};
use crate::processor::{Report, StartConsumer};
use crate::record::StreamId;
use crate::shard::{ApiError, ApiErrorKind, StreamApi, pages};
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;

/// Calls under way at once. Heartbeats are sent in addition: a late one would cost the session.
const MOST_CALLS: usize = 128;
/// A description of a stream takes milliseconds, and another one follows in any case.
const DESCRIBE_TIMEOUT: Duration = Duration::from_secs(5);
/// The most keys that DynamoDB accepts in one BatchGetItem.
const KEYS_A_READ: usize = 100;
/// Batches of one read that are under way at once, so that a large read does not use up the table's capacity.
const MOST_BATCHES: usize = 8;
/// No sleep is longer, so that a machine that was suspended reads its clock soon after it wakes.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// A user's request to a running worker.
#[derive(Debug)]
pub(crate) enum Ask {
    /// Stop within that time. Of several requests, the earliest deadline counts.
    Shutdown(Duration),
    /// Change the served streams, of several. The sender is used when the change is complete.
    Change(Change, oneshot::Sender<Elsewhere>),
}

/// Access to the streams.
pub(crate) trait StreamApis: std::fmt::Debug + Send + Sync + 'static {
    /// One of several streams, or the only one; `None` if it is no longer served.
    fn api(&self, stream: Option<&StreamId>) -> Option<Arc<dyn StreamApi>>;
}

/// The services and channels that the coordinator works with.
#[derive(Debug)]
pub(crate) struct Outside {
    pub(crate) store: Arc<dyn LeaseStore>,
    pub(crate) streams: Arc<dyn StreamApis>,
    pub(crate) consumers: Arc<dyn StartConsumer>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) reports: UnboundedReceiver<Report>,
    pub(crate) asked: UnboundedReceiver<Ask>,
}

/// Runs the coordinator until the worker has ended.
///
/// # Cancellation
/// Dropping the future leaves the table as it is: the fleet fences the session when its heartbeat is stale.
pub(crate) async fn run(mut coordinator: Coordinator, mut outside: Outside) -> Result<(), Error> {
    let mut flying: FuturesUnordered<BoxFuture<'static, Answered>> = FuturesUnordered::new();
    let mut waiting: VecDeque<Call> = VecDeque::new();
    let mut removals: BTreeMap<StreamId, oneshot::Sender<Elsewhere>> = BTreeMap::new();
    let mut describing: FuturesUnordered<BoxFuture<'static, Event>> = FuturesUnordered::new();
    let mut step = coordinator.begin(outside.clock.now());
    loop {
        let Step { calls, start, events, describe, removed, outcome } = step;
        for event in events {
            event.emit();
        }
        for delivery in start {
            outside.consumers.start(delivery);
        }
        for (stream, elsewhere) in removed {
            // Ignore the error: the receiver was dropped.
            let _ = removals.remove(&stream).map(|done| done.send(elsewhere));
        }
        let call_timeout = coordinator.call_timeout();
        for call in calls {
            if call.id == CallId::Session {
                flying.push(make(call, call_timeout, &outside));
            } else {
                waiting.push_back(call);
            }
        }
        while flying.len() < MOST_CALLS
            && let Some(call) = waiting.pop_front()
        {
            flying.push(make(call, call_timeout, &outside));
        }
        describing.extend(describe.map(|stream| retention_of(stream, &outside)));
        if let Some(outcome) = outcome {
            return outcome;
        }
        let now = outside.clock.now();
        let sleep = coordinator.next_due().map_or(LONGEST_SLEEP, |due| due.since(now).min(LONGEST_SLEEP));
        let event = tokio::select! {
            biased;
            Some(ask) = outside.asked.recv() => match ask {
                Ask::Shutdown(within) => Event::Shutdown { within },
                Ask::Change(change, done) => {
                    match &change {
                        Change::Stop { stream, .. } => drop(removals.insert(stream.clone(), done)),
                        Change::Serve(_) | Change::Missing(_) => drop(done.send(Elsewhere::NotAsked)),
                    }
                    Event::Change(change)
                }
            },
            Some(answered) = flying.next(), if !flying.is_empty() => Event::Answered(Box::new(answered)),
            Some(event) = describing.next(), if !describing.is_empty() => event,
            Some(report) = outside.reports.recv() => Event::Report(report),
            () = tokio::time::sleep(sleep) => Event::Due,
        };
        step = coordinator.step(event, outside.clock.now());
    }
}

/// Reads how long a stream keeps records. Without an answer, the known retention is used until the next description.
fn retention_of(stream: Option<StreamId>, outside: &Outside) -> BoxFuture<'static, Event> {
    let api = outside.streams.api(stream.as_ref());
    async move {
        let Some(api) = api else { return Event::Due };
        match tokio::time::timeout(DESCRIBE_TIMEOUT, api.describe()).await {
            Ok(Ok(description)) => Event::Retention { stream, retention: description.retention() },
            Ok(Err(_)) | Err(_) => Event::Due,
        }
    }
    .boxed()
}

/// Makes one attempt of a call. Its failure moves the metrics and the outage log of the service; it has no log line of
/// its own, as calls are repeated.
fn make(call: Call, call_timeout: Duration, outside: &Outside) -> BoxFuture<'static, Answered> {
    let Call { id, generation, op } = call;
    let (store, streams, clock) = (outside.store.clone(), outside.streams.clone(), outside.clock.clone());
    async move {
        let sent = clock.now();
        let to_table = !matches!(op, Op::List(..));
        let (answer, failed) = answer(op, store.as_ref(), streams.as_ref(), call_timeout).await;
        CallEnded { to_table, failed: failed.as_ref().map(|(outcome, error)| (*outcome, error.as_str())) }.emit();
        Answered { id, generation, sent, answer }
    }
    .boxed()
}

/// A call that failed, for the coordinator and for the log.
struct Failed {
    failure: Failure,
    outcome: &'static str,
    error: String,
}

impl Failed {
    fn unanswered(within: Duration) -> Self {
        let error = format!("no answer within {} s", within.as_secs_f64());
        Failed { failure: Failure::Unanswered, outcome: "unanswered", error }
    }
}

/// The outcome and error of a failed call, for the log.
type Logged = Option<(&'static str, String)>;

/// An answer to an operation, with its failure for the log.
async fn answer(op: Op, store: &dyn LeaseStore, streams: &dyn StreamApis, call_timeout: Duration) -> (Answer, Logged) {
    match op {
        Op::Write(write) => {
            let call = async { store.write(&write).await.map_err(of_store) };
            answered(timed(call_timeout, call).await, Answer::Written)
        }
        Op::Read(keys, consistency) => {
            let call = async {
                match batches(&keys, consistency, store, call_timeout).await {
                    Batches { rows, failed: None } => Ok(rows),
                    Batches { failed: Some(failed), .. } => Err(failed),
                }
            };
            answered(timed(call_timeout * rounds(keys.len()), call).await, Answer::Rows)
        }
        Op::ReadSome(keys, consistency) => {
            let call = async {
                match batches(&keys, consistency, store, call_timeout).await {
                    Batches { rows, failed: Some(failed) } if rows.is_empty() => Err(failed),
                    Batches { rows, .. } => Ok(rows),
                }
            };
            answered(timed(call_timeout * rounds(keys.len()), call).await, Answer::Rows)
        }
        Op::Page { after, rows, within } => {
            let call = async { store.scan_page(after.as_ref(), rows).await.map_err(of_store) };
            answered(timed(within, call).await, Answer::Page)
        }
        Op::List(stream, which) => match streams.api(stream.as_ref()) {
            // No timeout: each page of a list has its own.
            Some(api) => answered(pages::list(api.as_ref(), which, || ()).await.map_err(of_stream), Answer::Listing),
            // The stream is no longer served, and no component waits for its list.
            None => (Answer::Listing(Err(Failure::Unanswered)), None),
        },
    }
}

async fn timed<T>(within: Duration, call: impl Future<Output = Result<T, Failed>>) -> Result<T, Failed> {
    tokio::time::timeout(within, call).await.unwrap_or_else(|_| Err(Failed::unanswered(within)))
}

fn answered<T>(result: Result<T, Failed>, kind: fn(Reply<T>) -> Answer) -> (Answer, Logged) {
    match result {
        Ok(answer) => (kind(Ok(answer)), None),
        Err(Failed { failure, outcome, error }) => (kind(Err(failure)), Some((outcome, error))),
    }
}

/// The result of a read in batches: the rows of the batches that were answered, in the order asked for, and why another
/// batch failed.
struct Batches {
    rows: Rows,
    failed: Option<Failed>,
}

/// Makes several batches at once, each within the timeout of a call. One that fails does not affect the others.
async fn batches(keys: &[RowKey], consistency: Consistency, store: &dyn LeaseStore, call_timeout: Duration) -> Batches {
    let batch = |keys| batch(keys, consistency, store, call_timeout).boxed();
    let calls: Vec<BoxFuture<'_, Result<Rows, Failed>>> = keys.chunks(KEYS_A_READ).map(batch).collect();
    let mut read = Batches { rows: Vec::with_capacity(keys.len()), failed: None };
    let mut calls = futures_util::stream::iter(calls).buffered(MOST_BATCHES);
    while let Some(batch) = calls.next().await {
        match batch {
            Ok(rows) => read.rows.extend(rows),
            Err(failed) => read.failed = Some(failed),
        }
    }
    read
}

async fn batch(
    keys: &[RowKey],
    consistency: Consistency,
    store: &dyn LeaseStore,
    call_timeout: Duration,
) -> Result<Rows, Failed> {
    timed(call_timeout, async { store.read(keys, consistency).await.map_err(of_store) }).await
}

/// The timeout of a read of this many keys, in timeouts of one call.
fn rounds(keys: usize) -> u32 {
    if keys <= KEYS_A_READ {
        return 1;
    }
    // One more, so that the last batches time out before the whole read does.
    u32::try_from(keys.div_ceil(KEYS_A_READ * MOST_BATCHES) + 1).unwrap_or(u32::MAX)
}

fn of_store(error: StoreError) -> Failed {
    let (failure, outcome) = match error.kind {
        StoreErrorKind::Throttled => (Failure::Throttled, "throttled"),
        StoreErrorKind::Unanswered => (Failure::Unanswered, "unanswered"),
        StoreErrorKind::Refused => {
            let refusal = Refusal { code: error.code, message: error.message.clone(), missing: false };
            (Failure::Refused(refusal), "refused")
        }
    };
    Failed { failure, outcome, error: error.message }
}

fn of_stream(error: ApiError) -> Failed {
    let (failure, outcome) = match error.kind {
        ApiErrorKind::Throttled => (Failure::Throttled, "throttled"),
        ApiErrorKind::Unavailable | ApiErrorKind::NotReady => (Failure::Unanswered, "unanswered"),
        ApiErrorKind::NotFound
        | ApiErrorKind::Denied
        | ApiErrorKind::Refused
        | ApiErrorKind::PositionRefused
        | ApiErrorKind::StartAhead
        | ApiErrorKind::IteratorExpired => {
            let missing = error.kind == ApiErrorKind::NotFound;
            let refusal = Refusal { code: error.code, message: error.message.clone(), missing };
            (Failure::Refused(refusal), "refused")
        }
    };
    Failed { failure, outcome, error: error.message }
}
