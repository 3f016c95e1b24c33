//! From a failure to what is done about it: asks the policy, and sets the records at hand apart.

use super::lane::Lane;
use super::piece::{Numbers, Piece};
use super::state::{Event, Failures, State, Task, Verdict};
use super::work_item::{Disposition, FailedRecords, WorkItem, said_of};
use super::{Again, SENSELESS};
use crate::error::Code;
use crate::lease::row::QuarantineRequest;
use crate::processor::RecordProcessor;
use crate::processor::failure::{Backoff, Cause, Decision, Failure};
use crate::processor::quarantine::Failed;
use crate::record::{Position, Record};
use crate::retrieval::{FailedRead, ReadError};
use crate::shard::ApiErrorKind;
use crate::telemetry::event::delivery::{
    BatchSplit, DeadLetterFailed, KeyParked, ParkedLost, ParkedTakenUp, QuarantineFull, QuarantineRequestRefused,
};
use crate::telemetry::event::processing::{HandlerFailed, NextStep};
use crate::telemetry::event::reading::ReadRefused;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How often a record that finds no room in quarantine looks again.
const NO_ROOM: Duration = Duration::from_secs(1);

/// How long a record that was resumed from quarantine is retried, while others of its lane wait, before it goes back.
const RESUMED_FOR: Duration = Duration::from_secs(30);

/// How often the sink may fail for a record from quarantine, which then stays there.
const SINK_ATTEMPTS: u32 = 3;

/// Between two tries to read a parked record again that could not be read: the pause doubles from the first to the longest.
const PARKED_UNREAD: Backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(30) };

/// Parked records that could not be read again. They wait by themselves: the rest of the shard is read meanwhile.
#[derive(Debug, Default)]
pub(super) struct UnreadParked {
    failures: Failures,
    /// No parked record is read again before.
    pub(super) not_before: Option<Instant>,
}

impl<P: RecordProcessor> Lane<P> {
    /// What follows a failed read. Unless the policy ends it, reading goes on: the fetching task tries again by itself, so there
    /// is nothing to wait for here.
    pub(super) fn judge_read(&self, failed: FailedRead) -> Event {
        let FailedRead { error, attempt, since } = failed;
        let (failures, cause) = (Failures { count: attempt, since: Some(since) }, Cause::Read(error));
        let Some(verdict) = self.ask_to_stop(failures, &cause) else {
            self.tell("read", &cause, failures, &Verdict::Retry(Duration::ZERO));
            return Event::Nothing;
        };
        let reason = self.tell("read", &cause, failures, &verdict);
        Event::Failed { failures, verdict, reason }
    }

    /// The verdict on a failed read, if the policy ends it.
    fn ask_to_stop(&self, failures: Failures, cause: &Cause) -> Option<Verdict> {
        match self.ask(failures, cause, &[], Duration::ZERO) {
            Decision::StopShard => Some(Verdict::StopShard),
            Decision::StopWorker => Some(Verdict::StopWorker(Code::CannotRead)),
            Decision::Retry { .. } | Decision::Split | Decision::DeadLetter | Decision::Quarantine => None,
        }
    }

    /// A parked record could not be read again: it waits, and the rest of the shard goes on.
    fn judge_parked_read(&mut self, error: ReadError) -> Event {
        let failures = self.unread_parked.failures.and_one(self.now());
        let cause = Cause::Read(error);
        if let Some(verdict) = self.ask_to_stop(failures, &cause) {
            let reason = self.tell("read", &cause, failures, &verdict);
            return Event::Failed { failures, verdict, reason };
        }
        let pause = PARKED_UNREAD.after(failures.count).mul_f64(0.5 + 0.5 * self.rules.rng.f64());
        self.unread_parked = UnreadParked { failures, not_before: Some(Instant::now() + pause) };
        self.tell("read", &cause, failures, &Verdict::Retry(pause));
        Event::Nothing
    }

