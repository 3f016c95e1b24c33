//! Runs a lane's state machine: one callback at a time, each cancelled when the lease is lost.

use super::call::{CallOutcome, call_until_closed, call_within};
use super::disposition::RereadRetry;
use super::source::{Source, SourceEvent};
use super::state::{Command, Event, FailureAction, Failures, State, Task, step};
use super::stored::{self, Answer};
use super::work_item::{WorkItem, passed_failure};
use super::{ConsumerConfig, ReportGone};
use crate::clock::Time;
use crate::error::Code;
use crate::processor::dead_letter::DeadLetter;
use crate::processor::delivery::{ReportKind, ShardDelivery};
use crate::processor::event::delivery::{DeadLettered, FailedAfterCommit, RecordJoined};
use crate::processor::event::processing::{
    BatchProcessed, ConsumerStarted, ConsumerStopped, DeliveryHeld, ShardEndReached,
};
use crate::processor::failure::Cause;
use crate::processor::handle::{HandleSet, HandleSink, Returned};
use crate::processor::record_slice::AckIds;
use crate::processor::{Batch, BoxError, RecordProcessor, ShardContext};
use crate::record::StreamIdentity;
use crate::telemetry::Scope;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{sleep, sleep_until};
use tracing::{Instrument, Span};

/// How often a batch that waits for a closed delivery gate checks it again.
const GATE_POLL: Duration = Duration::from_millis(50);

/// How long `lease_lost` may take. The shard may come back to this worker, and its new processor
/// waits for the old one.
const LEASE_LOST_GRACE: Duration = Duration::from_secs(10);

/// One lane of a shard's consumer. Fields are dropped in this order, so that `Gone` is reported
/// last.
pub(super) struct Lane<P> {
    pub(super) processor: P,
    pub(super) index: usize,
    /// Work that was taken from the source and is not finished, in order.
    pub(super) queue: VecDeque<WorkItem>,
    /// The records that are being handled.
    pub(super) current: Option<WorkItem>,
    /// Reports of handles.
    returned: mpsc::UnboundedReceiver<Returned>,
    returns: mpsc::UnboundedSender<Returned>,
    /// Batches whose handles were taken and are not all used.
    open: Vec<Arc<HandleSet>>,
    /// When quarantined keys are retried.
    pub(super) resume_at: Option<tokio::time::Instant>,
    /// Retry state of reading quarantined records again.
    pub(super) reread_retry: RereadRetry,
    pub(super) source: Arc<Source>,
    pub(super) context: ShardContext,
    pub(super) delivery: Arc<ShardDelivery>,
    pub(super) config: ConsumerConfig,
    _report_gone: Arc<ReportGone>,
}

/// An item, split at the first record whose key is in quarantine.
struct QuarantineSplit {
    /// The records before it.
    now: Option<WorkItem>,
    /// The records from it on, or after it if it has joined the quarantine.
    later: Option<WorkItem>,
    /// Whether it finds room in quarantine.
    has_room: bool,
}

impl<P: RecordProcessor> Lane<P> {
    pub(super) fn new(
        processor: P,
        index: usize,
        source: Arc<Source>,
        context: ShardContext,
        delivery: Arc<ShardDelivery>,
        config: ConsumerConfig,
        report_gone: Arc<ReportGone>,
    ) -> Self {
        let (returns, returned) = mpsc::unbounded_channel();
        Lane {
            processor,
            index,
            queue: VecDeque::new(),
            current: None,
            returned,
            returns,
            open: Vec::new(),
            resume_at: None,
            reread_retry: RereadRetry::default(),
            source,
            context,
            delivery,
            config,
            _report_gone: report_gone,
        }
    }

