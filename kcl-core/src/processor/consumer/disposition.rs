//! Decides what happens after a failure: consults the error policy, and sorts the failed records
//! from the others.

use super::lane::Lane;
use super::state::{Event, FailureAction, Failures, State, Task};
use super::work_item::{Disposition, FailedRecords, WorkItem, error_text};
use super::{INAPPLICABLE_RETRY, Reread};
use crate::error::Code;
use crate::lease::row::QuarantineRequest;
use crate::processor::RecordProcessor;
use crate::processor::event::delivery::{
    BatchSplit, DeadLetterFailed, KeyParked, ParkedLost, ParkedTakenUp, QuarantineFull, QuarantineRequestRefused,
};
use crate::processor::event::processing::{HandlerFailed, NextStep};
use crate::processor::failure::{Backoff, Cause, Decision, Failure};
use crate::processor::quarantine::Failed;
use crate::processor::record_slice::{AckIds, RecordSlice};
use crate::record::{Position, Record};
use crate::retrieval::event::reading::ReadRefused;
use crate::retrieval::{FailedRead, ReadError};
use crate::shard::ApiErrorKind;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long a record waits before it is quarantined again after the quarantine was full.
const QUARANTINE_FULL_RETRY: Duration = Duration::from_secs(1);

/// How long a record that was resumed from quarantine is retried before it goes back. The lane's
/// other records wait meanwhile, so this is bounded whatever the policy says.
const RESUMED_FOR: Duration = Duration::from_secs(30);

/// How often the sink may fail for a record from quarantine. After that the record stays in
/// quarantine, and its lane goes on.
const SINK_ATTEMPTS: u32 = 3;

/// Pauses between attempts to read a quarantined record again.
const REREAD_PAUSE: Backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(30) };

/// The retry state of reading quarantined records again. The rest of the shard is read meanwhile.
#[derive(Debug, Default)]
pub(super) struct RereadRetry {
    failures: Failures,
    /// No quarantined record is read again before this time.
    pub(super) not_before: Option<Instant>,
}

impl<P: RecordProcessor> Lane<P> {
    /// Handles a failed read of the shard. Unless the policy stops, nothing is to be done: the
    /// prefetch task retries the read itself.
    pub(super) fn on_failed_read(&self, failed: FailedRead) -> Event {
        let FailedRead { error, attempt, since } = failed;
        let (failures, cause) = (Failures { count: attempt, since: Some(since) }, Cause::Read(error));
        let Some(action) = self.stop_for_failed_read(failures, &cause) else {
            self.report_failure("read", &cause, failures, &FailureAction::Retry(Duration::ZERO));
            return Event::Nothing;
        };
        let reason = self.report_failure("read", &cause, failures, &action);
        Event::Failed { failures, action, reason }
    }

    /// The action after a failed read, if the policy decides to stop.
    fn stop_for_failed_read(&self, failures: Failures, cause: &Cause) -> Option<FailureAction> {
        match self.consult_policy(failures, cause, &[], Duration::ZERO) {
            Decision::StopShard => Some(FailureAction::StopShard),
            Decision::StopWorker => Some(FailureAction::StopWorker(Code::CannotRead)),
            Decision::Retry { .. } | Decision::Split | Decision::DeadLetter | Decision::Quarantine => None,
        }
    }

    /// Handles a failure to read a quarantined record again. That record waits, and the rest of the
    /// shard goes on.
    fn on_failed_reread(&mut self, error: ReadError) -> Event {
        let failures = self.reread_retry.failures.and_one(self.now());
        let cause = Cause::Read(error);
        if let Some(action) = self.stop_for_failed_read(failures, &cause) {
            let reason = self.report_failure("read", &cause, failures, &action);
            return Event::Failed { failures, action, reason };
        }
        let pause = REREAD_PAUSE.after(failures.count).mul_f64(0.5 + 0.5 * self.config.rng.f64());
        self.reread_retry = RereadRetry { failures, not_before: Some(Instant::now() + pause) };
        self.report_failure("read", &cause, failures, &FailureAction::Retry(pause));
        Event::Nothing
    }

    /// Decides what follows a failure of the current task, and logs the failure.
    pub(super) fn on_failure(&mut self, state: &State, callback: &'static str, cause: Cause) -> Event {
        self.on_failure_after(state.failures(), state, callback, cause)
    }

