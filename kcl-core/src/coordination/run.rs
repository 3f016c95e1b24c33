//! The loop that obeys the coordinator: makes its calls, starts its consumers, tells what happened.

use super::coordinator::{Coordinator, Event, Step};
use super::effects::{Answer, Answered, Call, CallId, Failure, Op, Refusal};
use super::stream_removal::Elsewhere;
use super::streams::Change;
use crate::clock::Clock;
use crate::coordination::event::CallEnded;
use crate::error::Error;
use crate::lease::{Consistency, LeaseStore, Row, RowKey, StoreError, StoreErrorKind};
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

/// Calls under way at once; heartbeats do not wait for room.
const MOST_CALLS: usize = 128;
/// A description of a stream acquires milliseconds; the next question comes anyway.
const DESCRIBE_TIMEOUT: Duration = Duration::from_secs(5);
/// DynamoDB's bound for one batch.
const KEYS_A_READ: usize = 100;
/// Batches of one read that are under way at once: more rows take longer, not more of the table's capacity at a time.
const MOST_BATCHES: usize = 8;
/// Sleeps are no longer, so that a machine that was suspended looks at its clock soon after it wakes.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// What a user asks of a running worker.
#[derive(Debug)]
pub(crate) enum Ask {
    /// To stop within that time; a second one means at once.
    Shutdown(Duration),
    /// Something about its streams, of several. Told once it is done.
    Change(Change, oneshot::Sender<Elsewhere>),
}

/// The coordination's way to the streams.
pub(crate) trait StreamApis: std::fmt::Debug + Send + Sync + 'static {
    /// One of several, or the only one; `None` where it is not served any more.
    fn api(&self, stream: Option<&StreamId>) -> Option<Arc<dyn StreamApi>>;
}

/// What the coordination works with.
#[derive(Debug)]
pub(crate) struct Outside {
    pub(crate) store: Arc<dyn LeaseStore>,
    pub(crate) streams: Arc<dyn StreamApis>,
    pub(crate) consumers: Arc<dyn StartConsumer>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) reports: UnboundedReceiver<Report>,
    pub(crate) asked: UnboundedReceiver<Ask>,
}

