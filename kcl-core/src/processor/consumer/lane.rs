//! The loop that obeys a lane's state: one callback at a time, each given up when the lease is.

use super::call::{Called, attend, bounded};
use super::disposition::UnreadParked;
use super::piece::Numbers;
use super::source::{Next, Source};
use super::state::{Command, Event, Failures, State, Task, Verdict, step};
use super::stored::{self, Answer};
use super::work_item::{WorkItem, passed_failure};
use super::{LastWord, Rules};
use crate::clock::Time;
use crate::error::Code;
use crate::processor::dead_letter::DeadLetter;
use crate::processor::delivery::{ReportKind, ShardDelivery};
use crate::processor::failure::Cause;
use crate::processor::handle::{HandleSet, HandleSink, Returned};
use crate::processor::{Batch, BoxError, RecordProcessor, ShardContext};
use crate::record::StreamIdentity;
use crate::telemetry::Scope;
use crate::telemetry::event::delivery::{DeadLettered, FailedAfterCommit, RecordJoined};
use crate::telemetry::event::processing::{
    BatchProcessed, ConsumerStarted, ConsumerStopped, DeliveryHeld, ShardEndReached,
};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{sleep, sleep_until};
use tracing::{Instrument, Span};

/// How often a batch that waits for the session looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// How long `lease_lost` may take. The shard may come back to this worker, and that waits for the old processor.
const LEASE_LOST_GRACE: Duration = Duration::from_secs(10);

/// One lane of a shard's consumer. Fields are dropped in this order: the last word comes last.
pub(super) struct Lane<P> {
    pub(super) processor: P,
    pub(super) index: usize,
    /// What was taken and not finished, in order.
    pub(super) todo: VecDeque<WorkItem>,
    /// The records at hand.
    pub(super) loaded: Option<WorkItem>,
    /// Handles that came back.
    returned: mpsc::UnboundedReceiver<Returned>,
    returns: mpsc::UnboundedSender<Returned>,
    /// What handlers took the handles of, and are not done with.
    open: Vec<Arc<HandleSet>>,
    /// When what is parked is tried again.
    pub(super) resume_at: Option<tokio::time::Instant>,
    /// Parked records that could not be read again.
    pub(super) unread_parked: UnreadParked,
    pub(super) source: Arc<Source>,
    pub(super) context: ShardContext,
    pub(super) delivery: Arc<ShardDelivery>,
    pub(super) rules: Rules,
    _last_word: Arc<LastWord>,
}

/// What was taken, with regard to keys that are parked.
struct Sorted {
    /// What is next.
    now: Option<WorkItem>,
    /// What comes after it.
    later: Option<WorkItem>,
    /// Whether the first record of what comes after it, whose key is parked, finds room there.
    has_room: bool,
}

impl<P: RecordProcessor> Lane<P> {
    pub(super) fn new(
        processor: P,
        index: usize,
        source: Arc<Source>,
        context: ShardContext,
        delivery: Arc<ShardDelivery>,
        rules: Rules,
        last_word: Arc<LastWord>,
    ) -> Self {
        let (returns, returned) = mpsc::unbounded_channel();
        Lane {
            processor,
            index,
            todo: VecDeque::new(),
            loaded: None,
            returned,
            returns,
            open: Vec::new(),
            resume_at: None,
            unread_parked: UnreadParked::default(),
            source,
            context,
            delivery,
            rules,
            _last_word: last_word,
        }
    }

    /// Works until the shard, the lease or the patience of the policy ends.
    pub(super) async fn run(mut self) {
        let delivery = Arc::clone(&self.delivery);
        let (shard, fencing_token, lane) = (delivery.shard(), delivery.fencing_token(), self.index);
        ConsumerStarted { shard, lane, fencing_token, from: &delivery.hold.from }.emit();
        if delivery.has_parked() {
            // By an earlier owner.
            self.resume_later();
        }
        let mut state = State::begin();
        let why = loop {
            let event = match &state {
                State::Stopped(why) => break *why,
                State::Working(Task::Read, _) => self.read(&state).await,
                State::Working(Task::Process, _) => self.process(&state).await,
                State::Working(Task::DeadLetter, _) => self.dead_letter(&state).await,
                State::Working(Task::Initialize, _) => {
                    delivery.stages.process.begin(lane);
                    let span = self.span_of("initialize");
                    let initialize = async { self.processor.initialize(&self.context).await };
                    let called = attend(&delivery, None, initialize.instrument(span)).await;
                    self.told(&state, called, "initialize")
                }
                State::Working(Task::End { .. }, _) => {
                    delivery.stages.process.begin(lane);
                    let span = self.span_of("shard_ended");
                    let ended = async { self.processor.shard_ended(&self.context).await };
                    let called = attend(&delivery, None, ended.instrument(span)).await;
                    self.told(&state, called, "shard_ended")
                }
                State::Draining => self.say_goodbye(&state).await,
                State::Losing(_) => self.lose(&state).await,
                State::Holding(_) => hold(&delivery).await,
                State::Retrying(_, _, after) => wait(&delivery, *after).await,
            };
            delivery.stages.process.end(lane);
            let (next, commands) = step(state, event);
            for command in commands {
                self.obey(command);
            }
            state = next;
        };
        ConsumerStopped { shard, lane, fencing_token, why: why.as_str() }.emit();
    }

