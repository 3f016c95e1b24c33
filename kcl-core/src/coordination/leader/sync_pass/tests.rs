//! Tests passes of shard sync, answering call by call.

use super::*;
use crate::lease::row::HashKeyRange;
use crate::record::ShardId;
use crate::shard::Shard;

fn shard(n: u32, parents: &[u32]) -> Shard {
    let id = |n: u32| ShardId::from(format!("shardId-{n:012}").as_str());
    let hash_range = Some(HashKeyRange { start: 0, end: u128::MAX });
    let parents = parents.iter().copied().map(id).collect();
    Shard { id: id(n), parents, hash_range, starting_sequence_number: None, closed: false }
}

fn created(effects: &mut Effects) -> Vec<Lease> {
    let rows = effects
        .take_calls()
        .into_iter()
        .filter_map(|call| if let Op::Write(Write::CreateLease(row)) = call.op { Some(*row) } else { None });
    rows.collect()
}

/// Begins a pass of a stream that is filled, or that starts as given.
fn begin(pinned: Option<FleetStart>, effects: &mut Effects) -> SyncPass {
    let arn = "arn:aws:kinesis:us-east-1:000000000000:stream/s".to_owned();
    let stream = StreamKeys::alone(crate::record::StreamIdentity { arn, created_at: 1 });
    let sync_pass = SyncPass::begin(stream, Start::TrimHorizon, pinned.is_none(), pinned, effects);
    effects.take_calls();
    sync_pass
}

#[test]
fn a_list_without_hash_ranges_is_accepted() {
    let mut effects = Effects::new(fastrand::Rng::with_seed(1));
    let start = FleetStart { checkpoint: Checkpoint::TrimHorizon, at_ms: None };
    let mut sync_pass = begin(Some(start), &mut effects);
    let shards = vec![Shard { hash_range: None, ..shard(0, &[]) }];
    let listing = Ok(Listing { shards, answered_at_ms: None });
    sync_pass.on_listing(listing, &BTreeMap::new(), &mut ListHistory::default(), &mut effects);
    assert_eq!(created(&mut effects).len(), 1);
}

#[test]
fn a_childs_row_is_created_after_its_parents_row_was_written() {
    let mut effects = Effects::new(fastrand::Rng::with_seed(1));
    let mut sync_pass = begin(None, &mut effects);
    let listing = Listing { shards: vec![shard(1, &[0]), shard(0, &[])], answered_at_ms: None };
    let mut list_history = ListHistory::default();
    sync_pass.on_listing(Ok(listing), &BTreeMap::new(), &mut list_history, &mut effects);
    let parents = created(&mut effects);
    assert_eq!(parents.iter().map(|row| row.shard.clone()).collect::<Vec<_>>(), [shard(0, &[]).id]);
    let answer = Ok(Written::Applied(Some(Row::Lease(parents[0].clone()))));
    sync_pass.on_lease_written(&parents[0].key, answer, &mut effects);
    assert_eq!(created(&mut effects)[0].shard, shard(1, &[0]).id);
}

/// Answers every write at once; the n-th one is throttled if `fails(n)`. Returns the number of
/// writes sent.
fn answer_all(sync_pass: &mut SyncPass, effects: &mut Effects, mut fails: impl FnMut(usize) -> bool) -> usize {
    let mut sent = 0;
    for _ in 0..10_000 {
        while effects.take_due().is_some() {
            sync_pass.on_timer(effects);
        }
        let calls = effects.take_calls();
        if calls.is_empty() {
            let Some(due) = effects.next_due() else { return sent };
            effects.now = due;
            continue;
        }
        for call in calls {
            sent += 1;
            let Op::Write(Write::CreateLease(row)) = call.op else { return sent };
            let key = row.key.clone();
            let answer = if fails(sent) {
                Err(crate::coordination::call::Failure::Throttled)
            } else {
                Ok(Written::Applied(Some(Row::Lease(*row))))
            };
            sync_pass.on_lease_written(&key, answer, effects);
        }
    }
    panic!("does not end; {sent} writes")
}