    /// Runs until the shard ends, the lease is lost or released, or the policy stops.
    pub(super) async fn run(mut self) {
        let delivery = Arc::clone(&self.delivery);
        let (shard, fencing_token, lane) = (delivery.shard(), delivery.fencing_token(), self.index);
        ConsumerStarted { shard, lane, fencing_token, from: &delivery.claim.from }.emit();
        if delivery.has_quarantined() {
            // An earlier owner quarantined them.
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
                    let called = call_until_closed(&delivery, None, initialize.instrument(span)).await;
                    self.event_of(&state, called, "initialize")
                }
                State::Working(Task::End { .. }, _) => {
                    delivery.stages.process.begin(lane);
                    let span = self.span_of("shard_ended");
                    let ended = async { self.processor.shard_ended(&self.context).await };
                    let called = call_until_closed(&delivery, None, ended.instrument(span)).await;
                    self.event_of(&state, called, "shard_ended")
                }
                State::Draining => self.request_shutdown(&state).await,
                State::Losing(_) => self.notify_lease_lost(&state).await,
                State::GateClosed(_) => wait_for_gate(&delivery).await,
                State::Retrying(_, _, after) => wait(&delivery, *after).await,
            };
            delivery.stages.process.end(lane);
            let (next, commands) = step(state, event);
            for command in commands {
                self.execute(command);
            }
            state = next;
        };
        ConsumerStopped { shard, lane, fencing_token, why: why.as_str() }.emit();
    }

    // --- the next work

    async fn read(&mut self, state: &State) -> Event {
        // Resumed keys come before the queue: an item that waits for room in quarantine must not
        // block the keys that make room.
        if self.resume_at.take_if(|at| *at <= tokio::time::Instant::now()).is_some() {
            self.delivery.resume_quarantined();
        }
        let resumed = self.queue.front().is_some_and(|item| matches!(item.slice.ack_ids, AckIds::Quarantined));
        if !resumed && let Some(wanted) = self.next_requested() {
            if let Some(reason) = self.cannot_fulfil(wanted.0) {
                return self.refuse_request(&wanted.1, reason.to_owned());
            }
            let record = tokio::select! {
                biased;
                () = self.delivery.closed() => return Event::Closed,
                () = self.delivery.drain_requested() => return Event::DrainRequested,
                record = (self.config.reread)(wanted.1.clone()) => record,
            };
            return self.on_reread(wanted, record);
        }
        if let Some(item) = self.queue.pop_front() {
            return self.load(state, item);
        }
        let check_at = self.next_quarantine_check();
        let next = tokio::select! {
            biased;
            () = self.delivery.closed() => return Event::Closed,
            () = self.delivery.drain_requested() => return Event::DrainRequested,
            Some(returned) = self.returned.recv() => return self.on_returned(returned),
            () = sleep_until(check_at.unwrap_or_else(tokio::time::Instant::now)), if check_at.is_some() => {
                return Event::Due;
            }
            next = self.source.next(self.index) => next,
        };
        match next {
            SourceEvent::Batch(slice) => self.load(state, WorkItem::new(slice)),
            SourceEvent::Nothing => Event::Nothing,
            SourceEvent::Changed => Event::Due,
            SourceEvent::End(children) => Event::End(children),
            SourceEvent::Failed(failed) => self.on_failed_read(failed),
            SourceEvent::ReaderGone => Event::ReaderGone,
        }
    }

    /// When a quarantined key is to be retried.
    fn next_quarantine_check(&self) -> Option<tokio::time::Instant> {
        let unread = self.reread_retry.not_before.filter(|_| self.delivery.has_quarantined());
        self.resume_at.into_iter().chain(unread).min()
    }

    /// Makes an item the current one, without records whose key is in quarantine.
    fn load(&mut self, state: &State, item: WorkItem) -> Event {
        let QuarantineSplit { now, later, has_room } = self.split_by_quarantine(item);
        if let Some(later) = later {
            self.queue.push_front(later);
        }
        if !has_room {
            return self.quarantine_full(state.failures());
        }
        let Some(item) = now else { return Event::Nothing };
        let failures = item.failures;
        self.current = Some(item);
        Event::Batch(failures)
    }

    /// Splits an item at the first record whose key is in quarantine. If that is the item's first
    /// record, it joins its key there.
    fn split_by_quarantine(&self, mut item: WorkItem) -> QuarantineSplit {
        while item.slice.len() > 0
            && !matches!(item.slice.ack_ids, AckIds::Quarantined)
            && self.delivery.has_quarantined()
        {
            let parked = self.delivery.quarantined_keys();
            let is_parked = |index: &usize| {
                let key = item.slice.shared.get(*index).and_then(|record| record.partition_key.as_deref());
                key.is_some() && parked.iter().any(|parked| parked.key.as_deref() == key)
            };
            match item.slice.range.clone().find(is_parked) {
                None => break,
                Some(index) if index > item.slice.range.start => {
                    let (now, later) = item.slice.split(index - item.slice.range.start);
                    let later = WorkItem { slice: later, tries: item.tries, ..WorkItem::new(item.slice.clone()) };
                    let now = Some(WorkItem { slice: now, ..item });
                    return QuarantineSplit { now, later: Some(later), has_room: true };
                }
                Some(index) => {
                    let Some((record, number)) = item.slice.shared.get(index).zip(item.slice.ack_id(index)) else {
                        break;
                    };
                    let key = record.partition_key.as_deref().unwrap_or_default();
                    match self.delivery.join_quarantined(key, record.position(), number..number + 1) {
                        Err(_) => return QuarantineSplit { now: None, later: Some(item), has_room: false },
                        Ok(false) => continue,
                        Ok(true) => RecordJoined { shard: self.delivery.shard(), position: &record.position() }.emit(),
                    }
                    item.slice = item.slice.part(index + 1..item.slice.range.end);
                }
            }
        }
        QuarantineSplit { now: (item.slice.len() > 0).then_some(item), later: None, has_room: true }
    }

    /// Handles the report of a record handle.
    fn on_returned(&mut self, returned: Returned) -> Event {
        match returned {
            Returned::AllSettled => self.open.retain(|handles| handles.is_open()),
            Returned::Failed { slice, cause } => {
                self.queue.push_back(WorkItem { failed: Some(cause), tries: 1, ..WorkItem::new(slice) });
            }
        }
        Event::Due
    }

    // --- delivery

    async fn process(&mut self, state: &State) -> Event {
        let Some(item) = &mut self.current else { return Event::Nothing };
        if let Some(cause) = item.failed.take() {
            return self.on_failure(state, "acknowledgement", cause);
        }
        if item.disposition.is_some() {
            return self.apply_disposition(state);
        }
        item.tries = item.tries.saturating_add(1);
        let unasked = mutated!(DeliversOnceMore) && item.tries == 1;
        if let Some(corrupt) = item.slice.corrupt {
            return self.on_failure(state, "aggregate", Cause::Error(Box::new(corrupt)));
        }
        let (slice, delivery, lane) = (item.slice.clone(), &self.delivery, self.index);
        let (delivered, returned) = (Arc::clone(delivery), self.returns.clone());
        let (records, range) = (Arc::clone(&slice.shared), slice.range.clone());
        let to = HandleSink { slice: slice.clone(), delivery: delivered, returned };
        let handles = HandleSet::new(Arc::clone(&records), range.clone(), to, self.config.store.is_some());
        let batch = Batch::of(records, range, slice.millis_behind_latest, Arc::clone(&handles));
        let end = slice.range.clone().filter_map(|index| slice.ack_id(index)).max();
        let (began, span) = (self.config.clock.now(), self.span_of("process_records"));
        let (processor, context, mut gate_closed) = (&mut self.processor, &self.context, false);
        delivery.stages.process.begin(lane);
        let handler = async {
            // No await between this check and the call, so that no time passes in which the gate
            // could close (invariant I1, docs/protocol/sessions.md).
            if !delivery.is_open() && !unasked {
                gate_closed = true;
                return Ok(());
            }
            if let Some(last) = end {
                delivery.hand_over(last + 1);
            }
            processor.process_records(&batch, context).await
        };
        let called = call_until_closed(delivery, self.config.handler_timeout, handler.instrument(span)).await;
        let called = if gate_closed && matches!(called, CallOutcome::Done) { CallOutcome::GateClosed } else { called };
        if matches!(called, CallOutcome::Done | CallOutcome::Failed(_)) && handles.was_refused() {
            return self.store_misused(state, "the handler took handles");
        }
        match &called {
            CallOutcome::Done => {
                let bytes = slice.bytes();
                delivery.count_handled(bytes);
                let took = self.config.clock.now().since(began);
                BatchProcessed { shard: delivery.shard(), records: batch.len(), bytes, took }.emit();
                if handles.is_taken() {
                    self.open.push(handles);
                    self.current = None;
                }
            }
            CallOutcome::GateClosed => {
                DeliveryHeld { shard: delivery.shard(), fencing_token: delivery.fencing_token() }.emit();
            }
            CallOutcome::Failed(_) => {
                if let Some(left) = handles.revoke()
                    && let Some(item) = self.current.take()
                {
                    self.current = Some(item.only(&left));
                }
            }
            CallOutcome::Closed => {}
        }
        match called {
            CallOutcome::Failed(cause) if self.config.store.is_some() => self.failed_with_store(state, cause).await,
            called @ (CallOutcome::Done | CallOutcome::GateClosed | CallOutcome::Closed | CallOutcome::Failed(_)) => {
                self.event_of(state, called, "process_records")
            }
        }
    }

    /// Handles a handler's failure on a worker with a checkpoint store. The handler may have failed
    /// after its commit, so the store's position says which records are done.
    async fn failed_with_store(&mut self, state: &State, cause: Cause) -> Event {
        let stored = match stored::position(&self.delivery, &self.config).await {
            Answer::At(stored) => stored,
            Answer::DrainRequested => return Event::DrainRequested,
            Answer::Closed => return Event::Closed,
        };
        let (Some(item), Some(stored)) = (&mut self.current, stored) else {
            return self.on_failure(state, "process_records", cause);
        };
        if let Some(failed) = passed_failure(&cause, &item.slice, &stored) {
            let what = format!("the handler named record {failed} as failed after the store's position passed it");
            return self.store_misused(state, &what);
        }
        let done = item.slice.records().partition_point(|record| record.position() <= stored);
        if done == 0 {
            return self.on_failure(state, "process_records", cause);
        }
        let (done, rest) = item.slice.split(done);
        done.settle_all(&self.delivery);
        FailedAfterCommit { shard: self.delivery.shard(), records: done.len(), error: &cause }.emit();
        if rest.len() == 0 {
            self.current = None;
            return Event::Done;
        }
        item.slice = rest;
        self.on_failure_after(Failures::default(), state, "process_records", cause)
    }

    /// Stops the worker: on a worker with a checkpoint store, the handler did something that would
    /// skip records.
    fn store_misused(&self, state: &State, what: &str) -> Event {
        let reason = format!(
            "shard `{}`: {what}. The worker has a checkpoint store, which keeps one position, so this would skip records. \
             Pass the outcome to `advance` before the commit, or write failed records to a dead-letter table in the same \
             transaction and return `Ok(())`",
            self.delivery.shard()
        );
        Event::Failed { failures: state.failures(), action: FailureAction::StoreMisused, reason }
    }

    /// Passes the current record to the sink. The policy is not consulted about the sink's
    /// failures: the record waits.
    async fn dead_letter(&mut self, state: &State) -> Event {
        let (Some(item), Some(sink)) = (&self.current, &self.config.sink) else {
            let reason =
                "the error policy decided to dead-letter a record, and the worker has no dead-letter sink: set one \
                          with `dead_letters`"
                    .to_owned();
            return Event::Failed {
                failures: state.failures(),
                action: FailureAction::StopWorker(Code::StoppedByPolicy),
                reason,
            };
        };
        let Some(record) = item.slice.records().first() else { return Event::Nothing };
        let (stream, shard) = (self.context.stream().clone(), self.delivery.shard().clone());
        let error = item.disposition.as_ref().map(|given_up| given_up.error.clone()).unwrap_or_default();
        let id = self.context.stream_identity().and_then(StreamIdentity::id);
        let letter = DeadLetter::new(stream, id, shard, record.clone(), item.tries, error);
        self.delivery.stages.process.begin(self.index);
        let put = async { sink.put(&letter).await }.instrument(self.span_of("dead_letter"));
        let called = call_until_closed(&self.delivery, self.config.sink_timeout, put).await;
        if let CallOutcome::Done = called {
            DeadLettered {
                shard: &letter.shard,
                position: &record.position(),
                attempts: item.tries,
                error: &letter.error,
            }
            .emit();
        }
        self.event_of(state, called, "dead_letter")
    }

    async fn request_shutdown(&mut self, state: &State) -> Event {
        // Records whose handles are open may still be acknowledged.
        let settled = async {
            while self.open.iter().any(|handles| handles.is_open()) {
                if self.returned.recv().await.is_none() {
                    break;
                }
            }
            Ok::<(), BoxError>(())
        };
        if let CallOutcome::Closed = call_until_closed(&self.delivery, None, settled).await {
            return Event::Closed;
        }
        if self.current.is_some() {
            stored::catch_up(&self.delivery, &self.config).await;
        }
        self.delivery.stages.process.begin(self.index);
        let span = self.span_of("shutdown_requested");
        let callback = async { self.processor.shutdown_requested(&self.context).await };
        let called = call_until_closed(&self.delivery, None, callback.instrument(span)).await;
        self.event_of(state, called, "shutdown_requested")
    }

    async fn notify_lease_lost(&mut self, state: &State) -> Event {
        let span = self.span_of("lease_lost");
        let callback = async {
            self.processor.lease_lost(&self.context).await;
            Ok(())
        };
        let called = call_within(Some(LEASE_LOST_GRACE), callback.instrument(span)).await;
        self.event_of(state, called, "lease_lost")
    }

    fn event_of(&mut self, state: &State, called: CallOutcome, callback: &'static str) -> Event {
        match called {
            CallOutcome::Done => Event::Done,
            CallOutcome::GateClosed => Event::GateClosed,
            CallOutcome::Closed => Event::Closed,
            CallOutcome::Failed(cause) => self.on_failure(state, callback, cause),
        }
    }

    pub(super) fn now(&self) -> Time {
        self.config.clock.now()
    }

    /// A span for a call of the user's code, so that the user's log lines name the shard.
    fn span_of(&self, callback: &'static str) -> Span {
        Scope::current().span_of_callback(callback, self.delivery.shard())
    }

    fn execute(&mut self, command: Command) {
        match command {
            Command::Acknowledge => {
                let Some(item) = self.current.take() else { return };
                if item.disposition.is_some() {
                    item.slice.settle_all(&self.delivery);
                } else {
                    self.handled(&item.slice, item.slice.range.clone());
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
                if self.config.manual {
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

/// Waits until the gate is open. It is checked again when the batch is delivered.
async fn wait_for_gate(delivery: &ShardDelivery) -> Event {
    loop {
        let event = wait(delivery, GATE_POLL).await;
        if event != Event::Due || delivery.is_open() {
            return event;
        }
    }
}

/// Waits for a time, a drain request or the close of the delivery.
async fn wait(delivery: &ShardDelivery, how_long: Duration) -> Event {
    tokio::select! {
        biased;
        () = delivery.closed() => Event::Closed,
        () = delivery.drain_requested() => Event::DrainRequested,
        () = sleep(how_long) => Event::Due,
    }
}