    // --- what is next

    async fn read(&mut self, state: &State) -> Event {
        // What waits for room in quarantine must not hold up what makes room.
        if self.resume_at.take_if(|at| *at <= tokio::time::Instant::now()).is_some() {
            self.delivery.resume_parked();
        }
        let resumed = self.todo.front().is_some_and(|todo| matches!(todo.piece.numbers, Numbers::Parked));
        if !resumed && let Some(wanted) = self.wished() {
            if let Some(reason) = self.cannot_fulfil(wanted.0) {
                return self.refuse_wish(&wanted.1, reason.to_owned());
            }
            let record = tokio::select! {
                biased;
                () = self.delivery.closed() => return Event::Closed,
                () = self.delivery.drain_asked() => return Event::DrainAsked,
                record = (self.rules.read_again)(wanted.1.clone()) => record,
            };
            return self.take_up(wanted, record);
        }
        if let Some(todo) = self.todo.pop_front() {
            return self.load(state, todo);
        }
        let look_at = self.look_at();
        let next = tokio::select! {
            biased;
            () = self.delivery.closed() => return Event::Closed,
            () = self.delivery.drain_asked() => return Event::DrainAsked,
            Some(returned) = self.returned.recv() => return self.take_back(returned),
            () = sleep_until(look_at.unwrap_or_else(tokio::time::Instant::now)), if look_at.is_some() => {
                return Event::Due;
            }
            next = self.source.next(self.index) => next,
        };
        match next {
            Next::Batch(piece) => self.load(state, WorkItem::new(piece)),
            Next::Nothing => Event::Nothing,
            Next::Changed => Event::Due,
            Next::End(children) => Event::End(children),
            Next::Failed(failed) => self.judge_read(failed),
            Next::ReaderGone => Event::ReaderGone,
        }
    }

    /// When something that is parked is due.
    fn look_at(&self) -> Option<tokio::time::Instant> {
        let unread = self.unread_parked.not_before.filter(|_| self.delivery.has_parked());
        self.resume_at.into_iter().chain(unread).min()
    }

    /// What was taken is at hand, but for records whose key is parked.
    fn load(&mut self, state: &State, todo: WorkItem) -> Event {
        let Sorted { now, later, has_room } = self.without_parked(todo);
        if let Some(later) = later {
            self.todo.push_front(later);
        }
        if !has_room {
            return self.no_room(state.failures());
        }
        let Some(todo) = now else { return Event::Nothing };
        let failures = todo.failures;
        self.loaded = Some(todo);
        Event::Batch(failures)
    }

    /// The records up to the first whose key is parked, and those after it; that one joins its key.
    fn without_parked(&self, mut todo: WorkItem) -> Sorted {
        while todo.piece.len() > 0 && !matches!(todo.piece.numbers, Numbers::Parked) && self.delivery.has_parked() {
            let parked = self.delivery.parked();
            let is_parked = |index: &usize| {
                let key = todo.piece.records.get(*index).and_then(|record| record.partition_key.as_deref());
                key.is_some() && parked.iter().any(|parked| parked.key.as_deref() == key)
            };
            match todo.piece.range.clone().find(is_parked) {
                None => break,
                Some(index) if index > todo.piece.range.start => {
                    let (now, later) = todo.piece.split(index - todo.piece.range.start);
                    let later = WorkItem { piece: later, tries: todo.tries, ..WorkItem::new(todo.piece.clone()) };
                    let now = Some(WorkItem { piece: now, ..todo });
                    return Sorted { now, later: Some(later), has_room: true };
                }
                Some(index) => {
                    let Some((record, number)) = todo.piece.records.get(index).zip(todo.piece.number(index)) else {
                        break;
                    };
                    let key = record.partition_key.as_deref().unwrap_or_default();
                    match self.delivery.join_parked(key, record.position(), number..number + 1) {
                        Err(_) => return Sorted { now: None, later: Some(todo), has_room: false },
                        Ok(false) => continue,
                        Ok(true) => RecordJoined { shard: self.delivery.shard(), position: &record.position() }.emit(),
                    }
                    todo.piece = todo.piece.part(index + 1..todo.piece.range.end);
                }
            }
        }
        Sorted { now: (todo.piece.len() > 0).then_some(todo), later: None, has_room: true }
    }

