//! The loop that obeys the coordinator: makes its calls, starts its consumers, tells what happened.

use super::coordinator::{Coordinator, Event, Step};
use super::effects::{Answer, Answered, Call, Failure, Op, Part, Refusal};
use crate::clock::Clock;
use crate::error::{Code, Error};
use crate::lease::{Consistency, LeaseStore, Row, RowKey, StoreError, StoreErrorKind};
use crate::processor::{Report, StartConsumer};
use crate::shard::{ApiError, ApiErrorKind, StreamApi};
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedReceiver;

/// Calls under way at once; beats do not wait for room.
const MOST_CALLS: usize = 128;
/// A read of everything takes many pages: it is given up after so long without an answer.
const LONG_CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// A list of shards has a page a thousand of them.
const LIST_TIMEOUT: Duration = Duration::from_secs(5);
/// DynamoDB's bound for one batch.
const KEYS_A_READ: usize = 100;
/// Sleeps are no longer, so that a machine that was suspended looks at its clock soon after it wakes.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// What the coordination works with.
#[derive(Debug)]
pub(crate) struct Outside {
    pub(crate) store: Arc<dyn LeaseStore>,
    pub(crate) stream: Arc<dyn StreamApi>,
    pub(crate) consumers: Arc<dyn StartConsumer>,
    pub(crate) clock: Arc<dyn Clock>,
    /// A call of one row without an answer after so long is given up. It may still be applied.
    pub(crate) call_timeout: Duration,
    pub(crate) reports: UnboundedReceiver<Report>,
    /// Each message asks to stop within that time; a second one means at once.
    pub(crate) shutdown: UnboundedReceiver<Duration>,
}

/// Coordinates until the worker is done.
///
/// # Cancellation
/// Dropping the future leaves everything as it is: the session ends when the fleet has seen it silent.
pub(crate) async fn run(mut coordinator: Coordinator, mut outside: Outside) -> Result<(), Error> {
    let mut flying: FuturesUnordered<BoxFuture<'static, Answered>> = FuturesUnordered::new();
    let mut waiting: VecDeque<Call> = VecDeque::new();
    let mut step = coordinator.begin(outside.clock.now());
    loop {
        let Step { calls, start, happened, finished } = step;
        for happening in happened {
            happening.emit();
        }
        for delivery in start {
            outside.consumers.start(delivery);
        }
        for call in calls {
            if call.part == Part::Session { flying.push(make(call, &outside)) } else { waiting.push_back(call) }
        }
        while flying.len() < MOST_CALLS
            && let Some(call) = waiting.pop_front()
        {
            flying.push(make(call, &outside));
        }
        if let Some(outcome) = finished {
            return outcome;
        }
        let now = outside.clock.now();
        let sleep = coordinator.next_due().map_or(LONGEST_SLEEP, |due| due.since(now).min(LONGEST_SLEEP));
        let event = tokio::select! {
            biased;
            Some(within) = outside.shutdown.recv() => Event::Shutdown { within },
            Some(answered) = flying.next(), if !flying.is_empty() => Event::Answered(Box::new(answered)),
            Some(report) = outside.reports.recv() => Event::Report(report),
            () = tokio::time::sleep(sleep) => Event::Due,
        };
        step = coordinator.step(event, outside.clock.now());
    }
}

/// One attempt of a call.
fn make(call: Call, outside: &Outside) -> BoxFuture<'static, Answered> {
    let Call { part, life, op } = call;
    let (store, stream, clock) = (outside.store.clone(), outside.stream.clone(), outside.clock.clone());
    let call_timeout = outside.call_timeout;
    async move {
        let sent = clock.now();
        let within = match op {
            Op::Scan => LONG_CALL_TIMEOUT,
            Op::List(_) => LIST_TIMEOUT,
            Op::Write(_) | Op::Read(..) => call_timeout,
        };
        let answer = match tokio::time::timeout(within, answer(op, store.as_ref(), stream.as_ref())).await {
            Ok(answer) => answer,
            Err(_) => Answer::Failed(Failure::Unanswered),
        };
        Answered { part, life, sent, answer }
    }
    .boxed()
}

async fn answer(op: Op, store: &dyn LeaseStore, stream: &dyn StreamApi) -> Answer {
    match op {
        Op::Write(write) => store.write(&write).await.map_or_else(of_store, Answer::Written),
        Op::Read(keys, consistency) => read(&keys, consistency, store).await.map_or_else(of_store, Answer::Rows),
        Op::Scan => store.scan().await.map_or_else(of_store, Answer::Table),
        Op::List(which) => stream.list_shards(which).await.map_or_else(of_stream, Answer::Listing),
    }
}

async fn read(
    keys: &[RowKey],
    consistency: Consistency,
    store: &dyn LeaseStore,
) -> Result<Vec<Option<Row>>, StoreError> {
    let mut rows = Vec::with_capacity(keys.len());
    for keys in keys.chunks(KEYS_A_READ) {
        rows.extend(store.read(keys, consistency).await?);
    }
    Ok(rows)
}

fn of_store(error: StoreError) -> Answer {
    Answer::Failed(match error.kind {
        StoreErrorKind::Throttled => Failure::Throttled,
        StoreErrorKind::Unanswered => Failure::Unanswered,
        StoreErrorKind::Refused => Failure::Refused(Refusal { code: code_of(&error), message: error.message }),
    })
}

fn of_stream(error: ApiError) -> Answer {
    Answer::Failed(match error.kind {
        ApiErrorKind::Throttled => Failure::Throttled,
        ApiErrorKind::Unavailable | ApiErrorKind::NotReady => Failure::Unanswered,
        ApiErrorKind::NotFound | ApiErrorKind::Refused | ApiErrorKind::IteratorExpired => {
            Failure::Refused(Refusal { code: code_of(&error), message: error.message })
        }
    })
}

/// The page of what an AWS service refused.
#[cfg(feature = "aws")]
fn code_of(error: &(dyn std::error::Error + 'static)) -> Option<Code> {
    crate::aws::code_of(error)
}

#[cfg(not(feature = "aws"))]
fn code_of(_: &(dyn std::error::Error + 'static)) -> Option<Code> {
    None
}