    /// What follows a failure; every one of them is told.
    pub(super) fn judge(&mut self, state: &State, callback: &'static str, cause: Cause) -> Event {
        self.judge_after(state.failures(), state, callback, cause)
    }

    /// The same, after so many failures of the records at hand.
    pub(super) fn judge_after(
        &mut self,
        before: Failures,
        state: &State,
        callback: &'static str,
        cause: Cause,
    ) -> Event {
        let now = self.now();
        let mut failures = before.and_one(now);
        let verdict = match state {
            State::Draining | State::Losing(_) => Verdict::MoveOn,
            // The record waits for the sink, whatever the policy says; one that is in quarantine can wait there.
            State::Working(Task::DeadLetter, _) => match self.quarantined() {
                Some(position) if failures.count >= SINK_ATTEMPTS => {
                    self.loaded = None;
                    self.refuse_wish(&position, format!("the dead-letter sink failed: {cause}"));
                    Verdict::Parked
                }
                Some(_) | None => self.jittered(Backoff::default().after(failures.count)),
            },
            State::Working(Task::Process, _) => match self.sort_out(failures, &cause, now) {
                Some((verdict, counted)) => {
                    failures = counted;
                    verdict
                }
                None => return Event::Done,
            },
            State::Working(..) | State::Holding(_) | State::Retrying(..) | State::Stopped(_) => {
                match self.ask(failures, &cause, &[], Duration::ZERO) {
                    Decision::Retry { within } => self.jittered(within),
                    Decision::Split | Decision::DeadLetter | Decision::Quarantine => self.jittered(SENSELESS),
                    Decision::StopShard => Verdict::StopShard,
                    Decision::StopWorker => Verdict::StopWorker(Code::StoppedByPolicy),
                }
            }
        };
        let reason = self.tell(callback, &cause, failures, &verdict);
        Event::Failed { failures, verdict, reason }
    }

    fn jittered(&mut self, within: Duration) -> Verdict {
        Verdict::Retry(within.mul_f64(self.rules.rng.f64()))
    }

    fn ask(&self, failures: Failures, cause: &Cause, records: &[Record], record_age: Duration) -> Decision {
        let (shard, attempt, age) = (self.delivery.shard(), failures.count, failures.age(self.now()));
        self.rules.policy.decide(&Failure { shard, cause, records, attempt, age, record_age })
    }

    /// A handler failed: what of the records at hand is done, what comes again, what is given up. `None` where all is done.
    /// With it, the failures in a row of what is left.
    fn sort_out(
        &mut self,
        mut failures: Failures,
        cause: &Cause,
        now: crate::clock::Time,
    ) -> Option<(Verdict, Failures)> {
        let mut todo = self.loaded.take()?;
        let mut blame = FailedRecords::of(cause, &todo.piece);
        if self.rules.store.is_some() {
            blame = blame.beside_store();
        }
        if let FailedRecords::From(index) = blame {
            if index > todo.piece.range.start {
                // Another record than the one that failed before.
                failures = Failures::default().and_one(now);
                self.handled(&todo.piece, todo.piece.range.start..index);
            }
            todo.piece = todo.piece.part(index..todo.piece.range.end);
            blame = FailedRecords::One(index);
        }
        todo.failures = failures;
        if let FailedRecords::Some(failed) = &blame {
            let done = todo.piece.range.clone().filter(|index| !failed.contains(index));
            done.for_each(|index| self.handled(&todo.piece, index..index + 1));
            if failed.is_empty() {
                return None;
            }
            todo = todo.only(failed);
            blame = FailedRecords::Some(todo.piece.range.clone().collect());
        }
        let age = self.age(&todo.piece, now);
        let mut decision = self.ask(failures, cause, todo.piece.slice(), age);
        if let Numbers::Parked = todo.piece.numbers {
            decision = self.of_resumed(decision, failures.age(now));
        }
        let one = todo.piece.len() == 1;
        let verdict = match decision {
            Decision::Retry { within } => {
                self.loaded = Some(todo);
                self.jittered(within)
            }
            Decision::Split if one => {
                self.loaded = Some(todo);
                self.jittered(SENSELESS)
            }
            // A store knows no gaps: it would take what is parked for done.
            Decision::Quarantine if self.rules.store.is_some() => {
                self.loaded = Some(todo);
                self.jittered(SENSELESS)
            }
            Decision::Split => self.set_apart(&todo, &blame, None),
            Decision::DeadLetter | Decision::Quarantine => {
                let parked = decision == Decision::Quarantine;
                if one {
                    let error = todo.piece.slice().first().map(|record| said_of(cause, record)).unwrap_or_default();
                    todo.condemned = Some(Disposition { parked, error });
                    self.loaded = Some(todo);
                    self.pass_sentence(failures)
                } else {
                    self.set_apart(&todo, &blame, Some((parked, cause)))
                }
            }
            Decision::StopShard => Verdict::StopShard,
            Decision::StopWorker => Verdict::StopWorker(Code::StoppedByPolicy),
        };
        Some((verdict, failures))
    }