    /// A handle came back.
    fn take_back(&mut self, returned: Returned) -> Event {
        match returned {
            Returned::AllSettled => self.open.retain(|ledger| ledger.is_open()),
            Returned::Failed { piece, cause } => {
                self.todo.push_back(WorkItem { failed: Some(cause), tries: 1, ..WorkItem::new(piece) });
            }
        }
        Event::Due
    }

    // --- handing over

    async fn process(&mut self, state: &State) -> Event {
        let Some(todo) = &mut self.loaded else { return Event::Nothing };
        if let Some(cause) = todo.failed.take() {
            return self.judge(state, "acknowledgement", cause);
        }
        if todo.condemned.is_some() {
            return self.execute(state);
        }
        todo.tries = todo.tries.saturating_add(1);
        let unasked = mutated!(DeliversOnceMore) && todo.tries == 1;
        if let Some(corrupt) = todo.piece.corrupt {
            return self.judge(state, "aggregate", Cause::Error(Box::new(corrupt)));
        }
        let (piece, delivery, lane) = (todo.piece.clone(), &self.delivery, self.index);
        let (delivered, returned) = (Arc::clone(delivery), self.returns.clone());
        let (records, range) = (Arc::clone(&piece.records), piece.range.clone());
        let to = HandleSink { piece: piece.clone(), delivery: delivered, returned };
        let ledger = HandleSet::new(Arc::clone(&records), range.clone(), to, self.rules.store.is_some());
        let batch = Batch::of(records, range, piece.millis_behind_latest, Arc::clone(&ledger));
        let end = piece.range.clone().filter_map(|index| piece.number(index)).max();
        let (began, span) = (self.rules.clock.now(), self.span_of("process_records"));
        let (processor, context, mut shut) = (&mut self.processor, &self.context, false);
        delivery.stages.process.begin(lane);
        let handler = async {
            // No await between this answer and the call (I1).
            if !delivery.is_open() && !unasked {
                shut = true;
                return Ok(());
            }
            if let Some(last) = end {
                delivery.hand_over(last + 1);
            }
            processor.process_records(&batch, context).await
        };
        let called = attend(delivery, self.rules.handler_timeout, handler.instrument(span)).await;
        let called = if shut && matches!(called, Called::Done) { Called::GateShut } else { called };
        if matches!(called, Called::Done | Called::Failed(_)) && ledger.was_refused() {
            return self.misused(state, "the handler took handles");
        }
        match &called {
            Called::Done => {
                let bytes = piece.bytes();
                delivery.count_handled(bytes);
                let took = self.rules.clock.now().since(began);
                BatchProcessed { shard: delivery.shard(), records: batch.len(), bytes, took }.emit();
                if ledger.is_taken() {
                    self.open.push(ledger);
                    self.loaded = None;
                }
            }
            Called::GateShut => {
                DeliveryHeld { shard: delivery.shard(), fencing_token: delivery.fencing_token() }.emit();
            }
            Called::Failed(_) => {
                if let Some(left) = ledger.revoke()
                    && let Some(todo) = self.loaded.take()
                {
                    self.loaded = Some(todo.only(&left));
                }
            }
            Called::Closed => {}
        }
        match called {
            Called::Failed(cause) if self.rules.store.is_some() => self.failed_beside_store(state, cause).await,
            called @ (Called::Done | Called::GateShut | Called::Closed | Called::Failed(_)) => {
                self.told(state, called, "process_records")
            }
        }
    }

    /// A handler that keeps its position in a store failed, perhaps after a commit: the store says which records are done.
    async fn failed_beside_store(&mut self, state: &State, cause: Cause) -> Event {
        let stored = match stored::position(&self.delivery, &self.rules).await {
            Answer::At(stored) => stored,
            Answer::DrainAsked => return Event::DrainAsked,
            Answer::Closed => return Event::Closed,
        };
        let (Some(todo), Some(stored)) = (&mut self.loaded, stored) else {
            return self.judge(state, "process_records", cause);
        };
        if let Some(failed) = passed_failure(&cause, &todo.piece, &stored) {
            let what = format!("the handler named record {failed} as failed after the store's position passed it");
            return self.misused(state, &what);
        }
        let done = todo.piece.slice().partition_point(|record| record.position() <= stored);
        if done == 0 {
            return self.judge(state, "process_records", cause);
        }
        let (done, rest) = todo.piece.split(done);
        done.settle_all(&self.delivery);
        FailedAfterCommit { shard: self.delivery.shard(), records: done.len(), error: &cause }.emit();
        if rest.len() == 0 {
            self.loaded = None;
            return Event::Done;
        }
        todo.piece = rest;
        self.judge_after(Failures::default(), state, "process_records", cause)
    }

