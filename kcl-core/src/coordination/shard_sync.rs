//! Keeps the leases of several streams in step with their shards, for the streams that the assignment gives to this
//! worker.
//!
//! The leases of a single stream are kept in step by the leader, next to its cycle. Of several streams, the leader may not
//! serve some, and one that cannot be listed must not delay the assignments of the others. So the leader assigns each
//! stream to one worker that serves it, which lists the stream independently of all else. Two workers may do it at the
//! same time: every write has its own condition. See docs/protocol/several-streams.md.

use super::backoff::RetryPolicy;
use super::call::{CallId, Reply, TimerId};
use super::effects::Effects;
use super::known_rows::KnownRows;
use super::leader::sync_pass::{Done, SyncEvent, SyncPass};
use super::streams::Streams;
use crate::clock::Time;
use crate::lease::row::{Lease, LeaseKey};
use crate::lease::{Table, Written};
use crate::record::StreamId;
use crate::shard::{ListHistory, Listing};
use std::collections::BTreeMap;
use std::time::Duration;

/// The sync of all streams that the assignment gives to this worker.
#[derive(Debug)]
pub(crate) struct ShardSync {
    every: Duration,
    streams: BTreeMap<StreamId, StreamSync>,
    reading: bool,
    known: KnownRows,
}

/// The sync of one stream.
#[derive(Debug)]
struct StreamSync {
    due: Time,
    sync_pass: Option<SyncPass>,
    list_history: ListHistory,
    /// Lists that failed in a row.
    failures: u32,
    /// Whether rows were created or deleted.
    changed: bool,
    /// Another worker lists the stream from now on. Writes under way are waited for, so that none arrives unnoticed.
    ends: bool,
}

impl ShardSync {
    pub(crate) fn new(every: Duration) -> Self {
        ShardSync { every, streams: BTreeMap::new(), reading: false, known: KnownRows::default() }
    }

    /// Follows a new version of the assignment, which names these streams.
    pub(crate) fn follow(&mut self, lists: &[StreamId], effects: &mut Effects) {
        for (stream, sync) in &mut self.streams {
            sync.ends = !lists.contains(stream);
            if sync.ends
                && let Some(sync_pass) = &mut sync.sync_pass
            {
                sync_pass.stop();
            }
        }
        for stream in lists {
            let new = StreamSync {
                due: effects.now,
                sync_pass: None,
                list_history: ListHistory::default(),
                failures: 0,
                changed: false,
                ends: false,
            };
            self.streams.entry(stream.clone()).or_insert(new);
        }
        self.drop_ended(effects);
    }

    /// The worker no longer serves this stream.
    pub(crate) fn forget(&mut self, stream: &StreamId, effects: &mut Effects) {
        if let Some(sync) = self.streams.get_mut(stream) {
            sync.ends = true;
            if let Some(sync_pass) = &mut sync.sync_pass {
                sync_pass.stop();
            }
        }
        self.drop_ended(effects);
    }

    /// Whether no read of the table and no write is under way. A list may be: its answer can be dropped.
    pub(crate) fn is_idle(&self) -> bool {
        !self.reading && !self.streams.values().any(|sync| sync.sync_pass.as_ref().is_some_and(SyncPass::is_writing))
    }

    fn drop_ended(&mut self, effects: &mut Effects) {
        self.streams.retain(|_, sync| !sync.ends || sync.sync_pass.is_some());
        self.schedule(effects);
    }

    fn schedule(&self, effects: &mut Effects) {
        if self.reading {
            return;
        }
        match self.streams.values().filter(|sync| sync.sync_pass.is_none()).map(|sync| sync.due).min() {
            Some(due) => effects.set_timer(TimerId::ShardSync, due),
            None => effects.clear_timer(&TimerId::ShardSync),
        }
    }

    /// Lists the streams that are due. `known`: the rows that a leader has read, so that it need not read them again.
    pub(crate) fn on_timer(&mut self, known: Option<KnownRows>, streams: &Streams, effects: &mut Effects) {
        if self.reading || !self.streams.values().any(|sync| sync.is_due(effects.now)) {
            return self.schedule(effects);
        }
        match known {
            Some(known) => self.begin(known, streams, effects),
            None => {
                self.reading = true;
                effects.read_table(CallId::ShardSync);
            }
        }
    }

    pub(crate) fn on_table(&mut self, answer: Reply<Table>, streams: &Streams, effects: &mut Effects) {
        self.reading = false;
        match answer {
            Ok(table) => self.begin(KnownRows::of(table), streams, effects),
            Err(_) => effects.retry(TimerId::ShardSync, RetryPolicy::SHARD_SYNC_TABLE),
        }
    }