    /// Decides what follows a failure, after the failures `before` of the current records.
    pub(super) fn on_failure_after(
        &mut self,
        before: Failures,
        state: &State,
        callback: &'static str,
        cause: Cause,
    ) -> Event {
        let now = self.now();
        let mut failures = before.and_one(now);
        let action = match state {
            State::Draining | State::Losing(_) => FailureAction::Ignore,
            // The record waits for the sink whatever the policy says. One that is in quarantine can
            // wait there.
            State::Working(Task::DeadLetter, _) => match self.quarantined() {
                Some(position) if failures.count >= SINK_ATTEMPTS => {
                    self.current = None;
                    self.refuse_request(&position, format!("the dead-letter sink failed: {cause}"));
                    FailureAction::Quarantined
                }
                Some(_) | None => self.jittered(Backoff::default().after(failures.count)),
            },
            State::Working(Task::Process, _) => match self.decide_records(failures, &cause, now) {
                Some((action, counted)) => {
                    failures = counted;
                    action
                }
                None => return Event::Done,
            },
            State::Working(..) | State::GateClosed(_) | State::Retrying(..) | State::Stopped(_) => {
                match self.consult_policy(failures, &cause, &[], Duration::ZERO) {
                    Decision::Retry { within } => self.jittered(within),
                    Decision::Split | Decision::DeadLetter | Decision::Quarantine => self.jittered(INAPPLICABLE_RETRY),
                    Decision::StopShard => FailureAction::StopShard,
                    Decision::StopWorker => FailureAction::StopWorker(Code::StoppedByPolicy),
                }
            }
        };
        let reason = self.report_failure(callback, &cause, failures, &action);
        Event::Failed { failures, action, reason }
    }

    fn jittered(&mut self, within: Duration) -> FailureAction {
        FailureAction::Retry(within.mul_f64(self.config.rng.f64()))
    }

    fn consult_policy(&self, failures: Failures, cause: &Cause, records: &[Record], record_age: Duration) -> Decision {
        let (shard, attempt, age) = (self.delivery.shard(), failures.count, failures.age(self.now()));
        self.config.policy.decide(&Failure { shard, cause, records, attempt, age, record_age })
    }

    /// Decides, after a handler failed, which of the current records are done, which are delivered
    /// again, and which are given up. Returns the action with the failures in a row of the records
    /// that are left; `None` if all are done.
    fn decide_records(
        &mut self,
        mut failures: Failures,
        cause: &Cause,
        now: crate::clock::Time,
    ) -> Option<(FailureAction, Failures)> {
        let mut item = self.current.take()?;
        let mut failed_records = FailedRecords::of(cause, &item.slice);
        if self.config.store.is_some() {
            failed_records = failed_records.with_store();
        }
        if let FailedRecords::From(index) = failed_records {
            if index > item.slice.range.start {
                // This is another record than the one that failed before, so its failures count
                // from one.
                failures = Failures::default().and_one(now);
                self.handled(&item.slice, item.slice.range.start..index);
            }
            item.slice = item.slice.part(index..item.slice.range.end);
            failed_records = FailedRecords::One(index);
        }
        item.failures = failures;
        if let FailedRecords::Some(failed) = &failed_records {
            let done = item.slice.range.clone().filter(|index| !failed.contains(index));
            done.for_each(|index| self.handled(&item.slice, index..index + 1));
            if failed.is_empty() {
                return None;
            }
            item = item.only(failed);
            failed_records = FailedRecords::Some(item.slice.range.clone().collect());
        }
        let age = self.age(&item.slice, now);
        let mut decision = self.consult_policy(failures, cause, item.slice.records(), age);
        if let AckIds::Quarantined = item.slice.ack_ids {
            decision = self.limit_resumed(decision, failures.age(now));
        }
        let one = item.slice.len() == 1;
        let action = match decision {
            Decision::Retry { within } => {
                self.current = Some(item);
                self.jittered(within)
            }
            Decision::Split if one => {
                self.current = Some(item);
                self.jittered(INAPPLICABLE_RETRY)
            }
            // A store keeps one position, which would pass the quarantined records.
            Decision::Quarantine if self.config.store.is_some() => {
                self.current = Some(item);
                self.jittered(INAPPLICABLE_RETRY)
            }
            Decision::Split => self.requeue_parts(&item, &failed_records, None),
            Decision::DeadLetter | Decision::Quarantine => {
                let quarantine = decision == Decision::Quarantine;
                if one {
                    let error =
                        item.slice.records().first().map(|record| error_text(cause, record)).unwrap_or_default();
                    item.disposition = Some(Disposition { quarantine, error });
                    self.current = Some(item);
                    self.give_up_record(failures)
                } else {
                    self.requeue_parts(&item, &failed_records, Some((quarantine, cause)))
                }
            }
            Decision::StopShard => FailureAction::StopShard,
            Decision::StopWorker => FailureAction::StopWorker(Code::StoppedByPolicy),
        };
        Some((action, failures))
    }

