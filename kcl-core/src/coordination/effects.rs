//! What the coordination asks of the outside, as values: calls, timers, happenings. Knows no protocol.

use super::backoff::{Attempts, RetryPolicy};
use super::staleness::Contact;
use crate::clock::Time;
use crate::coordination::event::CoordinationEvent;
use crate::error::Code;
use crate::lease::row::{LeaseKey, Row, RowKey, WorkerId};
use crate::lease::{Consistency, Page, PageToken, Table, Write, Written};
use crate::record::StreamId;
use crate::shard::{ListWhich, Listing};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

/// Answers of the table that are further apart are a gap, unless settings say otherwise.
const LONGEST_GAP: Duration = Duration::from_secs(3);

/// A part of the coordination that has at most one call and one timer under way.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum CallId {
    /// The look at the table before anything is written.
    Start,
    /// Taking a mistaken start back, at a start.
    Correct(RowKey),
    /// Reading a row while a start waits for a slow read, to know that the table can be reached.
    Contact,
    /// The next page of a full read by that part.
    Page(Box<CallId>),
    /// Making a fleet row where there is none.
    FleetRow,
    /// Drawing, registering, beating.
    Session,
    /// Asking the leader to read the table.
    Wake,
    /// Looking at the fleet row.
    FleetPoll,
    /// Taking the next term.
    TakeTerm,
    /// Reading one's plan row.
    AssignmentRow,
    /// The leader's cycle.
    Cycle,
    /// The leader looks at the sessions while its cycle is at something that may take long.
    Sessions,
    /// The leader lists the stream's shards.
    Shards,
    /// The leader pins the start of the only stream, or marks that its leases are complete; and repeats their writes.
    SyncPass,
    /// The leader's heartbeat.
    FleetHeartbeat,
    /// The leader writes the settings that all workers use into the fleet row.
    FleetSettings,
    /// The leader ends a silent session.
    Fence(WorkerId),
    /// The leader writes a plan row.
    PlanOf(WorkerId),
    /// The leader clears away a row of a worker that has ended, or one that cannot be read.
    Collect(RowKey),
    /// The leader creates or deletes a lease.
    Sync(LeaseKey),
    /// Reading the table, to list streams.
    ShardSync,
    /// Pinning and listing one of several streams.
    Stream(StreamId),
    /// Creating or deleting a lease of one of several streams.
    Listed(LeaseKey),
    /// Reading the table, to see who else serves a stream that this worker has left.
    StreamRemoval,
    /// Looking at the leases that one is to take after their owners.
    Awaited,
    /// Claiming a lease.
    Claim(LeaseKey),
    /// Writing a held lease.
    Held(LeaseKey),
    /// Creating a child (second) of an ended lease (first).
    Child(LeaseKey, LeaseKey),
    /// Looking at the other parents of an ended lease's children.
    Parents(LeaseKey),
    /// Asking what LATEST means for a lease whose row does not say it.
    Pin(LeaseKey),
    /// Comparing leases and consumers.
    Reconcile,
    /// Looking whether a replay is done.
    Replayed,
    /// Orderly shutdown.
    Departure,
}

impl CallId {
    /// Whether it belongs to a term.
    fn is_leaders(&self) -> bool {
        match self {
            CallId::Cycle
            | CallId::Sessions
            | CallId::Shards
            | CallId::SyncPass
            | CallId::FleetHeartbeat
            | CallId::FleetSettings
            | CallId::Fence(_)
            | CallId::PlanOf(_)
            | CallId::Collect(_)
            | CallId::Sync(_) => true,
            CallId::Page(part) => part.is_leaders(),
            CallId::Start
            | CallId::Correct(_)
            | CallId::Contact
            | CallId::FleetRow
            | CallId::Session
            | CallId::Wake
            | CallId::FleetPoll
            | CallId::TakeTerm
            | CallId::AssignmentRow
            | CallId::Awaited
            | CallId::Claim(_)
            | CallId::Held(_)
            | CallId::Child(..)
            | CallId::Parents(_)
            | CallId::Pin(_)
            | CallId::ShardSync
            | CallId::Stream(_)
            | CallId::Listed(_)
            | CallId::StreamRemoval
            | CallId::Reconcile
            | CallId::Replayed
            | CallId::Departure => false,
        }
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == CallId::FleetRow {
            f.write_str("creating the fleet row")
        } else if *self == CallId::Session {
            f.write_str("registering the session")
        } else {
            write!(f, "{self:?}")
        }
    }
}

/// What a part asks for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Op {
    /// One conditional write.
    Write(Write),
    /// Some rows.
    Read(Vec<RowKey>, Consistency),
    /// As many as can be read of many rows. A row that is not there, and one that could not be read, are both left out.
    ReadSome(Vec<RowKey>, Consistency),
    /// The whole table. See [`super::table_read`].
    Scan,
    /// A page of it: at most so many rows, within that time.
    Page { after: Option<PageToken>, rows: u32, within: Duration },
    /// The shards of a stream: of one of several, or of the only one.
    List(Option<StreamId>, ListWhich),
}

