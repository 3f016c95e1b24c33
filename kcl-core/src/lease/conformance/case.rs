//! Lists every write of the protocol: once with its conditions met, and before that with each
//! condition broken separately.

use crate::config::BalanceBy;
use crate::lease::row::{
    Acquire, AcquireMode, Assignment, CheckpointExtras, Fleet, FleetSettings, FleetStart, HashKeyRange, Lease,
    LeaseKey, Owner, Pending, ProcessId, QuarantineRequest, QuarantinedKey, SessionState, SharedSettings, StreamRow,
    WorkerId, WorkerProfile, Yield,
};
use crate::lease::write::{PreviousOwner, Write};
use crate::record::{Checkpoint, Position, SequenceNumber, ShardId, StreamId, StreamIdentity};
use std::time::Duration;

pub(super) struct Case {
    pub(super) name: &'static str,
    /// Creates the rows that the conditions refer to.
    pub(super) before: Vec<Write>,
    /// Writes that each break one condition.
    pub(super) refused: Vec<Write>,
    /// A write that meets all conditions.
    pub(super) applied: Write,
}

pub(super) fn all() -> Vec<Case> {
    [fleet(), streams(), sessions(), assignments(), claims(), owned(), ends()].into_iter().flatten().collect()
}

fn worker(name: &str) -> WorkerId {
    WorkerId::from_row(name)
}

fn case(name: &'static str, before: Vec<Write>, refused: Vec<Write>, applied: Write) -> Case {
    Case { name, before, refused, applied }
}

/// In the order of a fleet's life, because there is only one fleet row.
fn fleet() -> Vec<Case> {
    let me = (worker("a"), 8);
    let seen = Some((worker("a"), 8));
    let start = FleetStart { checkpoint: Checkpoint::Latest, at_ms: Some(1_700_000_000_123) };
    let created = Fleet::above(3, 7, false);
    let take = |term, heartbeat, leader: Option<(WorkerId, u64)>| Write::TakeTerm {
        term,
        heartbeat,
        leader,
        me: me.clone(),
        failover_time: Duration::from_millis(60_001),
    };
    let heartbeat = |term, heartbeat| Write::FleetHeartbeat {
        term,
        heartbeat,
        leader_session_heartbeat: 41,
        assignment_version: 2,
    };
    let delete = |term, heartbeat, wake, sessions| Write::DeleteFleet { term, heartbeat, wake, sessions };
    vec![
        case(
            "create the fleet",
            vec![],
            vec![
                Write::NextSessionNumber,
                Write::NextSessionNumberAbove(9),
                Write::Wake,
                Write::MarkFilled,
                Write::PinStart(start.clone()),
                take(4, 0, None),
                heartbeat(4, 0),
                delete(4, 0, 1, 7),
            ],
            Write::CreateFleet(created.clone()),
        ),
        case("create the fleet once", vec![], vec![Write::CreateFleet(created)], Write::NextSessionNumber),
        case(
            "take a session number above one of a lost fleet row",
            vec![],
            vec![Write::NextSessionNumberAbove(8)],
            Write::NextSessionNumberAbove(9),
        ),
        case("wake", vec![], vec![], Write::Wake),
        case(
            "write the fleet's settings",
            vec![],
            vec![Write::ChangeSettings { seen: Some(settings(10_000)), to: settings(60_000) }],
            Write::ChangeSettings { seen: None, to: settings(10_000) },
        ),
        case(
            "change the fleet's settings",
            vec![],
            vec![
                Write::ChangeSettings { seen: None, to: settings(60_000) },
                Write::ChangeSettings { seen: Some(settings(20_000)), to: settings(60_000) },
                Write::ChangeSettings {
                    seen: Some(FleetSettings { until_ms: None, ..settings(10_000) }),
                    to: settings(60_000),
                },
                Write::ChangeSettings {
                    seen: Some(FleetSettings { set_by: "x".to_owned(), ..settings(10_000) }),
                    to: settings(60_000),
                },
            ],
            Write::ChangeSettings {
                seen: Some(settings(10_000)),
                to: FleetSettings { until_ms: None, ..settings(60_000) },
            },
        ),
        case("pin the start", vec![], vec![], Write::PinStart(start.clone())),
        case("pin it once", vec![], vec![Write::PinStart(start)], Write::MarkFilled),
        case(
            "take the first term",
            vec![],
            vec![take(3, 0, None), take(4, 1, None), take(4, 0, seen.clone())],
            take(4, 0, None),
        ),
        case("heartbeat the fleet", vec![], vec![heartbeat(4, 1), heartbeat(5, 0)], heartbeat(5, 1)),
        case(
            "take the next term",
            vec![],
            vec![take(5, 2, None), take(5, 2, Some((worker("b"), 8))), take(5, 2, Some((worker("a"), 7)))],
            take(5, 2, seen),
        ),
        case(
            "resign",
            vec![],
            vec![
                Write::Resign { term: 5, me: me.clone() },
                Write::Resign { term: 6, me: (worker("a"), 9) },
                Write::Resign { term: 6, me: (worker("b"), 8) },
            ],
            Write::Resign { term: 6, me },
        ),
        case(
            "delete the fleet",
            vec![],
            vec![delete(5, 3, 2, 10), delete(6, 2, 2, 10), delete(6, 3, 1, 10), delete(6, 3, 2, 9)],
            delete(6, 3, 2, 10),
        ),
    ]
}