    /// Limits the policy's decision on a record that was resumed from quarantine and failed again.
    /// An operator's request to resume a key must not stop the shard or block it for long, and the
    /// record can always go back into quarantine.
    fn limit_resumed(&self, decision: Decision, failing_for: Duration) -> Decision {
        match decision {
            Decision::Retry { .. } | Decision::Split if failing_for >= RESUMED_FOR => Decision::Quarantine,
            Decision::DeadLetter if self.config.sink.is_none() => Decision::Quarantine,
            Decision::StopShard | Decision::StopWorker => Decision::Quarantine,
            Decision::Retry { .. } | Decision::Split | Decision::DeadLetter | Decision::Quarantine => decision,
        }
    }

    /// Acknowledges records that a handler has handled. With `manual_checkpoints` the handler
    /// acknowledges them itself.
    pub(super) fn handled(&self, slice: &RecordSlice, range: Range<usize>) {
        match (&slice.ack_ids, self.config.manual) {
            (_, false) => slice.settle(&self.delivery, range),
            (AckIds::Quarantined, true) => {
                let handed = slice.shared.get(range).unwrap_or_default().iter().map(Record::position);
                self.delivery.hand_over_quarantined(handed);
            }
            (AckIds::From(_) | AckIds::Each(_), true) => {}
        }
    }

    /// The age of the oldest record, by the service's clock as far as the shard's records have
    /// shown it.
    fn age(&self, slice: &RecordSlice, now: crate::clock::Time) -> Duration {
        let oldest = slice.records().iter().map(|record| record.arrived_at_ms).min();
        let by_service = self.delivery.service_ms().zip(oldest).and_then(|(now, then)| u64::try_from(now - then).ok());
        // The service's clock may be known badly. The records are at least as old as the time since
        // they were read.
        Duration::from_millis(by_service.unwrap_or(0)).max(now.since(slice.since))
    }

    /// Puts the current records back into the queue as several parts, in order. If the policy gives
    /// records up, the parts that are known to have failed get that disposition.
    fn requeue_parts(
        &mut self,
        item: &WorkItem,
        failed_records: &FailedRecords,
        give_up: Option<(bool, &Cause)>,
    ) -> FailureAction {
        let disposition = |part: &WorkItem| {
            let (quarantine, cause) = give_up?;
            Some(Disposition { quarantine, error: error_text(cause, part.slice.records().first()?) })
        };
        let parts: Vec<WorkItem> = match failed_records {
            FailedRecords::One(index) => {
                let mut parts = item.around(*index);
                if let Some(failed) = &mut parts[1] {
                    failed.disposition = disposition(failed);
                }
                parts.into_iter().flatten().collect()
            }
            FailedRecords::Some(indices) if give_up.is_some() => {
                let single = |index: &usize| {
                    let [_, part, _] = item.around(*index);
                    let mut part = part?;
                    part.disposition = disposition(&part);
                    Some(part)
                };
                indices.iter().filter_map(single).collect()
            }
            FailedRecords::From(_) | FailedRecords::Some(_) | FailedRecords::All => item.halves().into(),
        };
        BatchSplit { shard: self.delivery.shard(), records: item.slice.len(), parts: parts.len() }.emit();
        for part in parts.into_iter().rev() {
            self.queue.push_front(part);
        }
        FailureAction::Requeued
    }

    /// Applies the disposition of the current record.
    pub(super) fn apply_disposition(&mut self, state: &State) -> Event {
        let failures = state.failures();
        let action = self.give_up_record(failures);
        Event::Failed { failures, action, reason: String::new() }
    }