#[test]
fn only_a_throttled_write_is_sent_again() {
    let mut effects = Effects::new(fastrand::Rng::with_seed(1));
    let start = FleetStart { checkpoint: Checkpoint::TrimHorizon, at_ms: None };
    let mut sync_pass = begin(Some(start), &mut effects);
    let shards = (0..1_000).map(|n| shard(n, &[])).collect();
    let listing = Ok(Listing { shards, answered_at_ms: None });
    sync_pass.on_listing(listing, &BTreeMap::new(), &mut ListHistory::default(), &mut effects);
    let sent = answer_all(&mut sync_pass, &mut effects, |n| n.is_multiple_of(100));
    assert!((1_000..1_020).contains(&sent), "{sent} writes");
    assert!(effects.now.since(crate::clock::Time::ZERO) < std::time::Duration::from_secs(10), "{:?}", effects.now);
}

#[test]
fn a_list_with_a_cycle_of_parents_is_repeated_and_used_in_the_end() {
    let mut effects = Effects::new(fastrand::Rng::with_seed(1));
    let start = FleetStart { checkpoint: Checkpoint::TrimHorizon, at_ms: None };
    let mut list_history = ListHistory::default();
    for round in 0..3 {
        let mut sync_pass = begin(Some(start.clone()), &mut effects);
        let listing = Listing { shards: vec![shard(1, &[2]), shard(2, &[1])], answered_at_ms: None };
        let news = sync_pass.on_listing(Ok(listing), &BTreeMap::new(), &mut list_history, &mut effects);
        assert_eq!(matches!(news, SyncEvent::Failed), round < 2);
        let told = effects.take_events();
        let expected = |told: &CoordinationEvent| match round {
            2 => matches!(told, CoordinationEvent::ParentsInCircle { shards: 1, .. }),
            _ => matches!(told, CoordinationEvent::ListUnusable { why: UnusableList::Cyclic, .. }),
        };
        assert!(told.len() == 1 && told.iter().all(expected), "{told:?}");
        if round == 2 {
            assert_eq!(answer_all(&mut sync_pass, &mut effects, |_| false), 3, "two leases and the mark");
        }
    }
}

const START_MS: i64 = 1_767_225_600_000;

/// A first sync pass with AT_TIMESTAMP, where the service's clock shows another time at each second.
struct AtTimestamp {
    sync_pass: SyncPass,
    effects: Effects,
    /// By how many milliseconds the service's clock is behind the start, at the virtual time 0.
    ahead_ms: i64,
}

impl AtTimestamp {
    fn begin(ahead_ms: i64, pinned: Option<FleetStart>) -> Self {
        let mut effects = Effects::new(fastrand::Rng::with_seed(1));
        let arn = "arn:aws:kinesis:us-east-1:000000000000:stream/s".to_owned();
        let stream = StreamKeys::alone(crate::record::StreamIdentity { arn, created_at: 1 });
        let sync_pass = SyncPass::begin(stream, Start::of_millis(START_MS), false, pinned, &mut effects);
        AtTimestamp { sync_pass, effects, ahead_ms }
    }

    fn answer(&mut self, answer: Reply<Listing>) -> SyncEvent {
        let mut list_history = ListHistory::default();
        self.sync_pass.on_listing(answer, &BTreeMap::new(), &mut list_history, &mut self.effects)
    }

    /// The service's time, in whole seconds as the service reports it.
    fn time(&self) -> Reply<Listing> {
        let passed = i64::try_from(self.effects.now.since(Time::ZERO).as_millis()).unwrap();
        let now_ms = (START_MS - self.ahead_ms + passed) / 1_000 * 1_000;
        Ok(Listing { shards: vec![shard(0, &[])], answered_at_ms: Some(now_ms) })
    }

