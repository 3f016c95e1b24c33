//! Defines the state machine of one lane of a shard's consumer. Pure: `lane.rs` is the loop that
//! runs it.

use crate::clock::Time;
use crate::error::Code;
use crate::shard::Shard;
use std::time::Duration;

/// A step that has to succeed before the lane does anything else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// Call `initialize`.
    Initialize,
    /// Wait for the next batch.
    Read,
    /// Call `process_records` with the current batch.
    Process,
    /// Pass the current record to the dead-letter sink.
    DeadLetter,
    /// Call `shard_ended`: every delivered record is acknowledged.
    End {
        /// The shard's children.
        children: Vec<Shard>,
    },
}

/// Failures in a row of one task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Failures {
    /// Their number.
    pub(super) count: u32,
    /// When the first one occurred.
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

/// The state of a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Runs a task, which has had these failures.
    Working(Task, Failures),
    /// Waits with a batch because the session's delivery gate is closed.
    GateClosed(Failures),
    /// Waits for this long before a failed task is retried.
    Retrying(Task, Failures, Duration),
    /// Calls `shutdown_requested`, the last callback if the lease is released in an orderly way.
    Draining,
    /// Calls `lease_lost`, the last callback if the lease is lost or given up.
    Losing(StopReason),
    /// No callback follows.
    Stopped(StopReason),
}

/// Why a lane stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StopReason {
    Drained,
    Ended,
    LeaseLost,
    GaveUp,
}

impl StopReason {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            StopReason::Drained => "drained",
            StopReason::Ended => "shard ended",
            StopReason::LeaseLost => "lease lost",
            StopReason::GaveUp => "gave up",
        }
    }
}

/// What happened to a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// The callback succeeded.
    Done,
    /// The callback, or the reader, failed.
    Failed {
        /// Failures in a row, this one included.
        failures: Failures,
        /// What follows.
        action: FailureAction,
        /// The failure, for the operator.
        reason: String,
    },
    /// A batch is to be delivered, which has had these failures.
    Batch(Failures),
    /// There is nothing to do.
    Nothing,
    /// The shard ended with these children, and every record is acknowledged.
    End(Vec<Shard>),
    /// The reader is gone although the shard has not ended.
    ReaderGone,
    /// The delivery gate was closed when the batch was to be delivered.
    GateClosed,
    /// The wait is over.
    Due,
    /// The owner requested a drain, possibly while a callback ran, which has completed by now.
    DrainRequested,
    /// The delivery is closed.
    Closed,
}

/// What follows a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FailureAction {
    /// Retry after this pause.
    Retry(Duration),
    /// The records are back in the lane's queue, in parts; go on with the queue.
    Requeued,
    /// Pass the current record to the dead-letter sink.
    DeadLetter,
    /// The current record is in quarantine; go on with the queue.
    Quarantined,
    /// Release the lease.
    StopShard,
    /// Stop the worker with an error of this code.
    StopWorker(Code),
    /// Stop the worker: the handler uses its checkpoint store in a way that would skip records.
    StoreMisused,
    /// None: the last callback of a lane is not retried.
    Ignore,
}

/// What the loop is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// Acknowledge the current batch.
    Acknowledge,
    /// Report to the owner that the consumer is drained, if this is the last lane.
    Drained,
    /// Report the end of the shard and its children, if this is the last lane.
    Ended(Vec<Shard>),
    /// Report to the owner that the consumer cannot go on.
    GiveUp {
        /// Why, for the operator.
        reason: String,
        /// The code of the error with which the worker is to stop; `None` if only the lease is
        /// released.
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

    /// Failures in a row of the current task.
    pub(super) fn failures(&self) -> Failures {
        match self {
            State::Working(_, failures) | State::Retrying(_, failures, _) | State::GateClosed(failures) => *failures,
            State::Draining | State::Losing(_) | State::Stopped(_) => Failures::default(),
        }
    }
}