    fn give_up_record(&mut self, failures: Failures) -> FailureAction {
        let Some(item) = &self.current else { return FailureAction::Requeued };
        let (Some(Disposition { quarantine: true, error }), Some(record)) =
            (&item.disposition, item.slice.records().first())
        else {
            return FailureAction::DeadLetter;
        };
        let (shard, position, attempts) = (self.delivery.shard(), record.position(), item.tries);
        let numbers = item.slice.ack_id(item.slice.range.start).map_or(0..0, |number| number..number + 1);
        let why = Failed { attempts, error: error.clone(), arrived_at_ms: record.arrived_at_ms };
        if self.delivery.quarantine(record.partition_key.as_deref(), position.clone(), numbers, why).is_err() {
            QuarantineFull { shard }.emit();
            // Back into the queue: a request to resume a quarantined key, which makes room, is
            // served first.
            let now = self.now();
            if let Some(item) = self.current.take() {
                self.queue.push_front(WorkItem { failures: failures.and_one(now), ..item });
            }
            return FailureAction::Retry(QUARANTINE_FULL_RETRY);
        }
        KeyParked { shard, position: &position, attempts, error }.emit();
        self.current = None;
        self.resume_later();
        FailureAction::Quarantined
    }

    /// Schedules the next retry of quarantined keys, if the setting `quarantine_retry` is set and
    /// they can be resumed.
    pub(super) fn resume_later(&mut self) {
        let retry = self.config.quarantine_retry.filter(|_| self.cannot_fulfil(QuarantineRequest::Resume).is_none());
        self.resume_at = retry.map(|after| tokio::time::Instant::now() + after);
    }

    /// Waits because a record whose key is in quarantine finds no room there.
    pub(super) fn quarantine_full(&self, failures: Failures) -> Event {
        QuarantineFull { shard: self.delivery.shard() }.emit();
        let reason = "the quarantine of the shard is full".to_owned();
        Event::Failed {
            failures: failures.and_one(self.now()),
            action: FailureAction::Retry(QUARANTINE_FULL_RETRY),
            reason,
        }
    }

    // --- quarantined records

    /// The next quarantined record of this lane that is requested to be resumed or dead-lettered.
    pub(super) fn next_requested(&self) -> Option<(QuarantineRequest, Position, u32, String)> {
        let waits = self.reread_retry.not_before.is_some_and(|at| Instant::now() < at);
        if waits || !self.delivery.has_quarantined() {
            return None;
        }
        let (lanes, index) = (self.config.lanes, self.index);
        self.delivery.next_requested(|key| lanes.of_key(key) == index)
    }

