use super::*;

const NEVER: Failures = Failures { count: 0, since: None };
const ONCE: Failures = Failures { count: 1, since: Some(Time::ZERO) };
const SOON: Duration = Duration::from_millis(150);

fn failed(verdict: Verdict) -> Event {
    Event::Failed { failures: ONCE, verdict, reason: "down".to_owned() }
}

fn gave_up(stops_with: Option<Code>) -> Vec<Command> {
    vec![Command::GiveUp { reason: "down".to_owned(), stops_with }]
}

const DRAINED: [Command; 1] = [Command::Drained];

#[test]
fn records_are_acknowledged_when_the_handler_is_done_and_then_the_next_are_read() {
    let (state, commands) = step(State::begin(), Event::Done);
    assert_eq!((state, commands), (State::Working(Task::Read, NEVER), vec![]));
    let (state, commands) = step(State::Working(Task::Read, NEVER), Event::Batch(NEVER));
    assert_eq!((&state, commands), (&State::Working(Task::Process, NEVER), vec![]));
    let (state, commands) = step(state, Event::Done);
    assert_eq!((state, commands), (State::Working(Task::Read, NEVER), vec![Command::Acknowledge]));
}

#[test]
fn an_empty_chunk_is_no_batch() {
    let (state, commands) = step(State::Working(Task::Read, ONCE), Event::Nothing);
    assert_eq!((state, commands), (State::Working(Task::Read, NEVER), vec![]));
}

#[test]
fn at_the_end_of_the_shard_the_last_callback_is_shard_ended() {
    let (state, commands) = step(State::Working(Task::Read, NEVER), Event::End(vec![]));
    assert_eq!((&state, commands), (&State::Working(Task::End { children: vec![] }, NEVER), vec![]));
    let (state, commands) = step(state, Event::Done);
    assert_eq!((state, commands), (State::Stopped(Why::Ended), vec![Command::Ended(vec![])]));
}

#[test]
fn a_record_that_is_given_up_is_acknowledged_when_the_sink_has_it() {
    let (state, commands) = step(State::Working(Task::Process, NEVER), failed(Verdict::DeadLetter));
    assert_eq!((&state, commands), (&State::Working(Task::DeadLetter, NEVER), vec![]));
    let (again, commands) = step(state.clone(), failed(Verdict::Retry(SOON)));
    assert_eq!((again, commands), (State::Retrying(Task::DeadLetter, ONCE, SOON), vec![]));
    assert_eq!(step(state, Event::Done), (State::Working(Task::Read, NEVER), vec![Command::Acknowledge]));
}

#[test]
fn what_is_set_apart_or_parked_is_not_acknowledged_by_the_lane() {
    for verdict in [Verdict::Apart, Verdict::Parked] {
        let after = step(State::Working(Task::Process, ONCE), failed(verdict));
        assert_eq!(after, (State::Working(Task::Read, NEVER), vec![]));
    }
}

#[test]
fn what_failed_is_tried_again_as_it_was() {
    for task in [Task::Initialize, Task::Read, Task::Process, Task::DeadLetter, Task::End { children: vec![] }] {
        let (state, commands) = step(State::Working(task.clone(), NEVER), failed(Verdict::Retry(SOON)));
        assert_eq!((&state, commands), (&State::Retrying(task.clone(), ONCE, SOON), vec![]));
        assert_eq!(step(state, Event::Due), (State::Working(task, ONCE), vec![]));
    }
}

#[test]
fn a_policy_that_stops_is_obeyed_and_nothing_is_acknowledged() {
    let state = || State::Working(Task::Process, NEVER);
    assert_eq!(step(state(), failed(Verdict::StopShard)), (State::Losing(Why::GaveUp), gave_up(None)));
    assert_eq!(
        step(state(), failed(Verdict::StopWorker(Code::CannotRead))),
        (State::Losing(Why::GaveUp), gave_up(Some(Code::CannotRead)))
    );
}

#[test]
fn a_batch_that_waits_for_the_session_is_due_again_unchanged() {
    let (state, commands) = step(State::Working(Task::Process, ONCE), Event::GateShut);
    assert_eq!((&state, commands), (&State::Holding(ONCE), vec![]));
    assert_eq!(step(state, Event::Due), (State::Working(Task::Process, ONCE), vec![]));
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
        State::Holding(NEVER),
        State::Retrying(Task::Process, ONCE, SOON),
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
        State::Working(Task::Process, ONCE),
        State::Working(Task::End { children: vec![] }, NEVER),
        State::Holding(NEVER),
        State::Retrying(Task::Process, ONCE, SOON),
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
    assert!(matches!(&commands[..], [Command::GiveUp { stops_with: None, .. }]));
}
