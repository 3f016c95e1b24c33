//! Tests the session as a machine: answers in, calls and events out.

use super::*;
use crate::lease::row::Session as SessionRow;

fn row(number: SessionNumber, state: SessionState) -> Row {
    let worker = WorkerId::parse("me").unwrap();
    Row::Session(SessionRow {
        worker,
        number,
        tag: 0,
        heartbeat: 0,
        state,
        capacity: None,
        load: 0,
        weights: None,
        streams: None,
        profile: crate::lease::WorkerProfile::default(),
    })
}

fn registering(number: SessionNumber) -> (Session, Effects) {
    let mut session = Session::new(WorkerId::parse("me").unwrap(), None, &Settings::default(), ThisProcess::default());
    session.state = State::Registering { number, first_sent: None };
    (session, Effects::new(fastrand::Rng::with_seed(1)))
}

fn fleet(sessions: SessionNumber) -> Row {
    Row::Fleet(crate::lease::row::Fleet { sessions, ..crate::lease::row::Fleet::above(0, 0, true) })
}

fn sent(effects: &mut Effects) -> Vec<Write> {
    let ops = effects.take_calls().into_iter().map(|call| call.op);
    ops.filter_map(|op| if let super::super::call::Op::Write(write) = op { Some(write) } else { None }).collect()
}

#[test]
fn a_last_session_that_another_fleet_row_had_counted_is_outnumbered() {
    let (mut session, mut effects) = registering(4);
    let refused = Ok(Written::Refused(Some(row(900, SessionState::Left))));
    assert_eq!(session.on_answer(Time::ZERO, refused, 0, &mut effects), SessionEvent::Nothing);
    assert_eq!(sent(&mut effects), [Write::NextSessionNumberAbove(900)]);
    let drawn = Ok(Written::Applied(Some(fleet(901))));
    session.on_answer(Time::ZERO, drawn, 0, &mut effects);
    assert!(matches!(sent(&mut effects)[..], [Write::Register { number: 901, .. }]));
}

/// The refusal by another process' row with this number and heartbeat.
fn refused_by(number: SessionNumber, heartbeat: u64, state: SessionState) -> Reply<Written> {
    let Row::Session(session) = row(number, state) else { panic!("a session's row") };
    Ok(Written::Refused(Some(Row::Session(SessionRow { heartbeat, tag: 99, ..session }))))
}

/// Answers the registration at each of these times, in seconds.
fn contended(session: &mut Session, effects: &mut Effects, answers: &[(u64, Reply<Written>)]) -> Vec<SessionEvent> {
    let mut news = Vec::new();
    for (at, answer) in answers {
        effects.now = Time::ZERO + Duration::from_secs(*at);
        news.push(session.on_answer(effects.now, answer.clone(), 0, effects));
    }
    news
}

#[test]
fn a_second_process_gives_up_once_it_sees_that_the_first_one_is_alive() {
    let (mut session, mut effects) = registering(4);
    let answers =
        [(0, 7), (2, 7), (3, 8), (5, 9)].map(|(at, heartbeat)| (at, refused_by(3, heartbeat, SessionState::Active)));
    let news = contended(&mut session, &mut effects, &answers);
    assert_eq!(news[..3], [SessionEvent::Nothing, SessionEvent::Nothing, SessionEvent::Nothing]);
    assert_eq!(news[3], SessionEvent::HeldByAnother { session: 3, process: None });
    assert!(session.is_over());
    assert_eq!(sent(&mut effects), [], "no write concerned the other session");
}

#[test]
fn a_process_that_registered_later_and_is_alive_is_left_alone_too() {
    let (mut session, mut effects) = registering(4);
    let answers = [(0, 0), (3, 1), (5, 2)].map(|(at, heartbeat)| (at, refused_by(5, heartbeat, SessionState::Active)));
    let news = contended(&mut session, &mut effects, &answers);
    assert_eq!(news[2], SessionEvent::HeldByAnother { session: 5, process: None });
}