    /// The reason why this worker cannot fulfil a request for a quarantined key, if it cannot.
    pub(super) fn cannot_fulfil(&self, request: QuarantineRequest) -> Option<&'static str> {
        match request {
            QuarantineRequest::DeadLetter if self.config.sink.is_none() => {
                Some("the application has no dead-letter sink: set one with `dead_letters`, or resume the key")
            }
            QuarantineRequest::Resume if self.config.store.is_some() => Some(
                "the position in the application's checkpoint store is past the key's records, so the store would count \
                 them as done: dead-letter the key, or resume it with a worker without the store",
            ),
            QuarantineRequest::DeadLetter | QuarantineRequest::Resume => None,
        }
    }

    /// Refuses a request for the quarantined key of the record at this position. The reason is
    /// stored in the row. With the setting `quarantine_retry` the key is tried again later, because
    /// the cause of the refusal may pass.
    pub(super) fn refuse_request(&mut self, position: &Position, reason: String) -> Event {
        QuarantineRequestRefused { shard: self.delivery.shard(), position, reason: &reason }.emit();
        self.delivery.refuse_request(position, reason);
        if self.resume_at.is_none() {
            self.resume_later();
        }
        Event::Nothing
    }

    /// The position of the current record, if it is from quarantine.
    fn quarantined(&self) -> Option<Position> {
        let slice = &self.current.as_ref()?.slice;
        matches!(slice.ack_ids, AckIds::Quarantined).then(|| slice.records().first().map(Record::position))?
    }

    /// Handles the result of reading a quarantined record again.
    pub(super) fn on_reread(
        &mut self,
        wanted: (QuarantineRequest, Position, u32, String),
        record: Result<Option<Reread>, ReadError>,
    ) -> Event {
        let (request, position, attempts, error) = wanted;
        let shard = self.delivery.shard();
        let (record, corrupt) = match record {
            Ok(Some(record)) => record,
            Ok(None) => {
                self.reread_retry = RereadRetry::default();
                ParkedLost { shard, position: &position }.emit();
                self.delivery.release_quarantined(&[position]);
                return Event::Nothing;
            }
            // Kinesis does not accept the position. An immediate retry does not help, and the other
            // keys go on.
            Err(error)
                if matches!(
                    error.source.kind,
                    ApiErrorKind::Refused | ApiErrorKind::PositionRefused | ApiErrorKind::NotFound
                ) =>
            {
                return self.refuse_request(&position, format!("record {position} cannot be read again: {error}"));
            }
            Err(error) => return self.on_failed_reread(error),
        };
        self.reread_retry = RereadRetry::default();
        ParkedTakenUp { shard, position: &position, wish: request }.emit();
        if mutated!(UnparksEarly) {
            self.delivery.release_quarantined(std::slice::from_ref(&position));
        }
        let slice = RecordSlice {
            shared: Arc::new(vec![record]),
            range: 0..1,
            ack_ids: AckIds::Quarantined,
            millis_behind_latest: None,
            corrupt,
            since: self.now(),
            reservation: Arc::default(),
        };
        let disposition =
            (request == QuarantineRequest::DeadLetter).then_some(Disposition { quarantine: false, error });
        let tries = if disposition.is_some() { attempts } else { 0 };
        self.queue.push_front(WorkItem { disposition, tries, ..WorkItem::new(slice) });
        Event::Nothing
    }

    fn report_failure(
        &self,
        callback: &'static str,
        cause: &Cause,
        failures: Failures,
        next: &FailureAction,
    ) -> String {
        let (shard, attempt, age) = (self.delivery.shard(), failures.count, failures.age(self.now()));
        let (next, within) = (self.next_step(next), format!("{:.1} s", age.as_secs_f64()));
        match cause {
            _ if callback == "dead_letter" => {
                DeadLetterFailed { shard, error: cause, attempt, retry_after: next.retry_after }.emit();
                format!("the dead-letter sink for shard `{shard}` failed {attempt} times: {cause}")
            }
            Cause::Error(_) | Cause::TimedOut(_) | Cause::Dropped => {
                HandlerFailed { shard, callback, error: cause, cause: label(cause), attempt, age, next }.emit();
                format!("`{callback}` for shard `{shard}` failed {attempt} times within {within}; last error: {cause}")
            }
            Cause::Panic(message) => {
                HandlerFailed { shard, callback, error: message, cause: label(cause), attempt, age, next }.emit();
                format!("`{callback}` for shard `{shard}` panicked (attempt {attempt}, within {within}): {message}")
            }
            Cause::Read(error) => {
                ReadRefused { shard, error, attempt, next: next.what, retry_after: next.retry_after }.emit();
                error.to_string()
            }
        }
    }

    /// The action after a failure, as the log and the error name it.
    fn next_step(&self, action: &FailureAction) -> NextStep {
        let step = |what, retry_after, ends| NextStep { what, retry_after, ends };
        match action {
            FailureAction::Retry(after) => step("retrying", Some(*after), false),
            FailureAction::Requeued => step("splitting the batch", None, false),
            FailureAction::DeadLetter if self.config.sink.is_none() => {
                step("worker stops: no dead-letter sink", None, true)
            }
            FailureAction::DeadLetter => step("dead-lettering the record", None, false),
            FailureAction::Quarantined => step("quarantining the key", None, false),
            FailureAction::StopShard => step("releasing the lease", None, true),
            FailureAction::StopWorker(_) | FailureAction::StoreMisused => step("worker stops", None, true),
            FailureAction::Ignore => step("not retried", None, true),
        }
    }
}

fn label(cause: &Cause) -> &'static str {
    match cause {
        Cause::TimedOut(_) => "timeout",
        Cause::Dropped => "dropped",
        Cause::Panic(_) => "panic",
        Cause::Error(_) | Cause::Read(_) => "error",
    }
}
