use super::*;
use crate::lease::row::{Acquire, Assignment, Fleet, HashKeyRange, Session, SessionNumber, Weights as Said};
use crate::record::Checkpoint;
use std::time::Duration;

fn worker(name: &str) -> WorkerId {
    WorkerId::parse(name).unwrap()
}

fn session(name: &str, number: SessionNumber, state: SessionState) -> Session {
    Session {
        worker: worker(name),
        number,
        tag: 0,
        heartbeat: 4,
        state,
        capacity: None,
        load: 1,
        weights: None,
        streams: None,
        profile: crate::lease::WorkerProfile::default(),
    }
}

fn lease(n: u64, owner: Option<(&str, SessionNumber)>) -> Lease {
    let shard = ShardId::from(format!("shardId-{n:012}").as_str());
    let owner = owner.map(|(name, number)| Owner { worker: worker(name), session: Some(number) });
    let hash_range = Some(HashKeyRange { start: 0, end: 9 });
    Lease { owner, hash_range, ..Lease::unowned(shard, Checkpoint::TrimHorizon) }
}

fn acquires(name: &str, version: u64, leases: &[&Lease]) -> Assignment {
    let take = |lease: &&Lease| Acquire {
        lease: lease.key.clone(),
        owner: lease.owner.clone(),
        counter: lease.counter,
        mode: AcquireMode::Now,
    };
    Assignment {
        worker: worker(name),
        term: 3,
        version,
        acquires: leases.iter().map(take).collect(),
        yields: vec![],
        lists: vec![],
    }
}

/// A table in which `a` and `b` are live, and the leader, in its third term, has published versions
/// up to 8.
fn table(leases: Vec<Lease>) -> Table {
    let fleet = Fleet { term: 3, assignment_version: 8, ..Fleet::above(0, 9, true) };
    let sessions = vec![session("a", 1, SessionState::Active), session("b", 2, SessionState::Active)];
    Table { leases, sessions, fleet: Some(fleet), ..Table::default() }
}

fn reasons(table: &Table) -> Vec<Reason> {
    explain(table, &Settings::default()).into_iter().map(|explanation| explanation.reason).collect()
}

fn texts(table: &Table) -> Vec<String> {
    reasons(table).iter().map(Reason::to_string).collect()
}

#[test]
fn the_reason_of_a_held_lease_names_its_reader_and_why_it_stays() {
    let table = table(vec![lease(0, Some(("a", 1))), lease(1, Some(("b", 2)))]);
    let held = |name, session| Reason::Held { by: worker(name), session, stays: Stays::Balanced };
    assert_eq!(reasons(&table), [held("a", 1), held("b", 2)]);
    assert_eq!(texts(&table)[0], "read by `a` (session 1), which has its share");
}

#[test]
fn the_reason_names_the_counts_if_a_move_is_queued() {
    let table = table((0..4).map(|n| lease(n, Some(("a", 1)))).collect());
    assert_eq!(
        texts(&table)[0],
        "read by `a` (session 1), which has 4 leases while another worker has 0; some are moved at a time"
    );
}

#[test]
fn the_reason_names_a_difference_in_bytes_that_is_not_worth_a_move() {
    let mut table = table(vec![lease(0, Some(("a", 1))), lease(1, Some(("b", 2)))]);
    for (session, rate) in table.sessions.iter_mut().zip([500_000.0, 400_000.0]) {
        let measured = table.leases.iter().map(|lease| (lease.key.clone(), rate)).collect();
        session.weights = Some(Said::of(&measured));
    }
    let settings = Settings::default().balance_by(BalanceBy::Bytes);
    let texts: Vec<String> = explain(&table, &settings).iter().map(|one| one.reason.to_string()).collect();
    assert_eq!(
        texts[0],
        "read by `a` (session 1), which carries 480 KB/s while another worker carries 404 KB/s: the difference is too \
         small for a move"
    );
    assert_eq!(texts[1], "read by `b` (session 2), which has its share");
}

#[test]
fn the_reason_of_a_moving_lease_names_both_workers() {
    let moving = lease(0, Some(("a", 1)));
    let mut table = table(vec![moving.clone()]);
    table.assignments = vec![acquires("b", 8, &[&moving])];
    assert_eq!(reasons(&table), [Reason::Moving { from: worker("a"), to: worker("b"), waited: None }]);
    assert_eq!(texts(&table)[0], "moving from `a`, which finishes its current batch and releases it, to `b`");
}

#[test]
fn an_assignment_row_of_an_unpublished_version_or_another_term_is_ignored() {
    let free = lease(0, None);
    let mut table = table(vec![free.clone()]);
    table.assignments = vec![acquires("a", 9, &[&free]), Assignment { term: 2, ..acquires("b", 1, &[&free]) }];
    assert_eq!(reasons(&table), [Reason::Free { after: None }]);
    table.assignments = vec![acquires("b", 8, &[&free])];
    assert_eq!(texts(&table), ["not read; assigned to `b`"]);
}

#[test]
fn the_reason_of_a_free_lease_names_how_its_owner_ended() {
    let mut table = table(vec![lease(0, Some(("x", 5))), lease(1, Some(("y", 6))), lease(2, Some(("a", 0)))]);
    table.sessions.extend([session("x", 5, SessionState::Left), session("y", 6, SessionState::Fenced)]);
    let free = |name, ended| Reason::Free { after: Some((worker(name), ended)) };
    assert_eq!(reasons(&table), [free("x", Ended::Left), free("y", Ended::Fenced), free("a", Ended::Replaced)]);
    assert_eq!(
        texts(&table)[1],
        "not read: its owner `y` sent no heartbeat for `failover_time` and was fenced; assigned in the leader's next \
         cycle"
    );
}

