//! What the consumer of one shard is doing, and what comes next. Pure: see `run.rs` for the loop that obeys.

use crate::clock::Time;
use crate::processor::ReportKind;
use crate::shard::Shard;
use std::time::Duration;

/// What has to succeed before anything else is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// Call `initialize`.
    Initialize,
    /// Wait for the next chunk.
    Read,
    /// Call `process_records` with the batch at hand; `end` if the shard ends with it.
    Process {
        /// The shards it ends in.
        end: Option<Vec<Shard>>,
    },
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
    Holding {
        /// As in [`Task::Process`].
        end: Option<Vec<Shard>>,
        /// As in [`State::Working`].
        failures: Failures,
    },
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
    Done {
        /// Whether a drain was asked for meanwhile.
        draining: bool,
    },
    /// The callback, or the reader, failed.
    Failed {
        /// This failure included.
        failures: Failures,
        /// What follows.
        verdict: Verdict,
        /// For the operator.
        reason: String,
    },
    /// A chunk came.
    Chunk {
        /// With records: they are the batch at hand now.
        records: bool,
        /// The end of the shard.
        end: Option<Vec<Shard>>,
    },
    /// The reader is gone without an end.
    ReaderGone,
    /// The gate was found shut when the batch was due.
    GateShut,
    /// The wait is over.
    Due,
    /// The owner asks for a drain, while no callback runs.
    DrainAsked,
    /// The delivery is closed.
    Closed,
}

/// What follows a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Again, after this.
    Retry(Duration),
    /// The lease is given up.
    StopShard,
    /// The worker is stopped.
    StopWorker,
    /// A drain was asked for, or it was the last callback: no more tries here.
    MoveOn,
}

/// What the loop does at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// The batch at hand is done.
    Acknowledge,
    /// Tell the owner.
    Report(ReportKind),
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
            State::Working(_, failures) | State::Retrying(_, failures, _) | State::Holding { failures, .. } => {
                *failures
            }
            State::Draining | State::Losing(_) | State::Stopped(_) => Failures::default(),
        }
    }
}

/// One step.
pub(super) fn step(state: State, event: Event) -> (State, Vec<Command>) {
    match event {
        Event::Closed => (lose(state), vec![]),
        Event::DrainAsked => drain(state),
        Event::Done { draining } => done(state, draining),
        Event::Failed { failures, verdict, reason } => failed(state, failures, verdict, reason),
        Event::Chunk { records: true, end } => (State::work(Task::Process { end }), vec![]),
        Event::Chunk { records: false, end: Some(children) } => (State::work(Task::End { children }), vec![]),
        Event::Chunk { records: false, end: None } => (State::work(Task::Read), vec![]),
        Event::ReaderGone => give_up("its reader panicked, which is a bug; please report it".to_owned(), false),
        Event::GateShut => match state {
            State::Working(Task::Process { end }, failures) => (State::Holding { end, failures }, vec![]),
            other @ (State::Working(..)
            | State::Holding { .. }
            | State::Retrying(..)
            | State::Draining
            | State::Losing(_)
            | State::Stopped(_)) => (other, vec![]),
        },
        Event::Due => match state {
            State::Holding { end, failures } => (State::Working(Task::Process { end }, failures), vec![]),
            State::Retrying(task, failures, _) => (State::Working(task, failures), vec![]),
            other @ (State::Working(..) | State::Draining | State::Losing(_) | State::Stopped(_)) => (other, vec![]),
        },
    }
}

fn done(state: State, draining: bool) -> (State, Vec<Command>) {
    let read = |draining| if draining { State::Draining } else { State::work(Task::Read) };
    match state {
        State::Working(Task::Process { end: Some(children) }, _) => {
            (State::work(Task::End { children }), vec![Command::Acknowledge])
        }
        State::Working(Task::Process { end: None }, _) => (read(draining), vec![Command::Acknowledge]),
        State::Working(Task::Initialize | Task::Read, _) => (read(draining), vec![]),
        State::Working(Task::End { children }, _) => {
            (State::Stopped(Why::Ended), vec![Command::Report(ReportKind::Ended(children))])
        }
        State::Draining => (State::Stopped(Why::Drained), vec![Command::Report(ReportKind::Drained)]),
        State::Losing(why) => (State::Stopped(why), vec![]),
        other @ (State::Holding { .. } | State::Retrying(..) | State::Stopped(_)) => (other, vec![]),
    }
}

fn failed(state: State, failures: Failures, verdict: Verdict, reason: String) -> (State, Vec<Command>) {
    match (state, verdict) {
        (State::Working(task, _), Verdict::Retry(after)) => (State::Retrying(task, failures, after), vec![]),
        (State::Working(..), Verdict::StopShard) => give_up(reason, false),
        (State::Working(..), Verdict::StopWorker) => give_up(reason, true),
        (state @ State::Working(..), Verdict::MoveOn) => drain(state),
        // The last callbacks have one try.
        (state @ (State::Draining | State::Losing(_)), _) => done(state, true),
        (other @ (State::Holding { .. } | State::Retrying(..) | State::Stopped(_)), _) => (other, vec![]),
    }
}

fn give_up(reason: String, stop_worker: bool) -> (State, Vec<Command>) {
    (State::Losing(Why::GaveUp), vec![Command::Report(ReportKind::GaveUp { reason, stop_worker })])
}

/// What is not acknowledged comes again at the next owner.
fn drain(state: State) -> (State, Vec<Command>) {
    match state {
        // It never began: there is nothing to say goodbye to.
        State::Working(Task::Initialize, _) | State::Retrying(Task::Initialize, ..) => {
            (State::Stopped(Why::Drained), vec![Command::Report(ReportKind::Drained)])
        }
        State::Working(..) | State::Retrying(..) | State::Holding { .. } => (State::Draining, vec![]),
        other @ (State::Draining | State::Losing(_) | State::Stopped(_)) => (other, vec![]),
    }
}

fn lose(state: State) -> State {
    match state {
        State::Working(..) | State::Holding { .. } | State::Retrying(..) | State::Draining => {
            State::Losing(Why::LeaseLost)
        }
        other @ (State::Losing(_) | State::Stopped(_)) => other,
    }
}
