use super::*;

const NEVER: Failures = Failures { count: 0, since: None };
const ONCE: Failures = Failures { count: 1, since: Some(Time::ZERO) };
const SOON: Duration = Duration::from_millis(150);

fn failed(action: FailureAction) -> Event {
    Event::Failed { failures: ONCE, action, reason: "down".to_owned() }
}

fn gave_up(stops_with: Option<Code>) -> Vec<Command> {
    vec![Command::GiveUp { reason: "down".to_owned(), stops_with }]
}

const DRAINED: [Command; 1] = [Command::Drained];

#[test]
fn a_batch_is_acknowledged_when_the_handler_succeeds_and_then_the_next_is_read() {
    let (state, commands) = step(State::begin(), Event::Done);
    assert_eq!((state, commands), (State::Working(Task::Read, NEVER), vec![]));
    let (state, commands) = step(State::Working(Task::Read, NEVER), Event::Batch(NEVER));
    assert_eq!((&state, commands), (&State::Working(Task::Process, NEVER), vec![]));
    let (state, commands) = step(state, Event::Done);
    assert_eq!((state, commands), (State::Working(Task::Read, NEVER), vec![Command::Acknowledge]));
}

#[test]
fn after_an_empty_chunk_the_lane_reads_on() {
    let (state, commands) = step(State::Working(Task::Read, ONCE), Event::Nothing);
    assert_eq!((state, commands), (State::Working(Task::Read, NEVER), vec![]));
}

#[test]
fn shard_ended_is_the_last_callback_at_the_end_of_the_shard() {
    let (state, commands) = step(State::Working(Task::Read, NEVER), Event::End(vec![]));
    assert_eq!((&state, commands), (&State::Working(Task::End { children: vec![] }, NEVER), vec![]));
    let (state, commands) = step(state, Event::Done);
    assert_eq!((state, commands), (State::Stopped(StopReason::Ended), vec![Command::Ended(vec![])]));
}

#[test]
fn a_dead_letter_is_acknowledged_only_when_the_sink_has_taken_it() {
    let (state, commands) = step(State::Working(Task::Process, NEVER), failed(FailureAction::DeadLetter));
    assert_eq!((&state, commands), (&State::Working(Task::DeadLetter, NEVER), vec![]));
    let (retry, commands) = step(state.clone(), failed(FailureAction::Retry(SOON)));
    assert_eq!((retry, commands), (State::Retrying(Task::DeadLetter, ONCE, SOON), vec![]));
    assert_eq!(step(state, Event::Done), (State::Working(Task::Read, NEVER), vec![Command::Acknowledge]));
}

#[test]
fn requeued_and_quarantined_records_are_not_acknowledged_by_the_lane() {
    for action in [FailureAction::Requeued, FailureAction::Quarantined] {
        let after = step(State::Working(Task::Process, ONCE), failed(action));
        assert_eq!(after, (State::Working(Task::Read, NEVER), vec![]));
    }
}

#[test]
fn a_failed_task_is_retried_unchanged() {
    for task in [Task::Initialize, Task::Read, Task::Process, Task::DeadLetter, Task::End { children: vec![] }] {
        let (state, commands) = step(State::Working(task.clone(), NEVER), failed(FailureAction::Retry(SOON)));
        assert_eq!((&state, commands), (&State::Retrying(task.clone(), ONCE, SOON), vec![]));
        assert_eq!(step(state, Event::Due), (State::Working(task, ONCE), vec![]));
    }
}

#[test]
fn a_policy_that_stops_gives_the_lease_up_without_an_acknowledgement() {
    let state = || State::Working(Task::Process, NEVER);
    assert_eq!(step(state(), failed(FailureAction::StopShard)), (State::Losing(StopReason::GaveUp), gave_up(None)));
    assert_eq!(
        step(state(), failed(FailureAction::StopWorker(Code::CannotRead))),
        (State::Losing(StopReason::GaveUp), gave_up(Some(Code::CannotRead)))
    );
}

#[test]
fn a_batch_that_waits_for_the_gate_is_delivered_unchanged() {
    let (state, commands) = step(State::Working(Task::Process, ONCE), Event::GateClosed);
    assert_eq!((&state, commands), (&State::GateClosed(ONCE), vec![]));
    assert_eq!(step(state, Event::Due), (State::Working(Task::Process, ONCE), vec![]));
}

#[test]
fn a_drain_ends_in_shutdown_requested_and_then_a_report() {
    assert_eq!(step(State::Working(Task::Read, NEVER), Event::DrainRequested), (State::Draining, vec![]));
    assert_eq!(step(State::Draining, Event::Done), (State::Stopped(StopReason::Drained), DRAINED.to_vec()));
}

#[test]
fn a_drain_leaves_failed_and_waiting_work_to_the_next_owner() {
    let waiting = [
        State::Working(Task::Read, NEVER),
        State::GateClosed(NEVER),
        State::Retrying(Task::Process, ONCE, SOON),
        State::Retrying(Task::End { children: vec![] }, ONCE, SOON),
    ];
    for state in waiting {
        assert_eq!(step(state, Event::DrainRequested), (State::Draining, vec![]));
    }
}

#[test]
fn shutdown_requested_is_not_called_before_initialize_succeeded() {
    let drained = (State::Stopped(StopReason::Drained), DRAINED.to_vec());
    assert_eq!(step(State::Retrying(Task::Initialize, ONCE, SOON), Event::DrainRequested), drained);
}

#[test]
fn a_failing_shutdown_requested_is_not_retried() {
    assert_eq!(
        step(State::Draining, failed(FailureAction::Ignore)),
        (State::Stopped(StopReason::Drained), DRAINED.to_vec())
    );
}

#[test]
fn a_lost_lease_ends_everything_without_an_acknowledgement_or_a_report() {
    let states = [
        State::begin(),
        State::Working(Task::Read, NEVER),
        State::Working(Task::Process, ONCE),
        State::Working(Task::End { children: vec![] }, NEVER),
        State::GateClosed(NEVER),
        State::Retrying(Task::Process, ONCE, SOON),
        State::Draining,
    ];
    for state in states {
        assert_eq!(step(state, Event::Closed), (State::Losing(StopReason::LeaseLost), vec![]));
    }
    let lost = (State::Stopped(StopReason::LeaseLost), vec![]);
    assert_eq!(step(State::Losing(StopReason::LeaseLost), Event::Done), lost);
    assert_eq!(step(State::Losing(StopReason::LeaseLost), failed(FailureAction::Ignore)), lost);
}

#[test]
fn a_panicked_reader_gives_the_lease_up() {
    let (state, commands) = step(State::Working(Task::Read, NEVER), Event::ReaderGone);
    assert_eq!(state, State::Losing(StopReason::GaveUp));
    assert!(matches!(&commands[..], [Command::GiveUp { stops_with: None, .. }]));
}