    fn asked(&mut self) -> Option<Op> {
        self.effects.take_calls().pop().map(|call| call.op)
    }

    /// Waits for the next timer. Tells what was logged before.
    fn wait(&mut self) -> Vec<CoordinationEvent> {
        let logged = self.effects.take_events();
        self.effects.now = self.effects.next_due().unwrap();
        while self.effects.take_due().is_some() {
            self.sync_pass.on_timer(&mut self.effects);
        }
        logged
    }
}

fn at_latest() -> Option<Op> {
    Some(Op::List(None, ListWhich::AtLatest))
}

#[test]
fn a_start_ahead_of_the_services_clock_is_waited_for_with_a_line_a_minute_and_pinned_once_it_has_come() {
    let mut it = AtTimestamp::begin(150_500, None);
    let mut logged = Vec::new();
    loop {
        assert_eq!(it.asked(), at_latest());
        let time = it.time();
        assert!(matches!(it.answer(time), SyncEvent::Going));
        match it.asked() {
            None => {}
            Some(Op::Write(Write::PinStart(FleetStart {
                checkpoint: Checkpoint::AtTimestamp,
                at_ms: Some(START_MS),
            }))) => {
                break;
            }
            other => panic!("{other:?}"),
        }
        assert!(!it.sync_pass.is_writing(), "nothing of it is in the table");
        let now = it.effects.now.since(Time::ZERO).as_secs();
        logged.extend(it.wait().into_iter().map(|happening| (now, happening)));
    }
    let waited = it.effects.now.since(Time::ZERO);
    assert!((150..153).contains(&waited.as_secs()), "{waited:?}");
    let lines: Vec<u64> = logged.iter().map(|(at, _)| *at).collect();
    assert_eq!(lines, [0, 60, 120]);
    let ahead = Duration::from_millis(151_000);
    assert_eq!(logged[0].1, CoordinationEvent::StartAhead { stream: None, start_ms: START_MS, ahead });
}

#[test]
fn a_start_that_has_come_by_the_services_clock_is_pinned_at_once() {
    for ahead_ms in [0, -5_000] {
        let mut it = AtTimestamp::begin(ahead_ms, None);
        it.asked();
        let time = it.time();
        it.answer(time);
        assert!(matches!(it.asked(), Some(Op::Write(Write::PinStart(_)))));
    }
    // The shards are listed if the stream does not report its time.
    let mut it = AtTimestamp::begin(5_000, None);
    it.asked();
    it.answer(Ok(Listing { shards: vec![shard(0, &[])], answered_at_ms: None }));
    assert!(matches!(it.asked(), Some(Op::Write(Write::PinStart(_)))));
}

#[test]
fn a_start_that_is_pinned_ahead_of_the_services_clock_is_waited_for_as_well() {
    let pinned = FleetStart { checkpoint: Checkpoint::AtTimestamp, at_ms: Some(START_MS) };
    let mut it = AtTimestamp::begin(30_000, Some(pinned));
    assert_eq!(it.asked(), at_latest());
    let time = it.time();
    it.answer(time);
    assert_eq!(it.wait().len(), 1);
    assert_eq!(it.asked(), at_latest());
    let time = it.time();
    it.answer(time);
    assert_eq!(it.asked(), Some(Op::List(None, ListWhich::AtTimestamp(START_MS))));
}

#[test]
fn an_outage_while_the_start_is_waited_for_logs_it_no_second_time() {
    let mut it = AtTimestamp::begin(30_000, None);
    let time = it.time();
    it.answer(time);
    assert_eq!(it.wait().len(), 1);
    let failed = Err(crate::coordination::call::Failure::Unanswered);
    assert!(matches!(it.answer(failed), SyncEvent::Going));
    assert_eq!(it.wait(), []);
    let time = it.time();
    it.answer(time);
    assert!(it.effects.take_calls().iter().any(|call| matches!(call.op, Op::Write(Write::PinStart(_)))));
}