/// What came back.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// Of a write.
    Written(Written),
    /// Of a read, in the order asked.
    Rows(Vec<Option<Row>>),
    /// Of a scan.
    Table(Table),
    /// Of one page of it.
    Page(Page),
    /// Of a list.
    Listing(Listing),
    /// Of anything.
    Failed(Failure),
}

/// Why a call has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No room now. A throttled write was not applied.
    Throttled,
    /// Nothing came back: a write may have been applied, or may be yet.
    Unanswered,
    /// The service refused it.
    Refused(Refusal),
}

/// Why a service refused a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The page of it, where a person must mend something.
    pub(crate) code: Option<Code>,
    /// What happened, to what.
    pub(crate) message: String,
    /// Whether what was asked for does not exist.
    pub(crate) missing: bool,
}

/// A call to make.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Call {
    pub(crate) part: CallId,
    pub(crate) life: Generation,
    pub(crate) op: Op,
}

/// Which life of the worker, and which of its terms, asks: answers to a former one are nobody's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Generation {
    session: u64,
    term: u64,
}

/// A call that came back.
#[derive(Clone, Debug)]
pub(crate) struct Answered {
    pub(crate) part: CallId,
    pub(crate) life: Generation,
    /// When it was sent.
    pub(crate) sent: Time,
    pub(crate) answer: Answer,
}

/// Timers, one a part.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    by_part: BTreeMap<CallId, Time>,
    by_time: BTreeSet<(Time, CallId)>,
}

impl Timers {
    fn set(&mut self, part: CallId, at: Time) {
        if let Some(before) = self.by_part.insert(part.clone(), at) {
            self.by_time.remove(&(before, part.clone()));
        }
        self.by_time.insert((at, part));
    }

    fn clear(&mut self, part: &CallId) {
        if let Some(at) = self.by_part.remove(part) {
            self.by_time.remove(&(at, part.clone()));
        }
    }

    fn take_due(&mut self, now: Time) -> Option<CallId> {
        let (at, part) = self.by_time.first()?;
        if *at > now {
            return None;
        }
        let part = part.clone();
        self.clear(&part);
        Some(part)
    }
}

/// Two processes that race, or one row that somebody removes, bring a part back to its start once or twice. More often than
/// that, the table does not do what it answers.
const QUICK_ROUNDS: u32 = 2;

/// Where the parts leave what they want done.
#[derive(Debug)]
pub(crate) struct Effects {
    pub(crate) now: Time,
    pub(crate) rng: fastrand::Rng,
    life: Generation,
    calls: Vec<Call>,
    happened: Vec<CoordinationEvent>,
    timers: Timers,
    attempts: Attempts,
    rounds: Attempts,
    /// Since when the table has answered without a long gap.
    pub(crate) contact: Contact,
}

impl Effects {
    pub(crate) fn new(rng: fastrand::Rng) -> Self {
        Effects {
            now: Time::ZERO,
            rng,
            life: Generation::default(),
            calls: Vec::new(),
            happened: Vec::new(),
            timers: Timers::default(),
            attempts: Attempts::default(),
            rounds: Attempts::default(),
            contact: Contact::new(LONGEST_GAP),
        }
    }

    /// Asks for a call.
    pub(crate) fn call(&mut self, part: CallId, op: Op) {
        self.calls.push(Call { part, life: self.life, op });
    }

    /// Asks for a write.
    pub(crate) fn write(&mut self, part: CallId, write: Write) {
        self.call(part, Op::Write(write));
    }

    /// Asks to be reminded; a later reminder of the same part replaces an earlier one.
    pub(crate) fn remind(&mut self, part: CallId, at: Time) {
        self.timers.set(part, at);
    }

    /// Asks for a reminder to repeat a call that failed: later each time, until [`succeeded`](Self::succeeded).
    pub(crate) fn repeat(&mut self, part: CallId) {
        self.repeat_by(RetryPolicy::default(), part);
    }

    /// The same, with pauses of one's own.
    pub(crate) fn repeat_by(&mut self, policy: RetryPolicy, part: CallId) {
        let pause = policy.pause(self.attempts.failed(&part));
        let pause = self.jittered(pause);
        self.remind(part, self.now + pause);
    }

    /// Whether a part that is back at its start, although no call failed, may go on at once: so it is for the first rounds
    /// since it last succeeded. After that it is reminded, later each time, and this says so once.
    pub(crate) fn may_start_over(&mut self, part: &CallId) -> bool {
        let Some(slow) = self.rounds.failed(part).checked_sub(QUICK_ROUNDS).filter(|slow| *slow > 0) else {
            return true;
        };
        let pause = RetryPolicy::default().pause(slow);
        let pause = self.jittered(pause);
        if slow == 1 {
            self.tell(CoordinationEvent::StartsOver { part: part.to_string(), pause });
        }
        self.remind(part.clone(), self.now + pause);
        false
    }

