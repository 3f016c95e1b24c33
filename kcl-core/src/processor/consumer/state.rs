//! What one lane of a shard's consumer is doing, and what comes next. Pure: see `lane.rs` for the loop that obeys.

use crate::clock::Time;
use crate::error::Code;
use crate::shard::Shard;
use std::time::Duration;

/// What has to succeed before anything else is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// Call `initialize`.
    Initialize,
    /// Wait for the next batch.
    Read,
    /// Call `process_records` with the batch at hand.
    Process,
    /// Hand the record at hand to the dead-letter sink.
    DeadLetter,
    /// Call `shard_ended`: every delivered record is acknowledged.
    End {
        /// The shards it ended in.
        children: Vec<Shard>,
    },
}

/// Failures of one task in a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Failures {
    /// How many.
    pub(super) count: u32,
    /// When the first was.
    pub(super) since: Option<Time>,
}

impl Failures {
    pub(super) fn and_one(self, now: Time) -> Self {
        Failures { count: self.count.saturating_add(1), since: self.since.or(Some(now)) }
    }

    pub(super) fn age(self, now: Time) -> Duration {
        self.since.map_or(Duration::ZERO, |since| now.since(since))
    }
}

/// What the consumer is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// A task, that failed so often before.
    Working(Task, Failures),
    /// The batch at hand is due, but the session is late: look again soon.
    Holding(Failures),
    /// A task failed and is tried again after this.
    Retrying(Task, Failures, Duration),
    /// Calls `shutdown_requested`, the last callback of an orderly end.
    Draining,
    /// Calls `lease_lost`, the last callback of any other.
    Losing(Why),
    /// Nothing more is called.
    Stopped(Why),
}

/// Why a consumer stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    Drained,
    Ended,
    LeaseLost,
    GaveUp,
}

impl Why {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Why::Drained => "drained",
            Why::Ended => "shard ended",
            Why::LeaseLost => "lease lost",
            Why::GaveUp => "gave up",
        }
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// The callback is done.
    Done,
    /// The callback, or the reader, failed.
    Failed {
        /// This failure included.
        failures: Failures,
        /// What follows.
        verdict: Verdict,
        /// For the operator.
        reason: String,
    },
    /// A batch is at hand, that failed so often before.
    Batch(Failures),
    /// There was nothing after all.
    Nothing,
    /// Every record of the shard is acknowledged; it ended in these.
    End(Vec<Shard>),
    /// The reader is gone without an end.
    ReaderGone,
    /// The gate was found shut when the batch was due.
    GateShut,
    /// The wait is over.
    Due,
    /// The owner asks for a drain, or did while a callback ran: that one is done by now.
    DrainAsked,
    /// The delivery is closed.
    Closed,
}

/// What follows a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Again, after this.
    Retry(Duration),
    /// In parts, or what the policy gave up is set aside: what is next is read.
    Apart,
    /// The record at hand goes to the dead-letter sink.
    DeadLetter,
    /// The record at hand is parked.
    Parked,
    /// The lease is given up.
    StopShard,
    /// The worker is stopped, with an error of this code.
    StopWorker(Code),
    /// The worker is stopped: the handler uses its checkpoint store in a way that would skip records.
    Misused,
    /// It was the last callback, which has one try.
    MoveOn,
}

/// What the loop does at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// The batch at hand is done.
    Acknowledge,
    /// Tell the owner, if this is the last lane.
    Drained,
    /// The same: the shard ended in these.
    Ended(Vec<Shard>),
    /// Tell the owner that this cannot go on.
    GiveUp {
        /// Why.
        reason: String,
        /// The code of the error with which the worker is to stop, if it is.
        stops_with: Option<Code>,
    },
}

impl State {
    pub(super) fn begin() -> Self {
        State::work(Task::Initialize)
    }

    fn work(task: Task) -> Self {
        State::Working(task, Failures::default())
    }

    /// Failures so far of what is being done.
    pub(super) fn failures(&self) -> Failures {
        match self {
            State::Working(_, failures) | State::Retrying(_, failures, _) | State::Holding(failures) => *failures,
            State::Draining | State::Losing(_) | State::Stopped(_) => Failures::default(),
        }
    }
}