#[test]
fn a_second_process_fences_a_session_that_is_stale_for_its_failover_time_and_registers_then() {
    let (mut session, mut effects) = registering(4);
    let silent = |at| (at, refused_by(3, 7, SessionState::Draining));
    contended(&mut session, &mut effects, &[silent(0), silent(5), silent(9)]);
    assert_eq!(sent(&mut effects), []);
    assert_eq!(effects.next_due(), Some(Time::ZERO + Duration::from_secs(10)), "as soon as staleness can be proven");
    contended(&mut session, &mut effects, &[silent(10)]);
    let worker = WorkerId::parse("me").unwrap();
    assert_eq!(sent(&mut effects), [Write::Fence { worker, number: 3, heartbeat: 7 }]);
    let fenced = Ok(Written::Applied(Some(row(3, SessionState::Fenced))));
    assert_eq!(contended(&mut session, &mut effects, &[(10, fenced)]), [SessionEvent::Nothing]);
    assert!(matches!(sent(&mut effects)[..], [Write::Register { number: 4, over: None, .. }]));
}

#[test]
fn a_session_that_heartbeats_while_it_is_being_fenced_is_watched_again() {
    let (mut session, mut effects) = registering(4);
    let silent = |at| (at, refused_by(3, 7, SessionState::Active));
    contended(&mut session, &mut effects, &[silent(0), silent(10)]);
    sent(&mut effects);
    contended(&mut session, &mut effects, &[(10, refused_by(3, 8, SessionState::Active))]);
    assert_eq!(sent(&mut effects), [], "it waits before the next attempt");
    session.on_timer(0, None, &mut effects);
    assert!(matches!(sent(&mut effects)[..], [Write::Register { number: 4, .. }]));
    let again =
        [(11, 8), (12, 9), (14, 10)].map(|(at, heartbeat)| (at, refused_by(3, heartbeat, SessionState::Active)));
    let news = contended(&mut session, &mut effects, &again);
    assert_eq!(news[2], SessionEvent::HeldByAnother { session: 3, process: None });
}

#[test]
fn a_session_that_leaves_is_succeeded_at_once() {
    let (mut session, mut effects) = registering(4);
    contended(&mut session, &mut effects, &[(0, refused_by(3, 7, SessionState::Active))]);
    let applied = Ok(Written::Applied(Some(row(4, SessionState::Active))));
    let news = contended(&mut session, &mut effects, &[(2, applied)]);
    assert!(matches!(news[..], [SessionEvent::Registered { number: 4, .. }]));
}

#[test]
fn a_process_may_replace_its_own_earlier_session() {
    let (mut session, mut effects) = registering(4);
    let registered = Ok(Written::Applied(Some(row(4, SessionState::Active))));
    session.on_answer(Time::ZERO, registered, 0, &mut effects);
    session.begin(&mut effects);
    session.on_answer(Time::ZERO, Ok(Written::Applied(Some(fleet(5)))), 0, &mut effects);
    assert!(matches!(
        sent(&mut effects)[..],
        [Write::NextSessionNumber, Write::Register { number: 5, over: Some(4), .. }]
    ));
}

#[test]
fn the_row_of_a_session_above_which_there_is_no_number_is_deleted() {
    let (mut session, mut effects) = registering(4);
    contended(&mut session, &mut effects, &[(0, refused_by(LARGEST_COUNTER, 7, SessionState::Left))]);
    let (worker, number) = (WorkerId::parse("me").unwrap(), LARGEST_COUNTER);
    assert_eq!(sent(&mut effects), [Write::DeleteSession { worker, number, own: false }]);
    contended(&mut session, &mut effects, &[(0, Ok(Written::Applied(None)))]);
    assert!(matches!(sent(&mut effects)[..], [Write::Register { number: 4, .. }]));
}

#[test]
fn a_row_of_the_same_number_that_another_process_left_is_not_taken_for_its_own() {
    let (mut session, mut effects) = registering(4);
    session.tag = 77;
    let refused = Ok(Written::Refused(Some(row(4, SessionState::Left))));
    assert_eq!(session.on_answer(Time::ZERO, refused, 0, &mut effects), SessionEvent::Nothing);
    assert_eq!(sent(&mut effects), [Write::NextSessionNumber], "the next number is higher");
    for _ in 0..4 {
        session.on_answer(Time::ZERO, Ok(Written::Applied(Some(fleet(4)))), 0, &mut effects);
        let refused = Ok(Written::Refused(Some(row(4, SessionState::Left))));
        session.on_answer(Time::ZERO, refused, 0, &mut effects);
    }
    let draws = sent(&mut effects).into_iter().filter(|write| *write == Write::NextSessionNumber).count();
    assert!(draws < 4, "it pauses between rounds: {draws}");
}