    /// Pauses of this part begin with the shortest again.
    pub(crate) fn succeeded(&mut self, part: &CallId) {
        self.attempts.succeeded(part);
        self.rounds.succeeded(part);
    }

    /// Asks for no reminder.
    pub(crate) fn forget(&mut self, part: &CallId) {
        self.timers.clear(part);
    }

    /// Tells what happened.
    pub(crate) fn tell(&mut self, happening: CoordinationEvent) {
        self.happened.push(happening);
    }

    /// A duration up to 10 % off either way, so that a fleet does not move in step.
    pub(crate) fn jittered(&mut self, about: std::time::Duration) -> std::time::Duration {
        about.mul_f64(0.9 + 0.2 * self.rng.f64())
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.rng.u64(..end)
    }

    /// A new life begins: nothing that is under way concerns it.
    pub(crate) fn begin_life(&mut self) {
        self.life.session += 1;
        self.calls.clear();
        self.timers = Timers::default();
    }

    /// A term begins or ends: what a former one had under way does not concern the next.
    pub(crate) fn turn_term(&mut self) {
        self.life.term += 1;
        let leaders: Vec<CallId> = self.timers.by_part.keys().filter(|part| part.is_leaders()).cloned().collect();
        for part in leaders {
            self.timers.clear(&part);
        }
    }

    /// Whether the answer is to somebody who still asks.
    pub(crate) fn awaits(&self, answered: &Answered) -> bool {
        self.is_current(&answered.part, answered.life)
    }

    /// Whether what that part asked for in that life still concerns it.
    pub(crate) fn is_current(&self, part: &CallId, life: Generation) -> bool {
        life.session == self.life.session && (life.term == self.life.term || !part.is_leaders())
    }

    pub(crate) fn take_calls(&mut self) -> Vec<Call> {
        std::mem::take(&mut self.calls)
    }

    pub(crate) fn take_happenings(&mut self) -> Vec<CoordinationEvent> {
        std::mem::take(&mut self.happened)
    }

    /// The next part whose timer is due.
    pub(crate) fn take_due(&mut self) -> Option<CallId> {
        self.timers.take_due(self.now)
    }

    /// When the next timer is due.
    pub(crate) fn next_due(&self) -> Option<Time> {
        self.timers.by_time.first().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_comes_back_to_its_start_waits_longer_each_time_and_says_so_once() {
        let mut effects = Effects::new(fastrand::Rng::with_seed(1));
        assert!(effects.may_start_over(&CallId::Session) && effects.may_start_over(&CallId::Session));
        let mut pauses = Vec::new();
        for _ in 0..5 {
            assert!(!effects.may_start_over(&CallId::Session));
            pauses.push(effects.next_due().unwrap().since(effects.now).as_millis());
        }
        assert!(pauses[0] >= 270 && pauses[0] < pauses[1] && pauses[1] < pauses[2], "{pauses:?}");
        assert!(pauses[4] >= 1_350 && pauses[4] <= 1_650, "{pauses:?}");
        assert_eq!(effects.take_happenings().len(), 1);
        effects.succeeded(&CallId::Session);
        assert!(effects.may_start_over(&CallId::Session));
    }

    #[test]
    fn a_later_reminder_replaces_an_earlier_one() {
        let mut effects = Effects::new(fastrand::Rng::with_seed(1));
        effects.remind(CallId::FleetPoll, Time::from_nanos(5));
        effects.remind(CallId::Session, Time::from_nanos(7));
        effects.remind(CallId::FleetPoll, Time::from_nanos(9));
        assert_eq!(effects.next_due(), Some(Time::from_nanos(7)));
        effects.now = Time::from_nanos(8);
        assert_eq!(effects.take_due(), Some(CallId::Session));
        assert_eq!(effects.take_due(), None);
        effects.now = Time::from_nanos(9);
        assert_eq!(effects.take_due(), Some(CallId::FleetPoll));
        assert_eq!(effects.next_due(), None);
    }

    #[test]
    fn answers_to_a_former_term_are_nobodys_and_the_others_still_arrive() {
        let mut effects = Effects::new(fastrand::Rng::with_seed(1));
        for part in [CallId::FleetHeartbeat, CallId::FleetPoll] {
            effects.call(part, Op::Scan);
        }
        let answered = |call: Call| Answered {
            part: call.part,
            life: call.life,
            sent: Time::ZERO,
            answer: Answer::Failed(Failure::Unanswered),
        };
        let answers: Vec<Answered> = effects.take_calls().into_iter().map(answered).collect();
        assert!(answers.iter().all(|answer| effects.awaits(answer)));
        effects.turn_term();
        assert_eq!(answers.iter().map(|answer| effects.awaits(answer)).collect::<Vec<_>>(), [false, true]);
        effects.begin_life();
        assert!(!answers.iter().any(|answer| effects.awaits(answer)));
    }
}
