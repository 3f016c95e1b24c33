//! Tests which rows let a start be corrected, and in which steps.

use super::*;
use crate::config::Start;
use crate::lease::row::{Fleet, FleetStart, Owner, SessionState, StreamKeys, StreamRow, WorkerProfile};
use crate::lease::{MemoryStore, Row, Written};
use crate::record::{Position, SequenceNumber, ShardId, StreamIdentity};

const FAILOVER: Duration = Duration::from_secs(10);
const WRONG: i64 = 1_000;

fn t(seconds: u64) -> Time {
    Time::from_origin(Duration::from_secs(seconds))
}

fn identity() -> StreamIdentity {
    StreamIdentity { arn: "arn:aws:kinesis:us-east-1:000000000000:stream/s".into(), created_at: 1 }
}

fn served(start: Start, id: Option<StreamId>) -> Served {
    let keys = StreamKeys { identity: identity(), id, until_ms: None };
    Served { keys, start, retention: Duration::from_secs(86_400) }
}

fn one(start: Start) -> Streams {
    Streams::One(Box::new(served(start, None)))
}

fn several(start: Start) -> Streams {
    let id = identity().id().unwrap();
    Streams::Several([(id.clone(), served(start, Some(id)))].into())
}

fn lease(shard: &str, checkpoint: Checkpoint, start_ms: Option<i64>) -> Lease {
    Lease { start_ms, ..served(Start::Latest, None).keys.lease(ShardId::from(shard), checkpoint) }
}

fn at_wrong(shard: &str) -> Lease {
    lease(shard, Checkpoint::AtTimestamp, Some(WRONG))
}

fn at_record(lease: Lease) -> Lease {
    let sequence_number = SequenceNumber::parse("7").unwrap();
    Lease { checkpoint: Checkpoint::At(Position { sequence_number, sub_sequence_number: 0 }), ..lease }
}

fn child(shard: &str, parent: &str) -> Lease {
    Lease { parents: vec![ShardId::from(parent)], ..lease(shard, Checkpoint::TrimHorizon, None) }
}

fn fleet(checkpoint: Checkpoint, at_ms: Option<i64>, filled: bool) -> Fleet {
    Fleet { start: Some(FleetStart { checkpoint, at_ms }), ..Fleet::above(0, 3, filled) }
}

fn begun_wrong(leases: Vec<Lease>) -> Table {
    Table { fleet: Some(fleet(Checkpoint::AtTimestamp, Some(WRONG), true)), leases, ..Table::default() }
}

fn session(heartbeat: u64, state: SessionState) -> Session {
    Session {
        worker: WorkerId::from_row("dead"),
        number: 3,
        tag: 0,
        heartbeat,
        state,
        capacity: None,
        load: 0,
        weights: None,
        streams: None,
        profile: WorkerProfile::default(),
    }
}

/// A table that was answered without a gap.
fn contact() -> Contact {
    Contact::new(Duration::from_secs(3))
}

fn corrects(streams: &Streams, table: &Table) -> bool {
    match Correction::new(FAILOVER).look(streams, table, t(0), t(0), &contact()) {
        Verdict::Nothing => false,
        Verdict::Write { .. } => true,
        Verdict::Look { .. } => panic!("nobody may be alive here"),
    }
}

#[test]
fn a_start_is_corrected_while_every_lease_is_as_it_was_created() {
    let corrected = one(Start::TrimHorizon);
    assert!(corrects(&corrected, &begun_wrong(vec![])), "it was refused before any lease was created");
    assert!(corrects(&corrected, &begun_wrong(vec![at_wrong("a"), at_wrong("b")])));
    let owner = Some(Owner { worker: WorkerId::from_row("dead"), session: Some(3) });
    let claimed = Lease { owner, counter: 4, kcl_counter: Some(4), owner_switches: 2, ..at_wrong("a") };
    let unreadable =
        CheckpointExtras { unreadable_by: vec![WorkerId::from_row("dead")], ..CheckpointExtras::default() };
    assert!(corrects(&corrected, &begun_wrong(vec![Lease { extras: unreadable, ..claimed }])));
    // Shard sync creates the children of the first shards.
    assert!(corrects(&corrected, &begun_wrong(vec![at_wrong("a"), child("b", "a"), child("c", "b")])));
    // An orderly shutdown leaves only the leases.
    assert!(corrects(&corrected, &Table { fleet: None, ..begun_wrong(vec![at_wrong("a")]) }));
    assert!(corrects(&one(Start::of_millis(WRONG + 1)), &begun_wrong(vec![at_wrong("a")])));
    assert!(corrects(&one(Start::Latest), &begun_wrong(vec![at_wrong("a")])));
}