fn stream_id() -> StreamId {
    StreamId::new("123456789012:orders:1700000000")
}

fn streams() -> Vec<Case> {
    let row = |checkpoint, at_ms, filled| {
        let start = FleetStart { checkpoint, at_ms };
        StreamRow { id: stream_id(), start, filled }
    };
    let latest = row(Checkpoint::Latest, Some(1_700_000_000_123), false);
    let horizon = row(Checkpoint::TrimHorizon, None, false);
    let filled = StreamRow { filled: true, ..latest.clone() };
    let delete = |row: &StreamRow| Write::DeleteStream(row.clone());
    vec![
        case(
            "pin a stream's start",
            vec![],
            vec![Write::MarkStreamFilled(stream_id()), delete(&latest)],
            Write::PinStream(latest.clone()),
        ),
        case(
            "pin a stream's start once",
            vec![],
            vec![Write::PinStream(horizon.clone()), Write::PinStream(latest.clone())],
            Write::MarkStreamFilled(stream_id()),
        ),
        case(
            "delete a stream's row",
            vec![],
            vec![
                delete(&latest),
                delete(&row(Checkpoint::Latest, Some(7), true)),
                delete(&row(Checkpoint::Latest, None, true)),
            ],
            delete(&filled),
        ),
        case(
            "delete a stream's row that has no instant",
            vec![Write::PinStream(horizon.clone())],
            vec![delete(&latest), delete(&row(Checkpoint::TrimHorizon, Some(7), false))],
            delete(&horizon),
        ),
    ]
}

fn settings(failover_ms: u64) -> FleetSettings {
    FleetSettings { shared: shared(failover_ms), until_ms: Some(1_700_000_000_456), set_by: "a".to_owned() }
}

fn shared(failover_ms: u64) -> SharedSettings {
    SharedSettings { failover_time: Duration::from_millis(failover_ms), balance_by: BalanceBy::Bytes }
}