#[test]
fn a_registration_counts_from_its_first_attempt_whichever_was_applied() {
    let (mut session, mut effects) = registering(4);
    session.on_answer(Time::ZERO, Err(Failure::Unanswered), 0, &mut effects);
    let applied = Ok(Written::Applied(Some(row(4, SessionState::Active))));
    let later = Time::ZERO + Duration::from_secs(5);
    let until = Time::ZERO + timing::owned_for(session.failover_time);
    let news = session.on_answer(later, applied, 0, &mut effects);
    assert_eq!(news, SessionEvent::Registered { number: 4, until });
}

/// A session that is registered, at time 0.
fn registered() -> (Session, Effects) {
    let (mut session, mut effects) = registering(4);
    session.on_answer(Time::ZERO, Ok(Written::Applied(Some(row(4, SessionState::Active)))), 0, &mut effects);
    (session, effects)
}

/// The row at this heartbeat.
fn beaten(heartbeat: u64) -> Row {
    let Row::Session(session) = row(4, SessionState::Active) else { panic!("a session's row") };
    Row::Session(SessionRow { heartbeat, ..session })
}

#[test]
fn a_heartbeat_counts_from_its_sending_however_late_its_answer() {
    let (mut session, mut effects) = registered();
    let sent = Time::ZERO + Duration::from_secs(3);
    effects.now = sent;
    session.on_timer(0, None, &mut effects);
    effects.now = sent + Duration::from_secs(2);
    let news = session.on_answer(sent, Ok(Written::Applied(Some(beaten(1)))), 0, &mut effects);
    assert_eq!(news, SessionEvent::Confirmed { until: sent + timing::owned_for(session.failover_time) });
}

#[test]
fn a_heartbeat_that_its_own_success_refuses_counts_from_its_first_attempt() {
    let (mut session, mut effects) = registered();
    let first = Time::ZERO + Duration::from_secs(3);
    effects.now = first;
    session.on_timer(0, None, &mut effects);
    session.on_answer(first, Err(Failure::Unanswered), 0, &mut effects);
    let second = first + Duration::from_secs(1);
    effects.now = second;
    session.on_timer(0, None, &mut effects);
    let refused = Ok(Written::Refused(Some(beaten(1))));
    let news = session.on_answer(second, refused, 0, &mut effects);
    assert_eq!(news, SessionEvent::Confirmed { until: first + timing::owned_for(session.failover_time) });
    // The next one is counted by itself again.
    let third = second + Duration::from_secs(1);
    effects.now = third;
    session.on_timer(0, None, &mut effects);
    let news = session.on_answer(third, Ok(Written::Applied(Some(beaten(2)))), 0, &mut effects);
    assert_eq!(news, SessionEvent::Confirmed { until: third + timing::owned_for(session.failover_time) });
}

#[test]
fn a_session_whose_row_shows_its_end_or_another_number_is_lost() {
    let end = |row: Option<Row>| {
        let (mut session, mut effects) = registered();
        session.on_timer(0, None, &mut effects);
        let news = session.on_answer(Time::ZERO, Ok(Written::Refused(row)), 0, &mut effects);
        assert!(session.is_over());
        news
    };
    assert_eq!(end(Some(row(4, SessionState::Fenced))), SessionEvent::Lost { why: "fenced" });
    assert_eq!(end(Some(row(5, SessionState::Active))), SessionEvent::Replaced { by: 5, process: None });
    assert_eq!(
        end(Some(row(3, SessionState::Active))),
        SessionEvent::Lost { why: "an external writer changed its row" }
    );
    assert_eq!(end(Some(beaten(2))), SessionEvent::Lost { why: "an external writer changed its row" });
    assert_eq!(end(None), SessionEvent::Lost { why: "its row is gone" });
}

#[test]
fn a_draw_above_that_got_no_answer_replaces_nobody() {
    let (mut session, mut effects) = registering(4);
    let refused = Ok(Written::Refused(Some(row(900, SessionState::Left))));
    session.on_answer(Time::ZERO, refused, 0, &mut effects);
    session.on_answer(Time::ZERO, Err(Failure::Unanswered), 0, &mut effects);
    session.on_timer(0, None, &mut effects);
    sent(&mut effects);
    let refused = Ok(Written::Refused(Some(fleet(901))));
    assert_eq!(session.on_answer(Time::ZERO, refused, 0, &mut effects), SessionEvent::Nothing);
    assert_eq!(sent(&mut effects), [Write::NextSessionNumber]);
}

