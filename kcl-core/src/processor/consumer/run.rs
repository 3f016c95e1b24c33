//! The loop that obeys the consumer's state: one callback at a time, each given up when the lease is.

use super::state::{Command, Event, State, Task, Verdict, step};
use crate::checkpoint::{Ticket, Watermark};
use crate::clock::Clock;
use crate::mutant::{self, Mutant};
use crate::processor::error_policy::{Cause, Decision, ErrorPolicy, Failure};
use crate::processor::{Batch, BoxError, Delivery, RecordProcessor, ReportKind, ShardContext};
use crate::retrieval::{Chunk, Prefetch, Reservation};
use crate::telemetry::event::processing::{
    BatchProcessed, ChunkReceived, ConsumerStarted, ConsumerStopped, DeliveryHeld, HandlerFailed, HandlerPanicked,
    ReadRefused, ShardEndReached,
};
use futures_util::FutureExt;
use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// How often a batch that waits for the session looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// How long `lease_lost` may take. The shard may come back to this worker, and that waits for the old processor.
const LEASE_LOST_GRACE: Duration = Duration::from_secs(10);

/// Reports `Gone` when it is dropped. Shared by all that must be dropped before: the last one to go says it.
#[derive(Debug)]
pub(crate) struct LastWord(pub(crate) Arc<Delivery>);

impl Drop for LastWord {
    fn drop(&mut self) {
        self.0.report(ReportKind::Gone);
    }
}

/// The batch that is being handled.
struct Loaded {
    batch: Batch,
    bytes: usize,
    ticket: Ticket,
    /// Free again with the batch.
    _reservation: Reservation,
}

/// One shard's consumer. Fields are dropped in this order: the last word comes last.
pub(crate) struct Consumer<P> {
    processor: P,
    loaded: Option<Loaded>,
    chunks: Prefetch,
    watermark: Watermark,
    context: ShardContext,
    delivery: Arc<Delivery>,
    rules: Rules,
    _last_word: Arc<LastWord>,
}

/// What a consumer decides by.
#[derive(Debug)]
pub(crate) struct Rules {
    /// What happens when a callback fails.
    pub(crate) policy: Arc<dyn ErrorPolicy>,
    /// Tells how long things took.
    pub(crate) clock: Arc<dyn Clock>,
    /// For jitter.
    pub(crate) rng: fastrand::Rng,
}

/// How a callback came back.
enum Called {
    Done,
    GateShut,
    Closed,
    Failed(Cause),
}

impl<P: RecordProcessor> Consumer<P> {
    pub(crate) fn new(
        processor: P,
        chunks: Prefetch,
        context: ShardContext,
        delivery: Arc<Delivery>,
        rules: Rules,
        last_word: Arc<LastWord>,
    ) -> Self {
        Consumer {
            processor,
            loaded: None,
            chunks,
            watermark: Watermark::default(),
            context,
            delivery,
            rules,
            _last_word: last_word,
        }
    }

    /// Works until the shard, the lease or the patience of the policy ends.
    pub(crate) async fn run(mut self) {
        let delivery = Arc::clone(&self.delivery);
        let (shard, fencing_token) = (&delivery.shard, delivery.fencing_token);
        ConsumerStarted { shard, fencing_token, from: &delivery.from }.emit();
        let mut state = State::begin();
        let why = loop {
            let event = match &state {
                State::Stopped(why) => break *why,
                State::Working(Task::Read, _) => self.read(&state).await,
                State::Working(Task::Process { .. }, _) => self.process(&state).await,
                State::Working(Task::Initialize, _) => {
                    let called = attend(&delivery, async { self.processor.initialize(&self.context).await }).await;
                    self.told(&state, called, "initialize")
                }
                State::Working(Task::End { .. }, _) => {
                    let called = attend(&delivery, async { self.processor.shard_ended(&self.context).await }).await;
                    self.told(&state, called, "shard_ended")
                }
                State::Draining => {
                    let called =
                        attend(&delivery, async { self.processor.shutdown_requested(&self.context).await }).await;
                    self.told(&state, called, "shutdown_requested")
                }
                State::Losing(_) => self.lose(&state).await,
                State::Holding { .. } => hold(&delivery).await,
                State::Retrying(_, _, after) => wait(&delivery, *after).await,
            };
            delivery.stages.process.end();
            let (next, commands) = step(state, event);
            for command in commands {
                self.obey(command);
            }
            state = next;
        };
        ConsumerStopped { shard, fencing_token, why: why.as_str() }.emit();
    }

    /// The next chunk.
    async fn read(&mut self, state: &State) -> Event {
        let chunk = tokio::select! {
            biased;
            () = self.delivery.closed() => return Event::Closed,
            () = self.delivery.drain_asked() => return Event::DrainAsked,
            chunk = self.chunks.next() => chunk,
        };
        match chunk {
            None => Event::ReaderGone,
            Some(Ok(chunk)) => self.load(chunk),
            Some(Err(error)) => self.judge(state, "read", Cause::Read(error)),
        }
    }

    fn load(&mut self, chunk: Chunk) -> Event {
        let Chunk { records, millis_behind_latest, end, reservation } = chunk;
        let shard = &self.delivery.shard;
        ChunkReceived { shard, records: records.len(), millis_behind_latest }.emit();
        let last = records.last().map(crate::record::Record::position);
        if let Some(last) = &last {
            if mutant::is(Mutant::AcknowledgesEarly) {
                self.delivery.acknowledge(last.clone());
            }
            self.loaded = Some(Loaded {
                bytes: records.iter().map(|record| record.data.len()).sum(),
                ticket: self.watermark.delivered(last.clone()),
                batch: Batch::new(records, millis_behind_latest),
                _reservation: reservation,
            });
        }
        Event::Chunk { records: last.is_some(), end }
    }