    /// The handler does what cannot be done with a checkpoint store without skipping a record.
    fn misused(&self, state: &State, what: &str) -> Event {
        let reason = format!(
            "shard `{}`: {what}, and the worker has a checkpoint store: a store keeps one position, so this would skip \
             records. Yield the outcome to `advance` before the commit, or write failed records to a table of dead letters \
             in the same transaction and return `Ok(())`",
            self.delivery.shard()
        );
        Event::Failed { failures: state.failures(), verdict: Verdict::Misused, reason }
    }

    /// Hands the record at hand to the sink. Whatever it answers, the policy is not asked: the record waits for the sink.
    async fn dead_letter(&mut self, state: &State) -> Event {
        let (Some(todo), Some(sink)) = (&self.loaded, &self.rules.sink) else {
            let reason = "the error policy gave a record up, and there is no dead-letter sink".to_owned();
            return Event::Failed {
                failures: state.failures(),
                verdict: Verdict::StopWorker(Code::StoppedByPolicy),
                reason,
            };
        };
        let Some(record) = todo.piece.slice().first() else { return Event::Nothing };
        let (stream, shard) = (self.context.stream().clone(), self.delivery.shard().clone());
        let error = todo.condemned.as_ref().map(|sentence| sentence.error.clone()).unwrap_or_default();
        let id = self.context.stream_identity().and_then(StreamIdentity::id);
        let letter = DeadLetter::new(stream, id, shard, record.clone(), todo.tries, error);
        self.delivery.stages.process.begin(self.index);
        let put = async { sink.put(&letter).await }.instrument(self.span_of("dead_letter"));
        let called = attend(&self.delivery, self.rules.sink_timeout, put).await;
        if let Called::Done = called {
            DeadLettered {
                shard: &letter.shard,
                position: &record.position(),
                attempts: todo.tries,
                error: &letter.error,
            }
            .emit();
        }
        self.told(state, called, "dead_letter")
    }

    async fn say_goodbye(&mut self, state: &State) -> Event {
        // What handlers took away may still be acknowledged.
        let settled = async {
            while self.open.iter().any(|ledger| ledger.is_open()) {
                if self.returned.recv().await.is_none() {
                    break;
                }
            }
            Ok::<(), BoxError>(())
        };
        if let Called::Closed = attend(&self.delivery, None, settled).await {
            return Event::Closed;
        }
        if self.loaded.is_some() {
            stored::catch_up(&self.delivery, &self.rules).await;
        }
        self.delivery.stages.process.begin(self.index);
        let span = self.span_of("shutdown_requested");
        let farewell = async { self.processor.shutdown_requested(&self.context).await };
        let called = attend(&self.delivery, None, farewell.instrument(span)).await;
        self.told(state, called, "shutdown_requested")
    }

    async fn lose(&mut self, state: &State) -> Event {
        let span = self.span_of("lease_lost");
        let farewell = async {
            self.processor.lease_lost(&self.context).await;
            Ok(())
        };
        let called = bounded(Some(LEASE_LOST_GRACE), farewell.instrument(span)).await;
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

    pub(super) fn now(&self) -> Time {
        self.rules.clock.now()
    }

    /// A span for a call of the user's code, so that its log lines say which shard they are about.
    fn span_of(&self, callback: &'static str) -> Span {
        Scope::current().span_of_callback(callback, self.delivery.shard())
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Acknowledge => {
                let Some(todo) = self.loaded.take() else { return };
                if todo.condemned.is_some() {
                    todo.piece.settle_all(&self.delivery);
                } else {
                    self.handled(&todo.piece, todo.piece.range.clone());
                }
            }
            Command::Drained => {
                if self.source.lane_drained() {
                    self.delivery.report(ReportKind::Drained);
                }
            }
            Command::Ended(children) => {
                if !self.source.lane_ended() {
                    return;
                }
                if self.rules.manual {
                    self.delivery.acknowledge_all();
                }
                ShardEndReached { shard: self.delivery.shard(), children: children.len() }.emit();
                self.delivery.report(ReportKind::Ended(children));
            }
            Command::GiveUp { reason, stops_with } => {
                self.delivery.report(ReportKind::GaveUp { reason, stops_with });
            }
        }
    }
}

/// Waits until the gate is open; whether it still is when the batch is handed over is asked again then.
async fn hold(delivery: &ShardDelivery) -> Event {
    loop {
        let event = wait(delivery, LOOK_AGAIN).await;
        if event != Event::Due || delivery.is_open() {
            return event;
        }
    }
}

/// Waits without a callback running.
async fn wait(delivery: &ShardDelivery, how_long: Duration) -> Event {
    tokio::select! {
        biased;
        () = delivery.closed() => Event::Closed,
        () = delivery.drain_asked() => Event::DrainAsked,
        () = sleep(how_long) => Event::Due,
    }
}
