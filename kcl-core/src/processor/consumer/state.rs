//! What the consumer of one shard is doing, and what comes next. Pure: see `run.rs` for the loop that obeys.

use crate::clock::Time;
use crate::mutant::{self, Mutant};
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
    /// The lease is given up.
    StopShard,
    /// The worker is stopped.
    StopWorker,
    /// It was the last callback, which has one try.
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
        Event::Done => done(state),
        Event::Failed { failures, verdict, reason } => failed(state, failures, verdict, reason),
        Event::Chunk { records: true, end: Some(children) } if mutant::is(Mutant::EndsUnacknowledged) => {
            (State::work(Task::End { children }), vec![])
        }
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

fn done(state: State) -> (State, Vec<Command>) {
    match state {
        State::Working(Task::Process { end: Some(children) }, _) => {
            (State::work(Task::End { children }), vec![Command::Acknowledge])
        }
        State::Working(Task::Process { end: None }, _) => (State::work(Task::Read), vec![Command::Acknowledge]),
        State::Working(Task::Initialize | Task::Read, _) => (State::work(Task::Read), vec![]),
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
        // These have one try.
        (state @ (State::Draining | State::Losing(_)), _) => done(state),
        (state @ State::Working(..), Verdict::MoveOn) => (state, vec![]),
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

#[cfg(test)]
mod tests {
    use super::*;

    const NEVER: Failures = Failures { count: 0, since: None };
    const ONCE: Failures = Failures { count: 1, since: Some(Time::ZERO) };
    const SOON: Duration = Duration::from_millis(150);

    fn process(end: Option<Vec<Shard>>) -> Task {
        Task::Process { end }
    }

    fn failed(verdict: Verdict) -> Event {
        Event::Failed { failures: ONCE, verdict, reason: "down".to_owned() }
    }

    fn gave_up(stop_worker: bool) -> Vec<Command> {
        vec![Command::Report(ReportKind::GaveUp { reason: "down".to_owned(), stop_worker })]
    }

    const DRAINED: [Command; 1] = [Command::Report(ReportKind::Drained)];

    #[test]
    fn records_are_acknowledged_when_the_handler_is_done_and_then_the_next_are_read() {
        let (state, commands) = step(State::begin(), Event::Done);
        assert_eq!((state, commands), (State::Working(Task::Read, NEVER), vec![]));
        let (state, commands) = step(State::Working(Task::Read, NEVER), Event::Chunk { records: true, end: None });
        assert_eq!((&state, commands), (&State::Working(process(None), NEVER), vec![]));
        let (state, commands) = step(state, Event::Done);
        assert_eq!((state, commands), (State::Working(Task::Read, NEVER), vec![Command::Acknowledge]));
    }

    #[test]
    fn an_empty_chunk_is_no_batch() {
        let (state, commands) = step(State::Working(Task::Read, ONCE), Event::Chunk { records: false, end: None });
        assert_eq!((state, commands), (State::Working(Task::Read, NEVER), vec![]));
    }

    #[test]
    fn the_end_of_the_shard_waits_for_the_last_batch_and_for_shard_ended() {
        let end = Event::Chunk { records: true, end: Some(vec![]) };
        let (state, _) = step(State::Working(Task::Read, NEVER), end);
        assert_eq!(state, State::Working(process(Some(vec![])), NEVER));
        let (state, commands) = step(state, Event::Done);
        assert_eq!(state, State::Working(Task::End { children: vec![] }, NEVER));
        assert_eq!(commands, [Command::Acknowledge]);
        let (state, commands) = step(state, Event::Done);
        assert_eq!((state, commands), (State::Stopped(Why::Ended), vec![Command::Report(ReportKind::Ended(vec![]))]));
    }

    #[test]
    fn what_failed_is_tried_again_as_it_was() {
        for task in [Task::Initialize, Task::Read, process(Some(vec![])), Task::End { children: vec![] }] {
            let (state, commands) = step(State::Working(task.clone(), NEVER), failed(Verdict::Retry(SOON)));
            assert_eq!((&state, commands), (&State::Retrying(task.clone(), ONCE, SOON), vec![]));
            assert_eq!(step(state, Event::Due), (State::Working(task, ONCE), vec![]));
        }
    }

    #[test]
    fn a_policy_that_stops_is_obeyed_and_nothing_is_acknowledged() {
        let state = || State::Working(process(None), NEVER);
        assert_eq!(step(state(), failed(Verdict::StopShard)), (State::Losing(Why::GaveUp), gave_up(false)));
        assert_eq!(step(state(), failed(Verdict::StopWorker)), (State::Losing(Why::GaveUp), gave_up(true)));
    }

    #[test]
    fn a_batch_that_waits_for_the_session_is_due_again_unchanged() {
        let (state, commands) = step(State::Working(process(Some(vec![])), ONCE), Event::GateShut);
        assert_eq!((&state, commands), (&State::Holding { end: Some(vec![]), failures: ONCE }, vec![]));
        assert_eq!(step(state, Event::Due), (State::Working(process(Some(vec![])), ONCE), vec![]));
    }

    #[test]
    fn a_drain_ends_in_shutdown_requested_and_then_a_report() {
        assert_eq!(step(State::Working(Task::Read, NEVER), Event::DrainAsked), (State::Draining, vec![]));
        assert_eq!(step(State::Draining, Event::Done), (State::Stopped(Why::Drained), DRAINED.to_vec()));
    }

    #[test]
    fn a_drain_leaves_what_failed_or_waits_to_the_next_owner() {
        let waiting = [
            State::Working(Task::Read, NEVER),
            State::Holding { end: None, failures: NEVER },
            State::Retrying(process(None), ONCE, SOON),
            State::Retrying(Task::End { children: vec![] }, ONCE, SOON),
        ];
        for state in waiting {
            assert_eq!(step(state, Event::DrainAsked), (State::Draining, vec![]));
        }
    }

    #[test]
    fn a_processor_that_never_began_is_not_asked_to_shut_down() {
        let drained = (State::Stopped(Why::Drained), DRAINED.to_vec());
        assert_eq!(step(State::Retrying(Task::Initialize, ONCE, SOON), Event::DrainAsked), drained);
    }

    #[test]
    fn a_failing_shutdown_requested_delays_nothing() {
        assert_eq!(step(State::Draining, failed(Verdict::MoveOn)), (State::Stopped(Why::Drained), DRAINED.to_vec()));
    }

    #[test]
    fn a_lost_lease_ends_everything_without_an_acknowledgement_or_a_report() {
        let states = [
            State::begin(),
            State::Working(Task::Read, NEVER),
            State::Working(process(Some(vec![])), ONCE),
            State::Working(Task::End { children: vec![] }, NEVER),
            State::Holding { end: None, failures: NEVER },
            State::Retrying(process(None), ONCE, SOON),
            State::Draining,
        ];
        for state in states {
            assert_eq!(step(state, Event::Closed), (State::Losing(Why::LeaseLost), vec![]));
        }
        let lost = (State::Stopped(Why::LeaseLost), vec![]);
        assert_eq!(step(State::Losing(Why::LeaseLost), Event::Done), lost);
        assert_eq!(step(State::Losing(Why::LeaseLost), failed(Verdict::MoveOn)), lost);
    }

    #[test]
    fn a_reader_that_is_gone_gives_the_lease_up() {
        let (state, commands) = step(State::Working(Task::Read, NEVER), Event::ReaderGone);
        assert_eq!(state, State::Losing(Why::GaveUp));
        assert!(matches!(&commands[..], [Command::Report(ReportKind::GaveUp { stop_worker: false, .. })]));
    }
}