    fn begin(&mut self, known: KnownRows, streams: &Streams, effects: &mut Effects) {
        self.known = known;
        // Streams that are due soon are listed now, so that one read of the table serves all of them.
        let soon = effects.now + self.every / 8;
        for (id, sync) in self.streams.iter_mut().filter(|(_, sync)| sync.is_due(soon)) {
            sync.due = effects.now + effects.jittered(self.every);
            // The leader assigns a stream that this worker no longer serves to another one.
            let Some(served) = streams.get(Some(id)) else { continue };
            let row = self.known.streams.get(id);
            let has_leases = self.known.has_leases_of(id);
            sync.changed = false;
            sync.sync_pass = Some(SyncPass::of_several(served.keys.clone(), served.start, row, has_leases, effects));
        }
        self.schedule(effects);
    }

    /// Repeats the writes of a stream's pass that are due again.
    pub(crate) fn on_pass_timer(&mut self, stream: &StreamId, effects: &mut Effects) {
        if let Some(sync_pass) = self.streams.get_mut(stream).and_then(|sync| sync.sync_pass.as_mut()) {
            sync_pass.on_timer(effects);
        }
    }

    /// The list of a stream was answered. Returns whether the leader should read the table; so do the next two.
    pub(crate) fn on_listing(&mut self, stream: &StreamId, answer: Reply<Listing>, effects: &mut Effects) -> bool {
        self.step(stream, effects, |pass, leases, list_history, effects| {
            pass.on_listing(answer, leases, list_history, effects)
        })
    }

    /// The write that pins a stream's start, or marks its first fill as complete, was answered.
    pub(crate) fn on_written(&mut self, stream: &StreamId, answer: Reply<Written>, effects: &mut Effects) -> bool {
        self.step(stream, effects, |pass, _, _, effects| pass.on_written(answer, effects))
    }

    /// The write of a stream's lease was answered.
    pub(crate) fn on_lease_written(
        &mut self,
        stream: &StreamId,
        lease: &LeaseKey,
        answer: Reply<Written>,
        effects: &mut Effects,
    ) -> bool {
        self.step(stream, effects, |pass, _, _, effects| pass.on_lease_written(lease, answer, effects))
    }

    fn step(
        &mut self,
        stream: &StreamId,
        effects: &mut Effects,
        answered: impl FnOnce(&mut SyncPass, &BTreeMap<LeaseKey, Lease>, &mut ListHistory, &mut Effects) -> SyncEvent,
    ) -> bool {
        let Some(sync) = self.streams.get_mut(stream) else { return false };
        let Some(sync_pass) = &mut sync.sync_pass else { return false };
        let event = answered(sync_pass, &self.known.leases, &mut sync.list_history, effects);
        let done = match event {
            SyncEvent::Going | SyncEvent::Fleet(_) => None,
            SyncEvent::Lease { key, lease, done } => {
                sync.changed = true;
                match lease {
                    Some(lease) => self.known.leases.insert(key, *lease),
                    None => self.known.leases.remove(&key),
                };
                done
            }
            SyncEvent::Done(done) => Some(done),
            SyncEvent::Failed => {
                let policy = if sync_pass.is_first() { RetryPolicy::FIRST_LIST } else { RetryPolicy::LIST };
                sync.failures = sync.failures.saturating_add(1);
                sync.due = effects.now + effects.jittered(policy.pause(sync.failures));
                return self.end_pass(stream, effects);
            }
        };
        let Some(done) = done else { return false };
        sync.failures = 0;
        if done == Done::Unsettled {
            sync.due = sync.due.min(effects.now + effects.jittered(RetryPolicy::LIST.pause(1)));
        }
        self.end_pass(stream, effects)
    }

    /// Returns whether the pass changed leases, so that the leader should read the table.
    fn end_pass(&mut self, stream: &StreamId, effects: &mut Effects) -> bool {
        let Some(sync) = self.streams.get_mut(stream) else { return false };
        sync.sync_pass = None;
        let changed = sync.changed;
        self.drop_ended(effects);
        changed
    }
}