/// Returns the next state and the commands for the loop.
pub(super) fn step(state: State, event: Event) -> (State, Vec<Command>) {
    match event {
        Event::Closed => (lease_lost(state), vec![]),
        Event::DrainRequested => drain(state),
        Event::Done => done(state),
        Event::Failed { failures, action, reason } => failed(state, failures, action, reason),
        Event::Batch(failures) => (State::Working(Task::Process, failures), vec![]),
        Event::Nothing => (State::work(Task::Read), vec![]),
        Event::End(children) => (State::work(Task::End { children }), vec![]),
        Event::ReaderGone => give_up("the shard's reader panicked; this is a bug, please report it".to_owned(), None),
        Event::GateClosed => match state {
            State::Working(Task::Process, failures) => (State::GateClosed(failures), vec![]),
            other @ (State::Working(..)
            | State::GateClosed(_)
            | State::Retrying(..)
            | State::Draining
            | State::Losing(_)
            | State::Stopped(_)) => (other, vec![]),
        },
        Event::Due => match state {
            State::GateClosed(failures) => (State::Working(Task::Process, failures), vec![]),
            State::Retrying(task, failures, _) => (State::Working(task, failures), vec![]),
            other @ (State::Working(..) | State::Draining | State::Losing(_) | State::Stopped(_)) => (other, vec![]),
        },
    }
}

fn done(state: State) -> (State, Vec<Command>) {
    match state {
        State::Working(Task::Process | Task::DeadLetter, _) => (State::work(Task::Read), vec![Command::Acknowledge]),
        State::Working(Task::Initialize | Task::Read, _) => (State::work(Task::Read), vec![]),
        State::Working(Task::End { children }, _) => {
            (State::Stopped(StopReason::Ended), vec![Command::Ended(children)])
        }
        State::Draining => (State::Stopped(StopReason::Drained), vec![Command::Drained]),
        State::Losing(why) => (State::Stopped(why), vec![]),
        other @ (State::GateClosed(_) | State::Retrying(..) | State::Stopped(_)) => (other, vec![]),
    }
}

fn failed(state: State, failures: Failures, action: FailureAction, reason: String) -> (State, Vec<Command>) {
    match (state, action) {
        (State::Working(task, _), FailureAction::Retry(after)) => (State::Retrying(task, failures, after), vec![]),
        (State::Working(..), FailureAction::Requeued | FailureAction::Quarantined) => (State::work(Task::Read), vec![]),
        (State::Working(..), FailureAction::DeadLetter) => (State::work(Task::DeadLetter), vec![]),
        (State::Working(..), FailureAction::StopShard) => give_up(reason, None),
        (State::Working(..), FailureAction::StopWorker(code)) => give_up(reason, Some(code)),
        (State::Working(..), FailureAction::StoreMisused) => give_up(reason, Some(Code::StoreMisused)),
        // The last callback is not retried: a failing `shutdown_requested` must not delay a
        // handoff.
        (state @ (State::Draining | State::Losing(_)), _) => done(state),
        (state @ State::Working(..), FailureAction::Ignore) => (state, vec![]),
        (other @ (State::GateClosed(_) | State::Retrying(..) | State::Stopped(_)), _) => (other, vec![]),
    }
}

fn give_up(reason: String, stops_with: Option<Code>) -> (State, Vec<Command>) {
    (State::Losing(StopReason::GaveUp), vec![Command::GiveUp { reason, stops_with }])
}

/// Starts an orderly stop. The next owner delivers again what is not acknowledged.
fn drain(state: State) -> (State, Vec<Command>) {
    match state {
        // `initialize` never succeeded, so there is nothing to shut down.
        State::Working(Task::Initialize, _) | State::Retrying(Task::Initialize, ..) => {
            (State::Stopped(StopReason::Drained), vec![Command::Drained])
        }
        State::Working(..) | State::Retrying(..) | State::GateClosed(_) => (State::Draining, vec![]),
        other @ (State::Draining | State::Losing(_) | State::Stopped(_)) => (other, vec![]),
    }
}

fn lease_lost(state: State) -> State {
    match state {
        State::Working(..) | State::GateClosed(_) | State::Retrying(..) | State::Draining => {
            State::Losing(StopReason::LeaseLost)
        }
        other @ (State::Losing(_) | State::Stopped(_)) => other,
    }
}

#[cfg(test)]
mod tests;