#[test]
fn the_reason_of_a_waiting_child_names_its_unfinished_parents() {
    let done = Lease { checkpoint: Checkpoint::ShardEnd, ..lease(0, None) };
    let (open, mut child) = (lease(1, Some(("a", 1))), lease(2, None));
    child.parents = vec![done.shard.clone(), open.shard.clone()];
    let texts = texts(&table(vec![done, open, child]));
    assert_eq!(texts[0], "the shard is read to its end");
    assert_eq!(texts[2], "waits until shardId-000000000001 is read to its end, so that records of a key stay in order");
}

#[test]
fn the_reason_of_an_unassignable_lease_names_the_workers() {
    let mut table = table(vec![lease(0, Some(("a", 1))), lease(1, Some(("b", 2))), lease(2, None)]);
    table.sessions.iter_mut().for_each(|session| session.capacity = Some(1));
    assert_eq!(reasons(&table)[2], Reason::Unassignable { workers: 2 });
    table.sessions.iter_mut().for_each(|session| session.state = SessionState::Draining);
    assert_eq!(reasons(&table)[0], Reason::Leaving { by: worker("a") });
    assert_eq!(reasons(&table)[2], Reason::NoWorkers);
}

#[test]
fn the_reason_of_a_lease_without_a_session_names_how_long_it_waits() {
    let orphan = lease(0, Some(("gone", 4)));
    let foreign = Lease { kcl_counter: None, ..lease(1, Some(("java", 0))) };
    assert_eq!(
        texts(&table(vec![orphan, foreign])),
        [
            "not read: its owner `gone` has no session; free once its row is unchanged for 10s",
            "written last by an external writer (Java KCL?), owner `java`; free once its row is unchanged for 20s",
        ]
    );
}

#[test]
fn the_leaders_reason_contains_waiting_times_and_avoided_workers() {
    let leases: BTreeMap<LeaseKey, Lease> = [lease(0, None)].map(|lease| (lease.key.clone(), lease)).into();
    let mut sessions = Sessions::new(worker("a"), Duration::from_secs(10));
    sessions.observe_table(table(vec![]).sessions, Time::ZERO, Time::ZERO);
    let (stale_owners, stale_after) = (StaleOwnerTracker::default(), StaleAfter::of(&Settings::default()));
    let t = |seconds| Time::from_origin(Duration::from_secs(seconds));
    let bounds = super::super::pending_moves::Bounds {
        free: Duration::from_secs(4),
        after_owner: Duration::from_secs(40),
        avoided: Duration::from_secs(10),
    };
    let problem = problem(&leases, &UnconfirmedChildren::default(), &sessions, &stale_owners, stale_after);
    let mut pending_moves = PendingMoves::default();
    pending_moves.instructions(&problem, 16, BalanceBy::Leases, t(0));
    pending_moves.shown(&problem.leases[0].key, t(5));
    pending_moves.review(&problem, bounds, t(5));
    pending_moves.instructions(&problem, 16, BalanceBy::Leases, t(5));
    let known = Known {
        leases: &leases,
        sessions: &sessions,
        stale_owners: &stale_owners,
        stale_after,
        pending_moves: &pending_moves,
        now: Some(t(7)),
    };
    let texts: Vec<String> = known.explain(&problem).map(|(_, reason)| reason.to_string()).collect();
    assert_eq!(
        texts,
        ["not read; assigned to `b` 2 s ago; `a` did not carry out an assignment and gets no leases for a while"]
    );
}

/// A lease of one of several streams.
fn among(stream: &str, n: u64, parents: &[u64], owner: Option<(&str, SessionNumber)>) -> Lease {
    let id = |n: u64| ShardId::from(format!("shardId-{n:012}").as_str());
    let stream = crate::record::StreamId::new(format!("1:{stream}:2"));
    let key = LeaseKey::of(Some(&stream), &id(n));
    Lease { key, stream_name: Some(stream), parents: parents.iter().copied().map(id).collect(), ..lease(n, owner) }
}

fn serving(name: &str, number: SessionNumber, streams: &[&str]) -> Session {
    let ids = streams.iter().map(|stream| crate::record::StreamId::new(format!("1:{stream}:2")));
    Session { streams: Some(ids.collect()), ..session(name, number, SessionState::Active) }
}

#[test]
fn a_child_waits_only_for_a_parent_of_its_own_stream() {
    let done = |lease: Lease| Lease { checkpoint: Checkpoint::ShardEnd, ..lease };
    let leases = vec![
        done(among("instructions", 0, &[], None)),
        among("instructions", 1, &[0], None),
        among("payments", 0, &[], Some(("a", 1))),
        among("payments", 1, &[0], None),
    ];
    let mut table = table(leases);
    table.sessions = vec![serving("a", 1, &["instructions", "payments"])];
    let reasons = reasons(&table);
    assert_eq!(reasons[1], Reason::Free { after: None });
    assert!(matches!(reasons[3], Reason::WaitsForParents { .. }), "{:?}", reasons[3]);
}

#[test]
fn the_reason_of_an_unserved_lease_names_its_stream() {
    let mut table = table(vec![among("instructions", 0, &[], None), among("refunds", 0, &[], None)]);
    table.sessions = vec![serving("a", 1, &["instructions"]), serving("b", 2, &["payments"])];
    assert_eq!(reasons(&table)[0], Reason::Free { after: None });
    assert_eq!(texts(&table)[1], "not read: no worker serves stream `1:refunds:2`; its checkpoint is kept");
    table.sessions.clear();
    assert_eq!(reasons(&table)[1], Reason::NoWorkers);
}