impl StreamSync {
    fn is_due(&self, now: Time) -> bool {
        self.sync_pass.is_none() && self.due <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Start;
    use crate::coordination::call::{Call, Failure, Op, Refusal, StreamCall};
    use crate::coordination::streams::Served;
    use crate::lease::row::{FleetStart, HashKeyRange, Lease, RowKey, StreamKeys, StreamRow};
    use crate::lease::{MemoryStore, Row};
    use crate::record::{Checkpoint, ShardId, StreamIdentity};
    use crate::shard::{ListWhich, Shard};

    const EVERY: Duration = Duration::from_secs(60);

    fn identity(name: &str) -> StreamIdentity {
        StreamIdentity { arn: format!("arn:aws:kinesis:us-east-1:000000000000:stream/{name}"), created_at: 1 }
    }

    fn id(name: &str) -> StreamId {
        identity(name).id().unwrap()
    }

    fn streams(start: Start) -> Streams {
        let of = |name: &str| {
            let keys = StreamKeys { identity: identity(name), id: Some(id(name)), until_ms: None };
            (id(name), Served { keys, start, retention: Duration::from_secs(86_400) })
        };
        Streams::Several([of("instructions"), of("payments")].into())
    }

    /// A worker that lists, a table, and streams of one shard each, some of which exist.
    struct Harness {
        shard_sync: ShardSync,
        streams: Streams,
        store: MemoryStore,
        effects: Effects,
        existing: Vec<StreamId>,
        lists: Vec<(StreamId, ListWhich)>,
        scans: usize,
        woken: usize,
    }

    impl Harness {
        fn new(start: Start) -> Self {
            Harness {
                shard_sync: ShardSync::new(EVERY),
                streams: streams(start),
                store: MemoryStore::default(),
                effects: Effects::new(fastrand::Rng::with_seed(1)),
                existing: vec![id("instructions"), id("payments")],
                lists: Vec::new(),
                scans: 0,
                woken: 0,
            }
        }

        /// Makes calls until none is left.
        fn run(&mut self) {
            loop {
                while let Some(timer) = self.effects.take_due() {
                    assert_eq!(timer, TimerId::ShardSync);
                    self.shard_sync.on_timer(None, &self.streams, &mut self.effects);
                }
                let calls = self.effects.take_calls();
                if calls.is_empty() {
                    return;
                }
                for call in calls {
                    self.make(call);
                }
            }
        }

        fn make(&mut self, call: Call) {
            let (sync, effects) = (&mut self.shard_sync, &mut self.effects);
            let changed = match (call.id, call.op) {
                (CallId::ShardSync, Op::Page { .. }) => {
                    self.scans += 1;
                    sync.on_table(Ok(self.store.table()), &self.streams, effects);
                    false
                }
                (CallId::Stream(stream, StreamCall::Shards), Op::List(of, which)) => {
                    assert_eq!(of, Some(stream.clone()));
                    self.lists.push((stream.clone(), which));
                    let answer = if self.existing.contains(&stream) { Ok(listing()) } else { Err(missing()) };
                    sync.on_listing(&stream, answer, effects)
                }
                (CallId::Stream(stream, StreamCall::SyncPass), Op::Write(write)) => {
                    sync.on_written(&stream, Ok(self.store.apply(&write)), effects)
                }
                (CallId::Stream(stream, StreamCall::LeaseRow(lease)), Op::Write(write)) => {
                    sync.on_lease_written(&stream, &lease, Ok(self.store.apply(&write)), effects)
                }
                other => panic!("{other:?}"),
            };
            self.woken += usize::from(changed);
        }

        fn row(&self, name: &str) -> Option<StreamRow> {
            self.store.get(&RowKey::Stream(id(name))).and_then(|row| row.as_stream().cloned())
        }

        fn leases(&self) -> Vec<Lease> {
            self.store.table().leases
        }
    }

    fn missing() -> Failure {
        Failure::Refused(Refusal { code: None, message: "no such stream".to_owned(), missing: true })
    }

    fn listing() -> Listing {
        let hash_range = Some(HashKeyRange { start: 0, end: u128::MAX });
        let id = ShardId::from("shardId-000000000000");
        let (parents, starting_sequence_number, closed) = (Vec::new(), None, false);
        let shards = vec![Shard { id, parents, hash_range, starting_sequence_number, closed }];
        Listing { shards, answered_at_ms: Some(10_000) }
    }

    #[test]
    fn each_stream_is_filled_once_from_its_own_pinned_instant_and_the_leader_is_woken() {
        let mut harness = Harness::new(Start::Latest);
        harness.shard_sync.follow(&[id("instructions"), id("payments")], &mut harness.effects);
        harness.run();
        let start = FleetStart { checkpoint: Checkpoint::Latest, at_ms: Some(8_000) };
        for name in ["instructions", "payments"] {
            assert_eq!(harness.row(name), Some(StreamRow { id: id(name), start: start.clone(), filled: true }));
        }
        assert!(harness.leases().iter().all(|lease| lease.start_ms == Some(8_000)));
        assert_eq!((harness.leases().len(), harness.scans, harness.woken), (2, 1, 2));
        harness.lists.clear();
        harness.effects.now = harness.effects.now + EVERY * 2;
        harness.run();
        assert_eq!(harness.lists, [(id("instructions"), ListWhich::All), (id("payments"), ListWhich::All)]);
        assert_eq!((harness.leases().len(), harness.scans, harness.woken), (2, 2, 2), "nothing new");
    }

    #[test]
    fn a_stream_that_cannot_be_listed_does_not_delay_the_others() {
        let mut harness = Harness::new(Start::TrimHorizon);
        harness.existing = vec![id("payments")];
        harness.shard_sync.follow(&[id("instructions"), id("payments")], &mut harness.effects);
        harness.run();
        assert_eq!(harness.leases().len(), 1);
        harness.existing = vec![id("instructions"), id("payments")];
        harness.effects.now = harness.effects.now + RetryPolicy::FIRST_LIST.pause(1) * 2;
        harness.run();
        assert_eq!(harness.leases().len(), 2, "a stream without leases is listed again soon");
    }

    #[test]
    fn a_first_fill_that_another_worker_began_goes_on_with_its_pinned_instant() {
        let mut harness = Harness::new(Start::Latest);
        let start = FleetStart { checkpoint: Checkpoint::Latest, at_ms: Some(777) };
        harness.store.put(Row::Stream(StreamRow { id: id("instructions"), start, filled: false }));
        harness.shard_sync.follow(&[id("instructions")], &mut harness.effects);
        harness.run();
        assert_eq!(harness.leases()[0].start_ms, Some(777));
        assert_eq!(harness.lists, [(id("instructions"), ListWhich::AtTimestamp(777))]);
    }

    #[test]
    fn leases_without_a_stream_row_are_those_of_a_fleet_that_ended() {
        let mut harness = Harness::new(Start::Latest);
        let keys = StreamKeys { identity: identity("instructions"), id: Some(id("instructions")), until_ms: None };
        let lease = keys.lease(ShardId::from("shardId-000000000007"), Checkpoint::TrimHorizon);
        harness.store.put(Row::Lease(lease));
        harness.shard_sync.follow(&[id("instructions")], &mut harness.effects);
        harness.run();
        assert_eq!(harness.lists, [(id("instructions"), ListWhich::All)], "no new start is pinned");
        let new = harness.leases().into_iter().find(|lease| lease.shard.as_str() == "shardId-000000000000").unwrap();
        assert_eq!((new.checkpoint, new.start_ms), (Checkpoint::TrimHorizon, None));
        assert!(harness.row("instructions").unwrap().filled);
    }

    #[test]
    fn a_shard_of_the_same_name_in_another_stream_is_another_shard() {
        let mut harness = Harness::new(Start::TrimHorizon);
        let start = FleetStart { checkpoint: Checkpoint::TrimHorizon, at_ms: None };
        harness.store.put(Row::Stream(StreamRow { id: id("payments"), start, filled: true }));
        harness.shard_sync.follow(&[id("instructions")], &mut harness.effects);
        harness.run();
        harness.shard_sync.follow(&[id("instructions"), id("payments")], &mut harness.effects);
        harness.run();
        let keys: Vec<String> = harness.leases().iter().map(|lease| lease.key.to_string()).collect();
        let of = |stream: &str| format!("000000000000:{stream}:1:shardId-000000000000");
        assert_eq!(keys, [of("instructions"), of("payments")]);
    }

    #[test]
    fn a_sync_that_is_assigned_to_another_worker_is_idle_once_its_writes_are_answered() {
        let mut harness = Harness::new(Start::TrimHorizon);
        harness.shard_sync.follow(&[id("instructions")], &mut harness.effects);
        assert_eq!(harness.effects.take_due(), Some(TimerId::ShardSync));
        harness.shard_sync.on_timer(None, &harness.streams, &mut harness.effects);
        assert!(!harness.shard_sync.is_idle(), "the table is being read");
        let call = harness.effects.take_calls().pop().unwrap();
        harness.make(call);
        harness.shard_sync.follow(&[], &mut harness.effects);
        assert!(!harness.shard_sync.is_idle(), "the stream's row may be written any time");
        harness.run();
        assert!(harness.shard_sync.is_idle() && harness.shard_sync.streams.is_empty());
        assert!(
            !harness.row("instructions").unwrap().filled,
            "the next worker that lists the stream goes on from there"
        );
        assert_eq!((harness.leases().len(), harness.effects.next_due()), (0, None));
    }

    #[test]
    fn a_stream_that_the_assignment_no_longer_names_is_not_listed() {
        let mut harness = Harness::new(Start::TrimHorizon);
        harness.shard_sync.follow(&[id("instructions"), id("payments")], &mut harness.effects);
        harness.run();
        harness.shard_sync.follow(&[id("payments")], &mut harness.effects);
        harness.lists.clear();
        harness.effects.now = harness.effects.now + EVERY * 2;
        harness.run();
        assert_eq!(harness.lists, [(id("payments"), ListWhich::All)]);
        harness.shard_sync.forget(&id("payments"), &mut harness.effects);
        assert_eq!(harness.effects.next_due(), None);
    }
}