/// One step.
pub(super) fn step(state: State, event: Event) -> (State, Vec<Command>) {
    match event {
        Event::Closed => (lose(state), vec![]),
        Event::DrainAsked => drain(state),
        Event::Done => done(state),
        Event::Failed { failures, verdict, reason } => failed(state, failures, verdict, reason),
        Event::Batch(failures) => (State::Working(Task::Process, failures), vec![]),
        Event::Nothing => (State::work(Task::Read), vec![]),
        Event::End(children) => (State::work(Task::End { children }), vec![]),
        Event::ReaderGone => give_up("its reader panicked, which is a bug; please report it".to_owned(), None),
        Event::GateShut => match state {
            State::Working(Task::Process, failures) => (State::Holding(failures), vec![]),
            other @ (State::Working(..)
            | State::Holding(_)
            | State::Retrying(..)
            | State::Draining
            | State::Losing(_)
            | State::Stopped(_)) => (other, vec![]),
        },
        Event::Due => match state {
            State::Holding(failures) => (State::Working(Task::Process, failures), vec![]),
            State::Retrying(task, failures, _) => (State::Working(task, failures), vec![]),
            other @ (State::Working(..) | State::Draining | State::Losing(_) | State::Stopped(_)) => (other, vec![]),
        },
    }
}

fn done(state: State) -> (State, Vec<Command>) {
    match state {
        State::Working(Task::Process | Task::DeadLetter, _) => (State::work(Task::Read), vec![Command::Acknowledge]),
        State::Working(Task::Initialize | Task::Read, _) => (State::work(Task::Read), vec![]),
        State::Working(Task::End { children }, _) => (State::Stopped(Why::Ended), vec![Command::Ended(children)]),
        State::Draining => (State::Stopped(Why::Drained), vec![Command::Drained]),
        State::Losing(why) => (State::Stopped(why), vec![]),
        other @ (State::Holding(_) | State::Retrying(..) | State::Stopped(_)) => (other, vec![]),
    }
}

fn failed(state: State, failures: Failures, verdict: Verdict, reason: String) -> (State, Vec<Command>) {
    match (state, verdict) {
        (State::Working(task, _), Verdict::Retry(after)) => (State::Retrying(task, failures, after), vec![]),
        (State::Working(..), Verdict::Apart | Verdict::Parked) => (State::work(Task::Read), vec![]),
        (State::Working(..), Verdict::DeadLetter) => (State::work(Task::DeadLetter), vec![]),
        (State::Working(..), Verdict::StopShard) => give_up(reason, None),
        (State::Working(..), Verdict::StopWorker(code)) => give_up(reason, Some(code)),
        (State::Working(..), Verdict::Misused) => give_up(reason, Some(Code::StoreMisused)),
        // These have one try.
        (state @ (State::Draining | State::Losing(_)), _) => done(state),
        (state @ State::Working(..), Verdict::MoveOn) => (state, vec![]),
        (other @ (State::Holding(_) | State::Retrying(..) | State::Stopped(_)), _) => (other, vec![]),
    }
}

fn give_up(reason: String, stops_with: Option<Code>) -> (State, Vec<Command>) {
    (State::Losing(Why::GaveUp), vec![Command::GiveUp { reason, stops_with }])
}

/// What is not acknowledged comes again at the next owner.
fn drain(state: State) -> (State, Vec<Command>) {
    match state {
        // It never began: there is nothing to say goodbye to.
        State::Working(Task::Initialize, _) | State::Retrying(Task::Initialize, ..) => {
            (State::Stopped(Why::Drained), vec![Command::Drained])
        }
        State::Working(..) | State::Retrying(..) | State::Holding(_) => (State::Draining, vec![]),
        other @ (State::Draining | State::Losing(_) | State::Stopped(_)) => (other, vec![]),
    }
}

fn lose(state: State) -> State {
    match state {
        State::Working(..) | State::Holding(_) | State::Retrying(..) | State::Draining => State::Losing(Why::LeaseLost),
        other @ (State::Losing(_) | State::Stopped(_)) => other,
    }
}

#[cfg(test)]
mod tests;