    /// What becomes of a record that was resumed and failed again. A person's wish must not do harm, so it neither stops
    /// anything nor holds others up for long: the record can go back to where it was.
    fn of_resumed(&self, decision: Decision, failing_for: Duration) -> Decision {
        match decision {
            Decision::Retry { .. } | Decision::Split if failing_for >= RESUMED_FOR => Decision::Quarantine,
            Decision::DeadLetter if self.rules.sink.is_none() => Decision::Quarantine,
            Decision::StopShard | Decision::StopWorker => Decision::Quarantine,
            Decision::Retry { .. } | Decision::Split | Decision::DeadLetter | Decision::Quarantine => decision,
        }
    }

    /// These records were handled, and are done; where the handler checkpoints by itself, they are when it says so.
    pub(super) fn handled(&self, piece: &Piece, range: Range<usize>) {
        match (&piece.numbers, self.rules.manual) {
            (_, false) => piece.settle(&self.delivery, range),
            (Numbers::Parked, true) => {
                let handed = piece.records.get(range).unwrap_or_default().iter().map(Record::position);
                self.delivery.hand_over_parked(handed);
            }
            (Numbers::From(_) | Numbers::Each(_), true) => {}
        }
    }

    /// How long ago the oldest of them arrived, by the service's clock as the shard shows it.
    fn age(&self, piece: &Piece, now: crate::clock::Time) -> Duration {
        let oldest = piece.slice().iter().map(|record| record.arrived_at_ms).min();
        let by_service = self.delivery.service_ms().zip(oldest).and_then(|(now, then)| u64::try_from(now - then).ok());
        // It has been here that long, whatever the records say.
        Duration::from_millis(by_service.unwrap_or(0)).max(now.since(piece.since))
    }

    /// In parts that come one after the other; those that are known to be the cause are given up where the policy says so.
    fn set_apart(&mut self, todo: &WorkItem, blame: &FailedRecords, condemn: Option<(bool, &Cause)>) -> Verdict {
        let sentence = |part: &WorkItem| {
            let (parked, cause) = condemn?;
            Some(Disposition { parked, error: said_of(cause, part.piece.slice().first()?) })
        };
        let parts: Vec<WorkItem> = match blame {
            FailedRecords::One(index) => {
                let mut parts = todo.around(*index);
                if let Some(blamed) = &mut parts[1] {
                    blamed.condemned = sentence(blamed);
                }
                parts.into_iter().flatten().collect()
            }
            FailedRecords::Some(indices) if condemn.is_some() => {
                let single = |index: &usize| {
                    let [_, part, _] = todo.around(*index);
                    let mut part = part?;
                    part.condemned = sentence(&part);
                    Some(part)
                };
                indices.iter().filter_map(single).collect()
            }
            FailedRecords::From(_) | FailedRecords::Some(_) | FailedRecords::All => todo.halves().into(),
        };
        BatchSplit { shard: self.delivery.shard(), records: todo.piece.len(), parts: parts.len() }.emit();
        for part in parts.into_iter().rev() {
            self.todo.push_front(part);
        }
        Verdict::Apart
    }