/// Coordinates until the worker is done.
///
/// # Cancellation
/// Dropping the future leaves everything as it is: the session ends when the fleet has seen it silent.
pub(crate) async fn run(mut coordinator: Coordinator, mut outside: Outside) -> Result<(), Error> {
    let mut flying: FuturesUnordered<BoxFuture<'static, Answered>> = FuturesUnordered::new();
    let mut waiting: VecDeque<Call> = VecDeque::new();
    let mut leaving: BTreeMap<StreamId, oneshot::Sender<Elsewhere>> = BTreeMap::new();
    let mut describing: FuturesUnordered<BoxFuture<'static, Event>> = FuturesUnordered::new();
    let mut step = coordinator.begin(outside.clock.now());
    loop {
        let Step { calls, start, happened, describe, stopped, finished } = step;
        for happening in happened {
            happening.emit();
        }
        for delivery in start {
            outside.consumers.start(delivery);
        }
        for (stream, elsewhere) in stopped {
            // Who gave up waiting is not told.
            let _ = leaving.remove(&stream).map(|told| told.send(elsewhere));
        }
        let call_timeout = coordinator.call_timeout();
        for call in calls {
            if call.part == CallId::Session {
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
        if let Some(outcome) = finished {
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
                        Change::Stop { stream, .. } => drop(leaving.insert(stream.clone(), done)),
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

/// Asks how long a stream keeps records, which may be changed at any time. Without an answer what is known holds until the
/// next question.
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

/// One attempt of a call. Its failure is told by what it went to, not for itself: calls are repeated.
fn make(call: Call, call_timeout: Duration, outside: &Outside) -> BoxFuture<'static, Answered> {
    let Call { part, life, op } = call;
    let (store, streams, clock) = (outside.store.clone(), outside.streams.clone(), outside.clock.clone());
    async move {
        let sent = clock.now();
        let (within, to_table) = match op {
            Op::Page { within, .. } => (Some(within), true),
            // Each page has a deadline of its own, however many there are.
            Op::List(..) => (None, false),
            Op::Write(_) | Op::Scan => (Some(call_timeout), true),
            // Each batch has the time of a call.
            Op::Read(ref keys, _) | Op::ReadSome(ref keys, _) => (Some(call_timeout * rounds(keys.len())), true),
        };
        let answer = answer(op, store.as_ref(), streams.as_ref(), call_timeout);
        let answer = match within {
            Some(within) => tokio::time::timeout(within, answer).await.map_err(|_| within),
            None => Ok(answer.await),
        };
        let (answer, failed) = match answer {
            Ok(Ok(answer)) => (answer, None),
            Ok(Err(Failed { failure, outcome, error })) => (Answer::Failed(failure), Some((outcome, error))),
            Err(within) => {
                let error = format!("no answer within {} s", within.as_secs_f64());
                (Answer::Failed(Failure::Unanswered), Some(("unanswered", error)))
            }
        };
        CallEnded { to_table, failed: failed.as_ref().map(|(outcome, error)| (*outcome, error.as_str())) }.emit();
        Answered { part, life, sent, answer }
    }
    .boxed()
}

/// A call that failed, for the coordinator and for the log.
struct Failed {
    failure: Failure,
    outcome: &'static str,
    error: String,
}

async fn answer(
    op: Op,
    store: &dyn LeaseStore,
    streams: &dyn StreamApis,
    call_timeout: Duration,
) -> Result<Answer, Failed> {
    match op {
        Op::Write(write) => store.write(&write).await.map(Answer::Written).map_err(of_store),
        Op::Read(keys, consistency) => match batches(&keys, consistency, store, call_timeout).await {
            Batches { rows, failed: None } => Ok(Answer::Rows(rows)),
            Batches { failed: Some(failed), .. } => Err(failed),
        },
        Op::ReadSome(keys, consistency) => match batches(&keys, consistency, store, call_timeout).await {
            Batches { rows, failed: Some(failed) } if rows.is_empty() => Err(failed),
            Batches { rows, .. } => Ok(Answer::Rows(rows)),
        },
        Op::Page { after, rows, .. } => store.scan_page(after.as_ref(), rows).await.map(Answer::Page).map_err(of_store),
        // The coordinator asks for pages instead.
        Op::Scan => store.scan().await.map(Answer::Table).map_err(of_store),
        Op::List(stream, which) => match streams.api(stream.as_ref()) {
            Some(api) => pages::list(api.as_ref(), which, || ()).await.map(Answer::Listing).map_err(of_stream),
            // It is not served any more: nobody waits for this.
            None => Ok(Answer::Failed(Failure::Unanswered)),
        },
    }
}

/// What batches of a read came to: the rows of those that were answered, in the order asked, and why others were not.
struct Batches {
    rows: Vec<Option<Row>>,
    failed: Option<Failed>,
}

/// Several batches at once, each within the time of a call. One that fails acquires nothing from the others.
async fn batches(keys: &[RowKey], consistency: Consistency, store: &dyn LeaseStore, call_timeout: Duration) -> Batches {
    let batch = |keys| batch(keys, consistency, store, call_timeout).boxed();
    let calls: Vec<BoxFuture<'_, Result<Vec<Option<Row>>, Failed>>> = keys.chunks(KEYS_A_READ).map(batch).collect();
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
) -> Result<Vec<Option<Row>>, Failed> {
    match tokio::time::timeout(call_timeout, store.read(keys, consistency)).await {
        Ok(answer) => answer.map_err(of_store),
        Err(_) => {
            let error = format!("no answer within {} s", call_timeout.as_secs_f64());
            Err(Failed { failure: Failure::Unanswered, outcome: "unanswered", error })
        }
    }
}

/// How many times as long as one call so many keys may take.
fn rounds(keys: usize) -> u32 {
    if keys <= KEYS_A_READ {
        return 1;
    }
    // And once more, so that the time of the last batches is up before the time of all.
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