fn sessions() -> Vec<Case> {
    let process = ProcessId {
        host: "ip-10-0-0-1".to_owned(),
        id: 4_194_304,
        started_at_ms: 1_700_000_000_123,
        kernel: Some("boot/4026531836/0/77".to_owned()),
    };
    let profile = WorkerProfile { settings: Some(shared(250)), adopted: true, process: Some(process) };
    let register_over = |name: &str, number, over| Write::Register {
        worker: worker(name),
        number,
        tag: 5,
        capacity: None,
        streams: None,
        profile: profile.clone(),
        over,
    };
    let register = |name: &str, number, capacity| Write::Register {
        worker: worker(name),
        number,
        tag: 1 << 63,
        capacity,
        streams: None,
        profile: crate::lease::WorkerProfile::default(),
        over: None,
    };
    let serve = |heartbeat, streams: &[&str]| Write::Heartbeat {
        worker: worker("s4"),
        number: 1,
        heartbeat,
        state: SessionState::Active,
        load: 0,
        weights: None,
        streams: Some(streams.iter().map(StreamId::new).collect()),
    };
    let registered = Write::Register {
        worker: worker("s4"),
        number: 1,
        tag: 3,
        capacity: None,
        streams: Some([stream_id()].into()),
        profile: crate::lease::WorkerProfile::default(),
        over: None,
    };
    let heartbeat = |name: &str, number, heartbeat, state| Write::Heartbeat {
        worker: worker(name),
        number,
        heartbeat,
        state,
        load: 3,
        weights: None,
        streams: None,
    };
    let fence = |name: &str, number, heartbeat| Write::Fence { worker: worker(name), number, heartbeat };
    let leave = |name: &str, number| Write::EndSession { worker: worker(name), number };
    let delete = |name: &str, number, own| Write::DeleteSession { worker: worker(name), number, own };
    vec![
        case(
            "register",
            vec![],
            vec![heartbeat("s1", 5, 0, SessionState::Active), fence("s1", 5, 0), leave("s1", 5), delete("s1", 5, true)],
            register("s1", 5, Some(10)),
        ),
        case(
            "a higher number replaces",
            vec![heartbeat("s1", 5, 0, SessionState::Draining), leave("s1", 5)],
            vec![register("s1", 5, None), register("s1", 4, None)],
            register("s1", 6, None),
        ),
        case(
            "only the same process replaces a live session",
            vec![register("s5", 5, None)],
            vec![register_over("s5", 6, None), register_over("s5", 6, Some(4)), register_over("s5", 5, Some(5))],
            register_over("s5", 6, Some(5)),
        ),
        case(
            "a draining session is live",
            vec![heartbeat("s5", 6, 0, SessionState::Draining)],
            vec![register("s5", 7, None)],
            fence("s5", 6, 1),
        ),
        case("a fenced session is replaced", vec![], vec![register("s5", 6, None)], register("s5", 7, None)),
        case(
            "heartbeat",
            vec![],
            vec![heartbeat("s1", 5, 0, SessionState::Active), heartbeat("s1", 6, 1, SessionState::Active)],
            heartbeat("s1", 6, 0, SessionState::Draining),
        ),
        case("fence", vec![], vec![fence("s1", 6, 0), fence("s1", 5, 1)], fence("s1", 6, 1)),
        case(
            "a fenced session has ended",
            vec![],
            vec![
                heartbeat("s1", 6, 1, SessionState::Active),
                fence("s1", 6, 1),
                leave("s1", 6),
                delete("s1", 5, false),
                delete("s1", 7, true),
            ],
            delete("s1", 6, false),
        ),
        case("leave", vec![register("s2", 9, None)], vec![leave("s2", 8), delete("s2", 9, false)], leave("s2", 9)),
        case(
            "a session that left has ended",
            vec![],
            vec![heartbeat("s2", 9, 0, SessionState::Active), fence("s2", 9, 0)],
            leave("s2", 9),
        ),
        case("serve streams", vec![], vec![serve(0, &["1:a:2"])], registered),
        case("serve others", vec![], vec![serve(1, &["1:a:2"])], serve(0, &["1:a:2", "1:b:2"])),
        case("serve none", vec![], vec![serve(0, &[])], serve(1, &[])),
        case(
            "delete the own session",
            vec![register("s3", 1, None)],
            vec![delete("s3", 1, false)],
            delete("s3", 1, true),
        ),
    ]
}

