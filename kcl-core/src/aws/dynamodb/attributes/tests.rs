//! Tests items as Java KCL 3.5 writes them, attribute by attribute.

use super::*;
use crate::lease::row::HashKeyRange;
use crate::lease::{CheckpointExtras, Lease, Owner, Pending};
use crate::record::{Checkpoint, Position, SequenceNumber, ShardId};
use aws_sdk_dynamodb::primitives::Blob;

const SHARD: &str = "shardId-000000000000";
const DIGITS: &str = "49590338271490256608559692538361571095921575989136588898";

fn strings(members: &[&str]) -> AttributeValue {
    AttributeValue::Ss(members.iter().map(|&member| member.to_owned()).collect())
}

fn item<const N: usize>(attributes: [(&str, AttributeValue); N]) -> Item {
    attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// A new root lease at LATEST.
fn root() -> Item {
    item([
        ("leaseKey", text(SHARD)),
        ("leaseCounter", number(0)),
        ("checkpoint", text("LATEST")),
        ("checkpointSubSequenceNumber", number(0)),
        ("ownerSwitchesSinceCheckpoint", number(0)),
        ("startingHashKey", text("0")),
        ("endingHashKey", text("170141183460469231731687303715884105727")),
        ("entityType", text("LEASE")),
    ])
}

fn with<const N: usize>(mut item: Item, more: [(&str, AttributeValue); N]) -> Item {
    item.extend(more.into_iter().map(|(name, value)| (name.to_owned(), value)));
    item
}

fn lease(item: &Item) -> Lease {
    match decode(item) {
        Some(Row::Lease(lease)) => lease,
        other => panic!("not a lease: {other:?}"),
    }
}

fn new_root() -> Lease {
    Lease {
        hash_range: Some(HashKeyRange { start: 0, end: (1 << 127) - 1 }),
        kcl_counter: None,
        ..Lease::unowned(ShardId::new(SHARD), Checkpoint::Latest)
    }
}

#[test]
fn a_new_lease_has_javas_attributes_and_our_own() {
    assert_eq!(encode(&Row::Lease(new_root())), root());
    let ours = Lease { kcl_counter: Some(0), start_ms: Some(1_700_000_000_123), ..new_root() };
    let ours = Lease { until_ms: Some(1_700_000_000_456), ..ours };
    let ours = Lease {
        stream: Some(crate::record::StreamIdentity {
            arn: "arn:aws:kinesis:eu-west-1:123456789012:stream/orders".to_owned(),
            created_at: 1_700_000_000,
        }),
        ..ours
    };
    let expected = with(
        root(),
        [
            ("kclCounter", number(0)),
            ("kclStart", number(1_700_000_000_123_i64)),
            ("kclUntil", number(1_700_000_000_456_i64)),
            ("kclStream", text("arn:aws:kinesis:eu-west-1:123456789012:stream/orders@1700000000")),
        ],
    );
    assert_eq!(encode(&Row::Lease(ours.clone())), expected);
    assert_eq!(lease(&expected), ours);
}

#[test]
fn a_child_names_its_parents_as_a_set() {
    let parents = vec![ShardId::new("shardId-000000000001"), ShardId::new("shardId-000000000000")];
    let child = Lease { parents, checkpoint: Checkpoint::TrimHorizon, ..new_root() };
    let expected = with(
        root(),
        [
            ("checkpoint", text("TRIM_HORIZON")),
            ("parentShardId", strings(&["shardId-000000000000", "shardId-000000000001"])),
        ],
    );
    assert_eq!(encode(&Row::Lease(child)), expected);
}

#[test]
fn javas_leases_have_an_owner_without_a_session() {
    let owned = lease(&with(
        root(),
        [
            ("leaseOwner", text("worker-a")),
            ("leaseCounter", number(4711)),
            ("checkpoint", text(DIGITS)),
            ("throughputKBps", text("12.345678")),
        ],
    ));
    let position = Position { sequence_number: SequenceNumber::parse(DIGITS).unwrap(), sub_sequence_number: 0 };
    assert_eq!(owned.owner, Some(Owner { worker: WorkerId::from_row("worker-a"), session: None }));
    assert_eq!(owned.checkpoint, Checkpoint::At(position));
    assert!(owned.was_written_externally());

    let prepared = lease(&with(
        root(),
        [
            ("pendingCheckpoint", text(DIGITS)),
            ("pendingCheckpointSubSequenceNumber", number(3)),
            ("pendingCheckpointState", AttributeValue::B(Blob::new(*b"state"))),
        ],
    ));
    let position = Position { sequence_number: SequenceNumber::parse(DIGITS).unwrap(), sub_sequence_number: 3 };
    let pending = Pending { checkpoint: Checkpoint::At(position), state: Some(b"state".to_vec()) };
    assert_eq!(prepared.extras, CheckpointExtras { pending: Some(pending), ..CheckpointExtras::default() });

    let handed = lease(&with(root(), [("leaseOwner", text("worker-b")), ("checkpointOwner", text("worker-a"))]));
    assert_eq!(handed.owner.unwrap().worker.as_str(), "worker-b");

    let ended = lease(&with(
        root(),
        [
            ("leaseOwner", text("worker-a")),
            ("checkpoint", text("SHARD_END")),
            ("childShardIds", strings(&["shardId-000000000003", "shardId-000000000002"])),
        ],
    ));
    assert!(ended.checkpoint.is_shard_end());
    assert_eq!(ended.children, [ShardId::new("shardId-000000000002"), ShardId::new("shardId-000000000003")]);

    // Our counter in a row that Java has written since.
    let taken = lease(&with(root(), [("leaseCounter", number(8)), ("kclCounter", number(7))]));
    assert!(taken.was_written_externally());
}

#[test]
fn a_lease_of_one_stream_among_several_has_a_separate_shard_id() {
    let key = "123456789012:orders:1700000000:shardId-000000000000";
    let written = with(
        root(),
        [("leaseKey", text(key)), ("streamName", text("123456789012:orders:1700000000")), ("shardId", text(SHARD))],
    );
    let read = lease(&written);
    assert_eq!((read.key.as_str(), read.shard.as_str()), (key, SHARD));
    assert_eq!(encode(&Row::Lease(read)), written);
}

#[test]
fn a_lease_of_kcl_2_has_no_entity_type() {
    let mut old = root();
    old.remove("entityType");
    assert_eq!(lease(&old), new_root());
}

#[test]
fn javas_other_rows_are_skipped() {
    let metrics = item([("leaseKey", text("worker-a")), ("entityType", text("WORKER_METRIC_STATS"))]);
    let leader = item([("leaseKey", text("Leader")), ("entityType", text("LEADER"))]);
    let migration = item([("leaseKey", text("Migration3.0")), ("entityType", text("CLIENT_VERSION_MIGRATION"))]);
    for other in [metrics, leader, migration] {
        assert_eq!(decode(&other), None);
    }
}

#[test]
fn errors_name_the_invalid_attribute() {
    let without = |name: &str| {
        let mut item = root();
        item.remove(name);
        item
    };
    let session = |state: &str| {
        item([
            ("leaseKey", text("session/a")),
            ("entityType", text("KCL_SESSION")),
            ("number", number(1)),
            ("heartbeat", number(1)),
            ("state", text(state)),
        ])
    };
    let cases = [
        (without("leaseCounter"), "`leaseCounter` is missing"),
        (without("checkpoint"), "`checkpoint` is missing"),
        (with(root(), [("leaseCounter", text("7"))]), "`leaseCounter` is a string, not a number"),
        (with(root(), [("leaseCounter", number(-7))]), "`leaseCounter` is -7"),
        (with(root(), [("checkpoint", text("0007"))]), "`checkpoint`: `0007` is not a sequence number"),
        (with(root(), [("parentShardId", text(SHARD))]), "`parentShardId` is a string, not a set of strings"),
        (with(root(), [("endingHashKey", text("x"))]), "`endingHashKey` is `x`"),
        (with(root(), [("kclStream", text("orders"))]), "`kclStream` is `orders`"),
        (with(root(), [("entityType", number(1))]), "`entityType` is a number"),
    ];
    for (item, complaint) in cases {
        let Some(Row::Damaged(Damaged { key, why, .. })) = decode(&item) else { panic!("{complaint}: {item:?}") };
        assert_eq!(key, RowKey::Lease(LeaseKey::new(SHARD)));
        assert!(why.starts_with(complaint), "{why}");
    }
    let Some(Row::Damaged(Damaged { key, why, .. })) = decode(&session("asleep")) else { panic!("a state") };
    assert_eq!(key, RowKey::Session(WorkerId::from_row("a")));
    assert_eq!(why, "`state` is `asleep`, which is not a session state");
    assert!(decode(&session("draining")).unwrap().as_session().is_some());
}

#[test]
fn a_row_of_another_kind_at_a_key_is_damaged() {
    let metrics = item([("leaseKey", text("fleet")), ("entityType", text("WORKER_METRIC_STATS"))]);
    let Row::Damaged(damaged) = decode_as(&RowKey::Fleet, &metrics) else { panic!("a row") };
    assert_eq!(damaged.key, RowKey::Fleet);
    assert!(damaged.why.contains("WORKER_METRIC_STATS"), "{}", damaged.why);
}

#[test]
fn a_session_with_invalid_weights_is_valid() {
    let weights = crate::lease::Weights::of(&[(crate::lease::LeaseKey::new(SHARD), 70_000.0)].into());
    let session = crate::lease::Session {
        worker: crate::lease::WorkerId::from_row("a"),
        number: 3,
        tag: 5,
        heartbeat: 9,
        state: crate::lease::SessionState::Active,
        capacity: None,
        load: 1,
        weights: Some(weights.clone()),
        streams: None,
        profile: crate::lease::WorkerProfile::default(),
    };
    let item = encode(&Row::Session(session.clone()));
    assert_eq!(item["weights"], text(weights.to_text()));
    assert_eq!(decode(&item), Some(Row::Session(session.clone())));
    for unreadable in [text("from a later version"), number(4)] {
        let item = with(item.clone(), [("weights", unreadable)]);
        assert_eq!(decode(&item), Some(Row::Session(crate::lease::Session { weights: None, ..session.clone() })));
    }
}

#[test]
fn rows_of_several_streams_round_trip() {
    use crate::lease::{Assignment, FleetStart, Session, SessionState, StreamRow};
    use crate::record::StreamId;
    let ids = || ["1:orders:2", "1:payments:2"].map(StreamId::new);
    let start = FleetStart { checkpoint: Checkpoint::AtTimestamp, at_ms: Some(1_700_000_000_123) };
    let stream = StreamRow { id: ids()[0].clone(), start, filled: true };
    let item = encode(&Row::Stream(stream.clone()));
    assert_eq!((&item["leaseKey"], &item["entityType"]), (&text("stream/1:orders:2"), &text("KCL_STREAM")));
    assert_eq!(decode(&item), Some(Row::Stream(stream)));

    let worker = WorkerId::from_row("a");
    let (number, state) = (3, SessionState::Active);
    for streams in [None, Some([].into()), Some(ids().into())] {
        let worker = worker.clone();
        let (capacity, weights) = (None, None);
        let session = Session {
            worker,
            number,
            tag: 5,
            heartbeat: 9,
            state,
            capacity,
            load: 1,
            weights,
            streams,
            profile: crate::lease::WorkerProfile::default(),
        };
        assert_eq!(decode(&encode(&Row::Session(session.clone()))), Some(Row::Session(session)));
    }
    let plan = Assignment { worker, term: 1, version: 2, acquires: vec![], yields: vec![], lists: ids().to_vec() };
    assert_eq!(decode(&encode(&Row::Assignment(plan.clone()))), Some(Row::Assignment(plan)));
}

#[test]
fn an_invalid_quarantine_request_does_not_damage_the_lease() {
    let entry = item([
        ("key", text("UA")),
        ("at", AttributeValue::L(vec![text(DIGITS)])),
        ("attempts", number(2)),
        ("error", text("down")),
        ("arrived", number(5)),
        ("request", text("retry please")),
    ]);
    let parked =
        lease(&with(root(), [("kclQuarantined", AttributeValue::L(vec![AttributeValue::M(entry)]))])).extras.parked;
    assert_eq!((parked.len(), parked[0].wish), (1, None));
    assert!(parked[0].refused.as_ref().unwrap().contains("neither `resume` nor `dead-letter`"), "{parked:?}");
}