    /// The record at hand is condemned.
    pub(super) fn execute(&mut self, state: &State) -> Event {
        let failures = state.failures();
        let verdict = self.pass_sentence(failures);
        Event::Failed { failures, verdict, reason: String::new() }
    }

    fn pass_sentence(&mut self, failures: Failures) -> Verdict {
        let Some(todo) = &self.loaded else { return Verdict::Apart };
        let (Some(Disposition { parked: true, error }), Some(record)) = (&todo.condemned, todo.piece.slice().first())
        else {
            return Verdict::DeadLetter;
        };
        let (shard, position, attempts) = (self.delivery.shard(), record.position(), todo.tries);
        let numbers = todo.piece.number(todo.piece.range.start).map_or(0..0, |number| number..number + 1);
        let why = Failed { attempts, error: error.clone(), arrived_at_ms: record.arrived_at_ms };
        if self.delivery.park(record.partition_key.as_deref(), position.clone(), numbers, why).is_err() {
            QuarantineFull { shard }.emit();
            // Not at hand any more: what makes room comes first.
            let now = self.now();
            if let Some(todo) = self.loaded.take() {
                self.todo.push_front(WorkItem { failures: failures.and_one(now), ..todo });
            }
            return Verdict::Retry(NO_ROOM);
        }
        KeyParked { shard, position: &position, attempts, error }.emit();
        self.loaded = None;
        self.resume_later();
        Verdict::Parked
    }

    /// What is parked is tried again after a while, if the settings say so and it can be.
    pub(super) fn resume_later(&mut self) {
        let retry = self.rules.quarantine_retry.filter(|_| self.cannot_fulfil(QuarantineRequest::Resume).is_none());
        self.resume_at = retry.map(|after| tokio::time::Instant::now() + after);
    }

    /// A record whose key is parked cannot join it now.
    pub(super) fn no_room(&self, failures: Failures) -> Event {
        QuarantineFull { shard: self.delivery.shard() }.emit();
        let reason = "there is no room in quarantine".to_owned();
        Event::Failed { failures: failures.and_one(self.now()), verdict: Verdict::Retry(NO_ROOM), reason }
    }

    // --- what was parked

    /// The next parked record of this lane's of which something is wished.
    pub(super) fn wished(&self) -> Option<(QuarantineRequest, Position, u32, String)> {
        let waits = self.unread_parked.not_before.is_some_and(|at| Instant::now() < at);
        if waits || !self.delivery.has_parked() {
            return None;
        }
        let (lanes, index) = (self.rules.lanes, self.index);
        self.delivery.wished(|key| lanes.of_key(key) == index)
    }