fn assignments() -> Vec<Case> {
    let assignment = |term, version| {
        let owner = Some(Owner { worker: worker("b"), session: Some(2) });
        let java = Some(Owner { worker: worker("java"), session: None });
        let acquire = |lease: &str, owner, mode| Acquire { lease: LeaseKey::new(lease), owner, counter: 4711, mode };
        Write::Assignment(Assignment {
            worker: worker("p1"),
            term,
            version,
            acquires: vec![
                acquire("l1", None, AcquireMode::Now),
                acquire("l2", owner, AcquireMode::After),
                acquire("l3", java, AcquireMode::Now),
            ],
            yields: vec![Yield { lease: LeaseKey::new("l4"), counter: 12 }],
            lists: vec![stream_id(), StreamId::new("1:a:2")],
        })
    };
    let empty =
        Assignment { worker: worker("p1"), term: 2, version: 2, acquires: vec![], yields: vec![], lists: vec![] };
    let delete = |name: &str, term| Write::DeleteAssignment { worker: worker(name), term };
    vec![
        case("assign", vec![], vec![], assignment(2, 1)),
        case(
            "a later version replaces",
            vec![],
            vec![assignment(2, 1), assignment(2, 0), assignment(1, 9)],
            Write::Assignment(empty),
        ),
        case("a later term replaces", vec![], vec![assignment(2, 2)], assignment(3, 0)),
        case("delete an assignment", vec![], vec![delete("p1", 2)], delete("p1", 3)),
        case("delete an assignment that does not exist", vec![], vec![], delete("p2", 3)),
    ]
}

fn lease(key: &str, checkpoint: Checkpoint) -> Lease {
    Lease {
        parents: vec![ShardId::new("shardId-000000000000"), ShardId::new("shardId-000000000001")],
        hash_range: Some(HashKeyRange { start: 0, end: u128::MAX }),
        stream: Some(StreamIdentity {
            arn: "arn:aws:kinesis:eu-west-1:123456789012:stream/orders".to_owned(),
            created_at: 1_700_000_000,
        }),
        start_ms: Some(1_700_000_000_123),
        ..Lease::unowned(ShardId::new(key), checkpoint)
    }
}

/// Another stream than the leases' stream: a claim must not replace theirs.
fn recreated_stream() -> StreamIdentity {
    StreamIdentity { arn: "arn:aws:kinesis:eu-west-1:123456789012:stream/orders".to_owned(), created_at: 1_800_000_000 }
}

fn owned_lease(key: &str, name: &str, session: Option<u64>) -> Lease {
    Lease {
        owner: Some(Owner { worker: worker(name), session }),
        counter: 7,
        kcl_counter: Some(7),
        owner_switches: 2,
        ..lease(key, Checkpoint::TrimHorizon)
    }
}

fn create(lease: Lease) -> Write {
    Write::CreateLease(Box::new(lease))
}

fn at(digits: &str, sub_sequence_number: u64) -> Checkpoint {
    SequenceNumber::parse(digits).map_or(Checkpoint::TrimHorizon, |sequence_number| {
        Checkpoint::At(Position { sequence_number, sub_sequence_number })
    })
}

fn claims() -> Vec<Case> {
    let claim = |key: &str, counter, from: PreviousOwner| Write::Claim {
        lease: LeaseKey::new(key),
        counter,
        from,
        me: (worker("me"), 9),
        stream: recreated_stream(),
        start_ms: None,
    };
    let from = |name: &str, session| PreviousOwner::Owned(Owner { worker: worker(name), session });
    let done = Lease { children: vec![ShardId::new("shardId-000000000009")], ..lease("done", Checkpoint::ShardEnd) };
    let java = Lease { kcl_counter: None, stream: None, start_ms: None, ..owned_lease("java", "i-07", None) };
    let several = Lease {
        key: LeaseKey::new("123456789012:orders:1700000000:shardId-000000000000"),
        stream_name: Some(stream_id()),
        until_ms: Some(1_700_000_000_456),
        ..lease("shardId-000000000000", Checkpoint::AtTimestamp)
    };
    vec![
        case(
            "create a lease",
            vec![],
            vec![claim("free", 0, PreviousOwner::Unowned)],
            create(lease("free", Checkpoint::Latest)),
        ),
        case(
            "claim a free lease",
            vec![],
            vec![
                create(lease("free", Checkpoint::TrimHorizon)),
                claim("free", 1, PreviousOwner::Unowned),
                claim("free", 0, from("me", Some(9))),
            ],
            claim("free", 0, PreviousOwner::Unowned),
        ),
        case(
            "claim from an ended session",
            vec![create(owned_lease("ended", "b", Some(3)))],
            vec![
                claim("ended", 6, from("b", Some(3))),
                claim("ended", 7, PreviousOwner::Unowned),
                claim("ended", 7, from("c", Some(3))),
                claim("ended", 7, from("b", Some(4))),
                claim("ended", 7, from("b", None)),
            ],
            claim("ended", 7, from("b", Some(3))),
        ),
        case(
            "claim from an external owner, set its stream, and pin its start",
            vec![create(java)],
            vec![claim("java", 7, from("i-07", Some(0))), claim("java", 7, PreviousOwner::Unowned)],
            Write::Claim {
                lease: LeaseKey::new("java"),
                counter: 7,
                from: from("i-07", None),
                me: (worker("me"), 9),
                stream: recreated_stream(),
                start_ms: Some(5),
            },
        ),
        case("a finished lease is not claimed", vec![], vec![], create(done)),
        case("a table of several streams", vec![], vec![claim("done", 0, PreviousOwner::Unowned)], create(several)),
    ]
}

