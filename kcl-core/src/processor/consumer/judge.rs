//! From a failure to what is done about it: asks the policy, and sets the records at hand apart.

use super::Again;
use super::lane::Lane;
use super::piece::{Numbers, Piece};
use super::state::{Event, Failures, State, Task, Verdict};
use super::todo::{Blame, Sentence, Todo, said_of};
use crate::lease::row::Wish;
use crate::processor::RecordProcessor;
use crate::processor::failure::{Backoff, Cause, Decision, Failure};
use crate::processor::quarantine::Failed;
use crate::record::{Position, Record};
use crate::retrieval::ReadError;
use crate::telemetry::event::delivery::{
    BatchSplit, DeadLetterFailed, KeyParked, ParkedDone, ParkedLost, ParkedTakenUp, QuarantineFull,
};
use crate::telemetry::event::processing::{HandlerFailed, NextStep};
use crate::telemetry::event::reading::ReadRefused;
use std::sync::Arc;
use std::time::Duration;

/// How often a record that finds no room in quarantine looks again.
const NO_ROOM: Duration = Duration::from_secs(1);

/// A decision that makes no sense for the failure at hand means: again, after this at most.
const SENSELESS: Duration = Duration::from_secs(30);

impl<P: RecordProcessor> Lane<P> {
    /// What follows a failure; every one of them is told.
    pub(super) fn judge(&mut self, state: &State, callback: &'static str, cause: Cause) -> Event {
        let now = self.now();
        let failures = state.failures().and_one(now);
        let verdict = match state {
            State::Draining | State::Losing(_) => Verdict::MoveOn,
            // The record waits for the sink, whatever the policy says.
            State::Working(Task::DeadLetter, _) => self.jittered(Backoff::default().after(failures.count)),
            State::Working(Task::Process, _) => match self.sort_out(failures, &cause, now) {
                Some(verdict) => verdict,
                None => return Event::Done,
            },
            State::Working(..) | State::Holding(_) | State::Retrying(..) | State::Stopped(_) => {
                match self.ask(failures, &cause, &[], Duration::ZERO) {
                    Decision::Retry { within } => self.jittered(within),
                    Decision::Split | Decision::DeadLetter | Decision::Quarantine => self.jittered(SENSELESS),
                    Decision::StopShard => Verdict::StopShard,
                    Decision::StopWorker => Verdict::StopWorker,
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
    fn sort_out(&mut self, failures: Failures, cause: &Cause, now: crate::Time) -> Option<Verdict> {
        let mut todo = self.loaded.take()?;
        todo.failures = failures;
        let mut blame = Blame::of(cause, &todo.piece);
        if let Blame::From(index) = blame {
            todo.piece.settle(&self.delivery, todo.piece.range.start..index);
            todo.piece = todo.piece.part(index..todo.piece.range.end);
            blame = Blame::One(index);
        }
        if let Blame::Some(failed) = &blame {
            let done = todo.piece.range.clone().filter(|index| !failed.contains(index));
            done.for_each(|index| todo.piece.settle(&self.delivery, index..index + 1));
            if failed.is_empty() {
                return None;
            }
            todo = todo.only(failed);
            blame = Blame::Some(todo.piece.range.clone().collect());
        }
        let age = self.age(&todo.piece, now);
        let decision = self.ask(failures, cause, todo.piece.slice(), age);
        let one = todo.piece.len() == 1;
        Some(match decision {
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
                    todo.condemned = Some(Sentence { parked, error });
                    self.loaded = Some(todo);
                    self.pass_sentence(failures)
                } else {
                    self.set_apart(&todo, &blame, Some((parked, cause)))
                }
            }
            Decision::StopShard => Verdict::StopShard,
            Decision::StopWorker => Verdict::StopWorker,
        })
    }

    /// How long ago the oldest of them arrived, by the service's clock as the shard shows it.
    fn age(&self, piece: &Piece, now: crate::Time) -> Duration {
        let oldest = piece.slice().iter().map(|record| record.arrived_at_ms).min();
        let by_service = self.delivery.service_ms().zip(oldest).and_then(|(now, then)| u64::try_from(now - then).ok());
        // It has been here that long, whatever the records say.
        Duration::from_millis(by_service.unwrap_or(0)).max(now.since(piece.since))
    }

    /// In parts that come one after the other; those that are known to be the cause are given up where the policy says so.
    fn set_apart(&mut self, todo: &Todo, blame: &Blame, condemn: Option<(bool, &Cause)>) -> Verdict {
        let sentence = |part: &Todo| {
            let (parked, cause) = condemn?;
            Some(Sentence { parked, error: said_of(cause, part.piece.slice().first()?) })
        };
        let parts: Vec<Todo> = match blame {
            Blame::One(index) => {
                let mut parts = todo.around(*index);
                if let Some(blamed) = &mut parts[1] {
                    blamed.condemned = sentence(blamed);
                }
                parts.into_iter().flatten().collect()
            }
            Blame::Some(indices) if condemn.is_some() => {
                let single = |index: &usize| {
                    let [_, part, _] = todo.around(*index);
                    let mut part = part?;
                    part.condemned = sentence(&part);
                    Some(part)
                };
                indices.iter().filter_map(single).collect()
            }
            Blame::From(_) | Blame::Some(_) | Blame::All => todo.halves().into(),
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
        let (Some(Sentence { parked: true, error }), Some(record)) = (&todo.condemned, todo.piece.slice().first())
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
                self.todo.push_front(Todo { failures: failures.and_one(now), ..todo });
            }
            return Verdict::Retry(NO_ROOM);
        }
        KeyParked { shard, position: &position, attempts, error }.emit();
        self.loaded = None;
        self.resume_later();
        Verdict::Parked
    }

    /// What is parked is tried again after a while, if the settings say so.
    pub(super) fn resume_later(&mut self) {
        self.resume_at = self.rules.quarantine_retry.map(|after| tokio::time::Instant::now() + after);
    }

    /// A record whose key is parked cannot join it now.
    pub(super) fn no_room(&self, failures: Failures) -> Event {
        QuarantineFull { shard: self.delivery.shard() }.emit();
        let reason = "there is no room in quarantine".to_owned();
        Event::Failed { failures: failures.and_one(self.now()), verdict: Verdict::Retry(NO_ROOM), reason }
    }

    // --- what was parked

    /// The next parked record of this lane's of which something is wished.
    pub(super) fn wished(&self) -> Option<(Wish, Position, u32, String)> {
        if !self.delivery.has_parked() {
            return None;
        }
        let (lanes, index) = (self.rules.lanes, self.index);
        self.delivery.wished(|key| lanes.of_key(key) == index)
    }

    /// It was read again, or is not there any more.
    pub(super) fn take_up(
        &mut self,
        state: &State,
        wanted: (Wish, Position, u32, String),
        record: Result<Option<Again>, ReadError>,
    ) -> Event {
        let (wish, position, attempts, error) = wanted;
        let shard = self.delivery.shard();
        let (record, corrupt) = match record {
            Ok(Some(again)) => again,
            Ok(None) => {
                ParkedLost { shard, position: &position }.emit();
                self.delivery.unpark(&position);
                return Event::Nothing;
            }
            Err(error) => return self.judge(state, "read", Cause::Read(error)),
        };
        ParkedTakenUp { shard, position: &position, wish }.emit();
        if mutated!(UnparksEarly) {
            self.delivery.unpark(&position);
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
        let condemned = (wish == Wish::DeadLetter).then_some(Sentence { parked: false, error });
        let tries = if condemned.is_some() { attempts } else { 0 };
        self.todo.push_front(Todo { condemned, tries, ..Todo::new(piece) });
        Event::Nothing
    }

    pub(super) fn parked_done(&self, records: usize) {
        ParkedDone { shard: self.delivery.shard(), records }.emit();
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
            Verdict::StopWorker => step("the worker stops", None, true),
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
