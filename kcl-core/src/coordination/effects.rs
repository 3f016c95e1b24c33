//! What the coordination asks of the outside, as values: calls, timers, happenings. Knows no protocol.

use crate::clock::Time;
use crate::error::Code;
use crate::lease::row::{LeaseKey, Row, RowKey, WorkerId};
use crate::lease::{Consistency, Table, Write, Written};
use crate::shard::{ListWhich, Listing};
use crate::telemetry::event::coordination::Happening;
use std::collections::{BTreeMap, BTreeSet};

/// A part of the coordination that has at most one call and one timer under way.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Part {
    /// The look at the table before anything is written.
    Start,
    /// Making a fleet row where there is none.
    FleetRow,
    /// Drawing, registering, beating.
    Session,
    /// Asking the planner to read the table.
    Wake,
    /// Looking at the fleet row.
    Watch,
    /// Taking the next term.
    TakeTerm,
    /// Reading one's plan row.
    PlanRow,
    /// The planner's cycle.
    Cycle,
    /// The planner lists the stream's shards.
    Shards,
    /// The planner's beat.
    FleetBeat,
    /// The planner ends a silent session.
    Fence(WorkerId),
    /// The planner writes a plan row.
    PlanOf(WorkerId),
    /// The planner clears away the rows of a worker that has ended.
    Collect(WorkerId),
    /// The planner creates or deletes a lease.
    Sync(LeaseKey),
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
    /// Leaving.
    Goodbye,
}

/// What a part asks for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Op {
    /// One conditional write.
    Write(Write),
    /// Some rows.
    Read(Vec<RowKey>, Consistency),
    /// The whole table.
    Scan,
    /// The stream's shards.
    List(ListWhich),
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
}

/// A call to make.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Call {
    pub(crate) part: Part,
    /// Which life of the worker asks: answers to a former one are nobody's.
    pub(crate) life: u64,
    pub(crate) op: Op,
}

/// A call that came back.
#[derive(Clone, Debug)]
pub(crate) struct Answered {
    pub(crate) part: Part,
    pub(crate) life: u64,
    /// When it was sent.
    pub(crate) sent: Time,
    pub(crate) answer: Answer,
}

/// Timers, one a part.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    by_part: BTreeMap<Part, Time>,
    by_time: BTreeSet<(Time, Part)>,
}

impl Timers {
    fn set(&mut self, part: Part, at: Time) {
        if let Some(before) = self.by_part.insert(part.clone(), at) {
            self.by_time.remove(&(before, part.clone()));
        }
        self.by_time.insert((at, part));
    }

    fn clear(&mut self, part: &Part) {
        if let Some(at) = self.by_part.remove(part) {
            self.by_time.remove(&(at, part.clone()));
        }
    }

    fn take_due(&mut self, now: Time) -> Option<Part> {
        let (at, part) = self.by_time.first()?;
        if *at > now {
            return None;
        }
        let part = part.clone();
        self.clear(&part);
        Some(part)
    }
}

/// Where the parts leave what they want done.
#[derive(Debug)]
pub(crate) struct Effects {
    pub(crate) now: Time,
    pub(crate) rng: fastrand::Rng,
    life: u64,
    calls: Vec<Call>,
    happened: Vec<Happening>,
    timers: Timers,
}

impl Effects {
    pub(crate) fn new(rng: fastrand::Rng) -> Self {
        Effects { now: Time::ZERO, rng, life: 0, calls: Vec::new(), happened: Vec::new(), timers: Timers::default() }
    }

    /// Asks for a call.
    pub(crate) fn call(&mut self, part: Part, op: Op) {
        self.calls.push(Call { part, life: self.life, op });
    }

    /// Asks for a write.
    pub(crate) fn write(&mut self, part: Part, write: Write) {
        self.call(part, Op::Write(write));
    }

    /// Asks to be reminded; a later reminder of the same part replaces an earlier one.
    pub(crate) fn remind(&mut self, part: Part, at: Time) {
        self.timers.set(part, at);
    }

    /// Asks for no reminder.
    pub(crate) fn forget(&mut self, part: &Part) {
        self.timers.clear(part);
    }

    /// Tells what happened.
    pub(crate) fn tell(&mut self, happening: Happening) {
        self.happened.push(happening);
    }

    /// A duration up to 10 % off either way, so that a fleet does not move in step.
    pub(crate) fn jittered(&mut self, about: std::time::Duration) -> std::time::Duration {
        about.mul_f64(0.9 + 0.2 * self.rng.f64())
    }

    /// A new life begins: nothing that is under way concerns it.
    pub(crate) fn begin_life(&mut self) {
        self.life += 1;
        self.calls.clear();
        self.timers = Timers::default();
    }

    pub(crate) fn life(&self) -> u64 {
        self.life
    }

    pub(crate) fn take_calls(&mut self) -> Vec<Call> {
        std::mem::take(&mut self.calls)
    }

    pub(crate) fn take_happenings(&mut self) -> Vec<Happening> {
        std::mem::take(&mut self.happened)
    }

    /// The next part whose timer is due.
    pub(crate) fn take_due(&mut self) -> Option<Part> {
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
    fn a_later_reminder_replaces_an_earlier_one() {
        let mut effects = Effects::new(fastrand::Rng::with_seed(1));
        effects.remind(Part::Watch, Time::from_nanos(5));
        effects.remind(Part::Session, Time::from_nanos(7));
        effects.remind(Part::Watch, Time::from_nanos(9));
        assert_eq!(effects.next_due(), Some(Time::from_nanos(7)));
        effects.now = Time::from_nanos(8);
        assert_eq!(effects.take_due(), Some(Part::Session));
        assert_eq!(effects.take_due(), None);
        effects.now = Time::from_nanos(9);
        assert_eq!(effects.take_due(), Some(Part::Watch));
        assert_eq!(effects.next_due(), None);
    }
}