fn parked(key: Option<&str>, wish: Option<QuarantineRequest>) -> QuarantinedKey {
    let digits = "49590338271490256608559692538361571095921575989136588897";
    let number = SequenceNumber::parse(digits).ok();
    let position =
        |sub_sequence_number| number.clone().map(|sequence_number| Position { sequence_number, sub_sequence_number });
    QuarantinedKey {
        key: key.map(str::to_owned),
        positions: [0, 7].into_iter().filter_map(position).collect(),
        attempts: 3,
        error: "no such airport".to_owned(),
        arrived_at_ms: 1_700_000_000_123,
        wish,
        refused: wish.is_none().then(|| "no dead-letter sink".to_owned()),
    }
}

fn owned() -> Vec<Case> {
    let me = |name: &str, session| (worker(name), session);
    let checkpoint = |key: &str, me, counter| Write::Checkpoint {
        lease: LeaseKey::new(key),
        me,
        counter,
        checkpoint: at("49590338271490256608559692538361571095921575989136588898", 0),
        extras: CheckpointExtras {
            pending: Some(Pending { checkpoint: Checkpoint::ShardEnd, state: Some(vec![0, 255]) }),
            done: Some(vec![1, 2, 3]),
            parked: vec![parked(Some("UA"), None), parked(None, Some(QuarantineRequest::DeadLetter))],
            unreadable_by: vec![worker("a"), worker("b")],
        },
    };
    let release = |key: &str, me, counter| Write::Release {
        lease: LeaseKey::new(key),
        me,
        counter,
        checkpoint: at("49590338271490256608559692538361571095921575989136588899", 3),
        extras: CheckpointExtras {
            parked: vec![parked(Some("UA"), Some(QuarantineRequest::Resume))],
            ..CheckpointExtras::default()
        },
    };
    let clear_owner = |key: &str, from, counter| Write::ClearOwner { lease: LeaseKey::new(key), counter, from };
    let request = |key: &str, counter| Write::QuarantineRequest {
        lease: LeaseKey::new(key),
        counter,
        parked: vec![parked(Some("UA"), Some(QuarantineRequest::Resume))],
    };
    vec![
        case(
            "checkpoint",
            vec![create(owned_lease("mine", "me", Some(9)))],
            vec![
                checkpoint("mine", me("me", 9), 6),
                checkpoint("mine", me("me", 8), 7),
                checkpoint("mine", me("you", 9), 7),
                checkpoint("nothing", me("me", 9), 7),
            ],
            checkpoint("mine", me("me", 9), 7),
        ),
        case(
            "release",
            vec![],
            vec![release("mine", me("me", 9), 7), release("mine", me("me", 8), 8), release("mine", me("you", 9), 8)],
            release("mine", me("me", 9), 8),
        ),
        case(
            "request an action for a quarantined key",
            vec![],
            vec![request("mine", 8), request("nothing", 9)],
            request("mine", 9),
        ),
        case(
            "free a lease of an ended session",
            vec![create(owned_lease("left", "me", Some(9)))],
            vec![
                clear_owner("left", me("me", 9), 6),
                clear_owner("left", me("me", 8), 7),
                clear_owner("left", me("you", 9), 7),
                clear_owner("nothing", me("me", 9), 7),
            ],
            clear_owner("left", me("me", 9), 7),
        ),
        case(
            "a released lease is free",
            vec![],
            vec![checkpoint("mine", me("me", 9), 10), checkpoint("left", me("me", 9), 8)],
            Write::Claim {
                lease: LeaseKey::new("mine"),
                counter: 10,
                from: PreviousOwner::Unowned,
                me: me("you", 1),
                stream: recreated_stream(),
                start_ms: None,
            },
        ),
    ]
}