#[test]
fn a_heartbeat_is_never_under_way_twice() {
    let me = WorkerId::parse("me").unwrap();
    let mut effects = Effects::new(fastrand::Rng::with_seed(1));
    let mut session = Session::new(me.clone(), None, &Settings::default(), ThisProcess::default());
    session.state = State::Registering { number: 4, first_sent: None };
    let row = SessionRow {
        worker: me,
        number: 4,
        tag: 0,
        heartbeat: 0,
        state: SessionState::Active,
        capacity: None,
        load: 0,
        weights: None,
        streams: None,
        profile: crate::lease::WorkerProfile::default(),
    };
    let registered = Ok(Written::Applied(Some(Row::Session(row))));
    session.on_answer(Time::ZERO, registered, 0, &mut effects);
    session.drain(0, &mut effects);
    assert_eq!(effects.take_calls().len(), 1, "the heartbeat that shows the draining");
    session.on_timer(0, None, &mut effects);
    assert_eq!(effects.take_calls(), [], "the heartbeat that was due meanwhile");
}

#[test]
fn a_change_of_streams_is_written_with_a_heartbeat_at_once() {
    let written = |effects: &mut Effects| match sent(effects).as_slice() {
        [Write::Heartbeat { streams, .. } | Write::Register { streams, .. }] => streams.clone(),
        other => panic!("{other:?}"),
    };
    let ids = |names: &[&str]| Some(names.iter().map(StreamId::new).collect::<BTreeSet<_>>());
    let (mut session, mut effects) = registering(4);
    session.streams = ids(&["1:a:2"]);
    session.on_timer(0, None, &mut effects);
    assert_eq!(written(&mut effects), ids(&["1:a:2"]));
    session.serve(ids(&["1:a:2", "1:b:2"]), 0, &mut effects);
    assert!(sent(&mut effects).is_empty(), "it is not registered yet");
    let registered = Ok(Written::Applied(Some(row(4, SessionState::Active))));
    session.on_answer(Time::ZERO, registered, 0, &mut effects);
    assert_eq!(effects.next_due(), Some(effects.now));
    session.on_timer(0, None, &mut effects);
    assert_eq!(written(&mut effects), ids(&["1:a:2", "1:b:2"]));
}

#[test]
fn a_stream_is_known_to_be_removed_once_the_row_no_longer_names_it() {
    let (a, b) = (StreamId::new("1:a:2"), StreamId::new("1:b:2"));
    let shown = |heartbeat, streams: &[&StreamId]| {
        let Row::Session(session) = row(4, SessionState::Active) else { panic!("a session's row") };
        let streams = Some(streams.iter().copied().cloned().collect());
        Ok(Written::Applied(Some(Row::Session(SessionRow { heartbeat, streams, ..session }))))
    };
    let (mut session, mut effects) = registering(4);
    assert!(!session.shows_without(&a), "no row is known yet");
    session.on_answer(Time::ZERO, shown(0, &[&a, &b]), 0, &mut effects);
    assert!(!session.shows_without(&a) && !session.shows_without(&b));
    session.serve(Some([a.clone()].into()), 0, &mut effects);
    assert!(!session.shows_without(&b), "the heartbeat is on its way");
    session.on_answer(Time::ZERO, shown(1, &[&a]), 0, &mut effects);
    assert!(!session.shows_without(&a) && session.shows_without(&b));
    session.end(&mut effects);
    assert!(!session.shows_without(&b), "nothing is known of a session that is over");
}

#[test]
fn a_row_that_cannot_be_deleted_is_not_retried_in_a_tight_loop() {
    let (mut session, mut effects) = registering(4);
    let key = crate::lease::row::RowKey::Session(WorkerId::parse("me").unwrap());
    let mark = crate::lease::row::SeenAttribute { attribute: "number", value: crate::lease::row::SeenValue::Nothing };
    let damaged = Row::Damaged(Damaged { key, why: "no".to_owned(), fingerprint: vec![mark] });
    let refused = || Ok(Written::Refused(Some(damaged.clone())));
    contended(&mut session, &mut effects, &[(0, refused())]);
    assert!(matches!(sent(&mut effects)[..], [Write::Discard(_)]));
    contended(&mut session, &mut effects, &[(0, refused())]);
    assert_eq!(sent(&mut effects), []);
    session.on_timer(0, None, &mut effects);
    assert!(matches!(sent(&mut effects)[..], [Write::Register { number: 4, .. }]));
}