    async fn process(&mut self, state: &State) -> Event {
        let Some(Loaded { batch, bytes, .. }) = &self.loaded else { return Event::Done };
        let (delivery, processor, context) = (&self.delivery, &mut self.processor, &self.context);
        let began = self.rules.clock.now();
        let mut shut = false;
        let handler = async {
            // No await between this answer and the call (I1).
            if !delivery.is_open() {
                shut = true;
                return Ok(());
            }
            delivery.stages.acknowledge.begin();
            processor.process_records(batch, context).await
        };
        let called = attend(delivery, handler).await;
        let called = if shut && matches!(called, Called::Done) { Called::GateShut } else { called };
        match called {
            Called::Done => {
                delivery.count_handled(*bytes);
                let took = self.rules.clock.now().since(began);
                BatchProcessed { shard: &delivery.shard, records: batch.len(), bytes: *bytes, took }.emit();
            }
            Called::GateShut => {
                DeliveryHeld { shard: &delivery.shard, fencing_token: delivery.fencing_token }.emit();
            }
            Called::Closed | Called::Failed(_) => {}
        }
        self.told(state, called, "process_records")
    }

    async fn lose(&mut self, state: &State) -> Event {
        let farewell = async {
            self.processor.lease_lost(&self.context).await;
            Ok(())
        };
        let called = match timeout(LEASE_LOST_GRACE, caught(farewell)).await {
            Ok(called) => called,
            Err(_) => Called::Failed(Cause::Error(format!("not done after {LEASE_LOST_GRACE:?}").into())),
        };
        self.told(state, called, "lease_lost")
    }

    fn told(&mut self, state: &State, called: Called, callback: &'static str) -> Event {
        match called {
            Called::Done => Event::Done,
            Called::GateShut => Event::GateShut,
            Called::Closed => Event::Closed,
            Called::Failed(cause) => self.judge(state, callback, cause),
        }
    }

    /// What follows a failure; every one of them is told.
    fn judge(&mut self, state: &State, callback: &'static str, cause: Cause) -> Event {
        let now = self.rules.clock.now();
        let failures = state.failures().and_one(now);
        let (shard, attempt, age) = (&self.delivery.shard, failures.count, failures.age(now));
        let verdict = if matches!(state, State::Draining | State::Losing(_)) {
            Verdict::MoveOn
        } else {
            match self.rules.policy.decide(&Failure { shard, cause: &cause, attempt, age }) {
                Decision::Retry { within } => Verdict::Retry(within.mul_f64(self.rules.rng.f64())),
                Decision::StopShard => Verdict::StopShard,
                Decision::StopWorker => Verdict::StopWorker,
            }
        };
        let next = &verdict;
        let reason = match &cause {
            Cause::Error(error) => {
                HandlerFailed { shard, callback, error, attempt, age, next }.emit();
                format!("`{callback}` for shard `{shard}` failed {attempt} times within {age:?}, at last with: {error}")
            }
            Cause::Panic(message) => {
                HandlerPanicked { shard, callback, message, attempt, age, next }.emit();
                format!("`{callback}` for shard `{shard}` panicked (attempt {attempt}, within {age:?}): {message}")
            }
            Cause::Read(error) => {
                ReadRefused { shard, error, attempt, next }.emit();
                error.to_string()
            }
        };
        Event::Failed { failures, verdict, reason }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Acknowledge => {
                self.delivery.stages.acknowledge.end();
                if let Some(position) = self.loaded.take().and_then(|done| self.watermark.acknowledged(done.ticket)) {
                    self.delivery.acknowledge(position);
                }
            }
            Command::Report(kind) => {
                if let ReportKind::Ended(children) = &kind {
                    // I6. With one batch at a time there is no way here with one open.
                    debug_assert!(self.watermark.is_complete() || mutant::is(Mutant::EndsUnacknowledged));
                    ShardEndReached { shard: &self.delivery.shard, children: children.len() }.emit();
                }
                self.delivery.report(kind);
            }
        }
    }
}

/// Waits until the gate is open; whether it still is when the batch is handed over is asked again then.
async fn hold(delivery: &Delivery) -> Event {
    loop {
        let event = wait(delivery, LOOK_AGAIN).await;
        if event != Event::Due || delivery.is_open() {
            return event;
        }
    }
}

/// Waits without a callback running.
async fn wait(delivery: &Delivery, how_long: Duration) -> Event {
    tokio::select! {
        biased;
        () = delivery.closed() => Event::Closed,
        () = delivery.drain_asked() => Event::DrainAsked,
        () = sleep(how_long) => Event::Due,
    }
}

/// Runs a callback until it is done or the delivery is closed, which drops it.
async fn attend(delivery: &Delivery, callback: impl Future<Output = Result<(), BoxError>>) -> Called {
    delivery.stages.process.begin();
    tokio::select! {
        biased;
        () = delivery.closed() => Called::Closed,
        called = caught(callback) => called,
    }
}

/// Runs a callback; a panic is an error like any other. (Callers make the user's future inside of `callback`, as that may
/// panic too.) The processor is used again afterwards: what it left half done
/// is its own to mend, as after an error.
async fn caught(callback: impl Future<Output = Result<(), BoxError>>) -> Called {
    match AssertUnwindSafe(callback).catch_unwind().await {
        Ok(Ok(())) => Called::Done,
        Ok(Err(error)) => Called::Failed(Cause::Error(error)),
        Err(panic) => Called::Failed(Cause::Panic(message(panic.as_ref()))),
    }
}

/// What a panic said.
pub(crate) fn message(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}