fn ends() -> Vec<Case> {
    let me = |name: &str, session| (worker(name), session);
    let children = vec![ShardId::new("shardId-000000000002"), ShardId::new("shardId-000000000003")];
    let end = |key: &str, me, counter, children: &[ShardId]| Write::ShardEnd {
        lease: LeaseKey::new(key),
        me,
        counter,
        children: children.to_vec(),
    };
    let delete = |key: &str, counter| Write::DeleteLease { lease: LeaseKey::new(key), counter };
    let unread = |key: &str, start_ms| Lease {
        checkpoint: Checkpoint::AtTimestamp,
        start_ms,
        ..owned_lease(key, "me", Some(9))
    };
    let delete_unread = |key: &str, counter, checkpoint, start_ms| {
        let lease = LeaseKey::new(key);
        Write::DeleteUnread { lease, counter, checkpoint, start_ms }
    };
    vec![
        case(
            "end a shard",
            vec![create(owned_lease("parent", "me", Some(9)))],
            vec![
                delete("parent", 7),
                end("parent", me("me", 9), 8, &children),
                end("parent", me("me", 8), 7, &children),
                end("parent", me("you", 9), 7, &children),
            ],
            end("parent", me("me", 9), 7, &children),
        ),
        case(
            "an ended shard stays ended",
            vec![],
            vec![
                end("parent", me("me", 9), 8, &children),
                Write::Claim {
                    lease: LeaseKey::new("parent"),
                    counter: 8,
                    from: PreviousOwner::Unowned,
                    me: me("me", 9),
                    stream: recreated_stream(),
                    start_ms: None,
                },
                delete("parent", 7),
            ],
            delete("parent", 8),
        ),
        case(
            "delete a lease that was not read",
            vec![create(unread("begun", Some(17)))],
            vec![
                delete_unread("begun", 6, Checkpoint::AtTimestamp, Some(17)),
                delete_unread("begun", 7, Checkpoint::Latest, Some(17)),
                delete_unread("begun", 7, Checkpoint::AtTimestamp, Some(18)),
                delete_unread("begun", 7, Checkpoint::AtTimestamp, None),
                delete_unread("nowhere", 7, Checkpoint::AtTimestamp, Some(17)),
            ],
            delete_unread("begun", 7, Checkpoint::AtTimestamp, Some(17)),
        ),
        case(
            "end a shard without children",
            vec![create(owned_lease("last", "me", Some(9)))],
            vec![],
            end("last", me("me", 9), 7, &[]),
        ),
        case(
            "an owner cannot move a finished lease",
            vec![create(Lease { checkpoint: Checkpoint::ShardEnd, ..owned_lease("held", "me", Some(9)) })],
            vec![
                Write::Checkpoint {
                    lease: LeaseKey::new("held"),
                    me: me("me", 9),
                    counter: 7,
                    checkpoint: Checkpoint::TrimHorizon,
                    extras: CheckpointExtras::default(),
                },
                Write::Release {
                    lease: LeaseKey::new("held"),
                    me: me("me", 9),
                    counter: 7,
                    checkpoint: Checkpoint::TrimHorizon,
                    extras: CheckpointExtras::default(),
                },
                end("held", me("me", 9), 7, &[]),
            ],
            delete("held", 7),
        ),
    ]
}