    /// Why this worker cannot do what a person wants of a key in quarantine, if it cannot.
    pub(super) fn cannot_fulfil(&self, wish: QuarantineRequest) -> Option<&'static str> {
        match wish {
            QuarantineRequest::DeadLetter if self.rules.sink.is_none() => {
                Some("the application has no dead-letter sink: give the worker one (`dead_letters`), or resume the key")
            }
            QuarantineRequest::Resume if self.rules.store.is_some() => Some(
                "the application keeps its positions in a checkpoint store, which has passed the key's records and would \
                 take them for done: dead-letter the key, or resume it with a worker without the store",
            ),
            QuarantineRequest::DeadLetter | QuarantineRequest::Resume => None,
        }
    }

    /// What is wished of the key with that record is not done; the row will say why.
    pub(super) fn refuse_wish(&self, position: &Position, reason: String) -> Event {
        QuarantineRequestRefused { shard: self.delivery.shard(), position, reason: &reason }.emit();
        self.delivery.refuse_wish(position, reason);
        Event::Nothing
    }

    /// The position of the record at hand, if it is one from quarantine.
    fn quarantined(&self) -> Option<Position> {
        let piece = &self.loaded.as_ref()?.piece;
        matches!(piece.numbers, Numbers::Parked).then(|| piece.slice().first().map(Record::position))?
    }

    /// It was read again, or is not there any more.
    pub(super) fn take_up(
        &mut self,
        wanted: (QuarantineRequest, Position, u32, String),
        record: Result<Option<Again>, ReadError>,
    ) -> Event {
        let (wish, position, attempts, error) = wanted;
        let shard = self.delivery.shard();
        let (record, corrupt) = match record {
            Ok(Some(again)) => again,
            Ok(None) => {
                self.unread_parked = UnreadParked::default();
                ParkedLost { shard, position: &position }.emit();
                self.delivery.unpark(&[position]);
                return Event::Nothing;
            }
            // No retry mends a position that the service does not take, and the others are to go on.
            Err(error)
                if matches!(
                    error.source.kind,
                    ApiErrorKind::Refused | ApiErrorKind::PositionRefused | ApiErrorKind::NotFound
                ) =>
            {
                return self.refuse_wish(&position, format!("record {position} cannot be read again: {error}"));
            }
            Err(error) => return self.judge_parked_read(error),
        };
        self.unread_parked = UnreadParked::default();
        ParkedTakenUp { shard, position: &position, wish }.emit();
        if mutated!(UnparksEarly) {
            self.delivery.unpark(std::slice::from_ref(&position));
        }
        let piece = Piece {
            records: Arc::new(vec![record]),
            range: 0..1,
            numbers: Numbers::Parked,
            millis_behind_latest: None,
            corrupt,
            since: self.now(),
            reservation: Arc::default(),
        };
        let condemned = (wish == QuarantineRequest::DeadLetter).then_some(Disposition { parked: false, error });
        let tries = if condemned.is_some() { attempts } else { 0 };
        self.todo.push_front(WorkItem { condemned, tries, ..WorkItem::new(piece) });
        Event::Nothing
    }

    fn tell(&self, callback: &'static str, cause: &Cause, failures: Failures, next: &Verdict) -> String {
        let (shard, attempt, age) = (self.delivery.shard(), failures.count, failures.age(self.now()));
        let (next, within) = (self.next_step(next), format!("{:.1} s", age.as_secs_f64()));
        match cause {
            _ if callback == "dead_letter" => {
                DeadLetterFailed { shard, error: cause, attempt, retry_after: next.retry_after }.emit();
                format!("the dead-letter sink for shard `{shard}` failed {attempt} times: {cause}")
            }
            Cause::Error(_) | Cause::TimedOut(_) | Cause::Dropped => {
                HandlerFailed { shard, callback, error: cause, cause: label(cause), attempt, age, next }.emit();
                format!(
                    "`{callback}` for shard `{shard}` failed {attempt} times within {within}, at last with: {cause}"
                )
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

    /// What follows a failure, as the log says it.
    fn next_step(&self, verdict: &Verdict) -> NextStep {
        let step = |what, retry_after, ends| NextStep { what, retry_after, ends };
        match verdict {
            Verdict::Retry(after) => step("retrying", Some(*after), false),
            Verdict::Apart => step("its records are tried in parts", None, false),
            Verdict::DeadLetter if self.rules.sink.is_none() => {
                step("there is no dead-letter sink for the record", None, true)
            }
            Verdict::DeadLetter => step("the record goes to the dead-letter sink", None, false),
            Verdict::Parked => step("the record's key goes to quarantine", None, false),
            Verdict::StopShard => step("the lease is given up", None, true),
            Verdict::StopWorker(_) | Verdict::Misused => step("the worker stops", None, true),
            Verdict::MoveOn => step("it is not called again", None, true),
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