#[test]
fn a_start_stays_where_anything_was_read_from_it() {
    let corrected = one(Start::TrimHorizon);
    let with = |lease: Lease| begun_wrong(vec![at_wrong("a"), lease]);
    assert!(!corrects(&corrected, &with(at_record(at_wrong("b")))));
    assert!(!corrects(&corrected, &with(Lease { checkpoint: Checkpoint::ShardEnd, ..at_wrong("b") })));
    let done = CheckpointExtras { done: Some(vec![1]), ..CheckpointExtras::default() };
    assert!(!corrects(&corrected, &with(Lease { extras: done, ..at_wrong("b") })));
    assert!(!corrects(&corrected, &with(child("c", "gone"))), "its parent may have been finished");
    assert!(!corrects(&corrected, &with(Lease { kcl_counter: None, ..at_wrong("b") })), "another hand wrote it");
    assert!(!corrects(&corrected, &with(lease("b", Checkpoint::AtTimestamp, Some(WRONG + 5)))));
}

#[test]
fn the_same_start_is_no_correction_however_late_it_is_said_again() {
    assert!(!corrects(&one(Start::of_millis(WRONG)), &begun_wrong(vec![at_wrong("a")])));
    let latest = Table { fleet: Some(fleet(Checkpoint::Latest, Some(WRONG), true)), ..Table::default() };
    let unread = Table { leases: vec![lease("a", Checkpoint::Latest, Some(WRONG))], ..latest };
    assert!(!corrects(&one(Start::Latest), &unread), "LATEST means the first start for good");
    assert!(!corrects(&one(Start::Latest), &Table { fleet: None, ..unread }));
    assert!(!corrects(&one(Start::Latest), &Table::default()));
}

#[test]
fn leases_at_the_oldest_record_are_believed_only_where_none_can_be_a_finished_parents_child() {
    let oldest = |shard: &str| lease(shard, Checkpoint::TrimHorizon, None);
    let table = |filled, leases| Table {
        fleet: Some(fleet(Checkpoint::TrimHorizon, None, filled)),
        leases,
        ..Table::default()
    };
    assert!(corrects(&one(Start::Latest), &table(true, vec![oldest("a"), child("b", "a")])));
    assert!(!corrects(&one(Start::Latest), &table(true, vec![child("b", "gone")])));
    assert!(
        corrects(&one(Start::Latest), &table(false, vec![child("b", "gone")])),
        "the first sync pass was cut short"
    );
    // Without a row that contains the start, the leases may be another consumer's.
    assert!(!corrects(&one(Start::Latest), &Table { leases: vec![oldest("a")], ..Table::default() }));
    let id = identity().id().unwrap();
    let of = |filled| {
        let start = FleetStart { checkpoint: Checkpoint::TrimHorizon, at_ms: None };
        let row = StreamRow { id: id.clone(), start, filled };
        Table { streams: vec![row], ..Table::default() }
    };
    assert!(!corrects(&several(Start::Latest), &of(true)), "such a row is also written beside the leases of others");
    assert!(corrects(&several(Start::Latest), &of(false)));
}

#[test]
fn a_worker_that_may_be_alive_is_waited_for_and_one_that_is_alive_keeps_its_start() {
    let streams = one(Start::TrimHorizon);
    let with = |heartbeat| Table {
        sessions: vec![session(heartbeat, SessionState::Active)],
        ..begun_wrong(vec![at_wrong("a")])
    };
    let mut correction = Correction::new(FAILOVER);
    for second in 0..10 {
        // Each read takes a second: staleness counts from the first answer to the last request.
        let verdict = correction.look(&streams, &with(7), t(second), t(second + 1), &contact());
        assert!(matches!(verdict, Verdict::Look { .. }), "{verdict:?}");
    }
    assert!(matches!(correction.look(&streams, &with(7), t(10), t(11), &contact()), Verdict::Look { .. }));
    let Verdict::Write { writes, of } = correction.look(&streams, &with(7), t(11), t(12), &contact()) else {
        panic!("silent for its failover time")
    };
    assert_eq!(writes, [Write::Fence { worker: WorkerId::from_row("dead"), number: 3, heartbeat: 7 }]);
    assert_eq!((of[0].setting.as_str(), of[0].pinned.as_str()), ("TRIM_HORIZON", "AT_TIMESTAMP(1000)"));
    let mut correction = Correction::new(FAILOVER);
    let verdicts =
        [7, 8, 9].map(|heartbeat| correction.look(&streams, &with(heartbeat), t(heartbeat), t(heartbeat), &contact()));
    assert!(matches!(verdicts[1], Verdict::Look { .. }), "a killed worker's last heartbeat");
    assert_eq!(verdicts[2], Verdict::Nothing);
}

#[test]
fn silence_while_the_table_was_out_of_reach_proves_nothing() {
    let streams = one(Start::TrimHorizon);
    let table = Table { sessions: vec![session(7, SessionState::Active)], ..begun_wrong(vec![]) };
    let (mut correction, mut contact) = (Correction::new(FAILOVER), contact());
    contact.answered(t(0));
    correction.look(&streams, &table, t(0), t(0), &contact);
    contact.answered(t(60));
    assert!(matches!(correction.look(&streams, &table, t(60), t(60), &contact), Verdict::Look { .. }));
}

#[test]
fn workers_of_other_streams_do_not_matter() {
    let id = identity().id().unwrap();
    let start = FleetStart { checkpoint: Checkpoint::AtTimestamp, at_ms: Some(WRONG) };
    let of = |serves: &StreamId| {
        let session = Session { streams: Some([serves.clone()].into()), ..session(7, SessionState::Active) };
        let row = StreamRow { id: id.clone(), start: start.clone(), filled: true };
        Table { sessions: vec![session], streams: vec![row], ..Table::default() }
    };
    assert!(corrects(&several(Start::Latest), &of(&StreamId::new("1:payments:2"))));
    let its_own = Correction::new(FAILOVER).look(&several(Start::Latest), &of(&id), t(0), t(0), &contact());
    assert!(matches!(its_own, Verdict::Look { .. }));
}

/// Executes steps until nothing is to be corrected, each interrupted after this many writes.
fn run(store: &MemoryStore, streams: &Streams, at_most: usize) -> usize {
    let mut crashes = 0;
    loop {
        let verdict = Correction::new(FAILOVER).look(streams, &store.table(), t(0), t(0), &contact());
        let Verdict::Write { writes, .. } = verdict else { return crashes };
        for write in writes.iter().take(at_most) {
            assert!(matches!(store.apply(write), Written::Applied(_)), "{write:?}");
        }
        crashes += 1;
        assert!(crashes < 100, "it never ends");
    }
}

#[test]
fn every_step_can_be_cut_short_and_leaves_an_empty_table_in_the_end() {
    for at_most in [1, 2, 64] {
        let leases = ["a", "b", "c"].map(at_wrong);
        let rows = leases.into_iter().chain([child("d", "a")]).map(Row::Lease);
        let fleet = Row::Fleet(fleet(Checkpoint::AtTimestamp, Some(WRONG), true));
        let store = MemoryStore::of(rows.chain([fleet, Row::Session(session(7, SessionState::Fenced))]));
        run(&store, &one(Start::TrimHorizon), at_most);
        let table = store.table();
        assert!(table.leases.is_empty() && table.fleet.is_none(), "{table:?}");
        assert_eq!(table.sessions.len(), 1, "whose number the next fleet row is made above");
    }
}

#[test]
fn a_step_sends_a_few_writes_at_once_and_only_those_that_failed_again() {
    let writes: Vec<Write> = (0..70).map(|n| delete(&at_wrong(&format!("shardId-{n:012}")))).collect();
    let mut step = Step::new(writes);
    let sent = step.send();
    assert_eq!((sent.len(), step.send().len()), (MOST_IN_FLIGHT, 0));
    for (n, write) in sent.iter().enumerate() {
        step.on_answer(&write.key(), n == 5);
    }
    let last = step.send();
    assert_eq!(last.len(), 6);
    assert!(!step.is_waiting());
    for write in &last {
        step.on_answer(&write.key(), false);
    }
    assert!(step.is_waiting() && !step.is_done());
    step.retry();
    assert_eq!(step.send(), [sent[5].clone()]);
    step.on_answer(&sent[5].key(), false);
    assert!(step.is_done());
}
