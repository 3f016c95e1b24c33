//! The streams, of several, whose leases this worker keeps in step with their shards, because the plan says so.
//!
//! A table of one stream is kept so by its leader, within its cycle. Of several, some may be unknown to the leader, and
//! one that cannot be listed must not hold up the plan for the others: so the plan says who lists what, and that is done
//! beside everything else. Done twice it is done once: every write of it has its own condition.

use super::backoff::RetryPolicy;
use super::effects::{Answer, CallId, Effects, Op};
use super::known_rows::KnownRows;
use super::leader::sync_pass::{self, SyncPass};
use super::streams::Streams;
use crate::clock::Time;
use crate::record::StreamId;
use crate::shard::ListHistory;
use std::collections::BTreeMap;
use std::time::Duration;

/// A list that failed is asked for again after this, and each time after twice as long; one without which a stream has no
/// leases yet, sooner.
const AGAIN: Duration = Duration::from_secs(10);
const FIRST_AGAIN: Duration = Duration::from_secs(1);
const LONGEST_AGAIN: Duration = Duration::from_secs(20);
const LONGEST_FIRST_AGAIN: Duration = Duration::from_secs(4);

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct ShardSync {
    every: Duration,
    of: BTreeMap<StreamId, Listing>,
    reading: bool,
    known: KnownRows,
}

/// One stream's.
#[derive(Debug)]
struct Listing {
    due: Time,
    sync_pass: Option<SyncPass>,
    list_history: ListHistory,
    /// Lists that failed in a row.
    failures: u32,
    /// Whether rows were created or deleted.
    changed: bool,
    /// It is somebody else's from now on. What is under way comes to its end: a write that is late is known of.
    ends: bool,
}

impl ShardSync {
    pub(crate) fn new(every: Duration) -> Self {
        ShardSync { every, of: BTreeMap::new(), reading: false, known: KnownRows::default() }
    }

    /// The plan, as it is now.
    pub(crate) fn follow(&mut self, lists: &[StreamId], effects: &mut Effects) {
        for (stream, listing) in &mut self.of {
            listing.ends = !lists.contains(stream);
            if listing.ends
                && let Some(sync_pass) = &mut listing.sync_pass
            {
                sync_pass.stop();
            }
        }
        for stream in lists {
            let new = Listing {
                due: effects.now,
                sync_pass: None,
                list_history: ListHistory::default(),
                failures: 0,
                changed: false,
                ends: false,
            };
            self.of.entry(stream.clone()).or_insert(new);
        }
        self.tidy(effects);
    }

    /// The stream is not served any more.
    pub(crate) fn forget(&mut self, stream: &StreamId, effects: &mut Effects) {
        if let Some(listing) = self.of.get_mut(stream) {
            listing.ends = true;
            if let Some(sync_pass) = &mut listing.sync_pass {
                sync_pass.stop();
            }
        }
        self.tidy(effects);
    }

    /// Whether nothing is under way that has an effect. A list has none: nobody waits for it.
    pub(crate) fn is_idle(&self) -> bool {
        !self.reading && !self.of.values().any(|listing| listing.sync_pass.as_ref().is_some_and(SyncPass::is_writing))
    }

    fn tidy(&mut self, effects: &mut Effects) {
        self.of.retain(|_, listing| !listing.ends || listing.sync_pass.is_some());
        self.rest(effects);
    }

    /// Lists nothing more.
    pub(crate) fn clear(&mut self) {
        self.of.clear();
        self.reading = false;
    }

    fn rest(&self, effects: &mut Effects) {
        if self.reading {
            return;
        }
        match self.of.values().filter(|listing| listing.sync_pass.is_none()).map(|listing| listing.due).min() {
            Some(due) => effects.remind(CallId::ShardSync, due),
            None => effects.forget(&CallId::ShardSync),
        }
    }

    /// Lists what is due. `known`: what a leader has read, who needs not read the table for it.
    pub(crate) fn on_timer(&mut self, known: Option<KnownRows>, streams: &Streams, effects: &mut Effects) {
        if self.reading || !self.of.values().any(|listing| listing.is_due(effects.now)) {
            return self.rest(effects);
        }
        match known {
            Some(known) => self.begin(known, streams, effects),
            None => {
                self.reading = true;
                effects.call(CallId::ShardSync, Op::Scan);
            }
        }
    }

    pub(crate) fn on_table(&mut self, answer: Answer, streams: &Streams, effects: &mut Effects) {
        self.reading = false;
        match answer {
            Answer::Table(table) => self.begin(KnownRows::of(table), streams, effects),
            Answer::Written(_) | Answer::Rows(_) | Answer::Page(_) | Answer::Listing(_) | Answer::Failed(_) => {
                effects.repeat_by(RetryPolicy::from(FIRST_AGAIN), CallId::ShardSync);
            }
        }
    }

    fn begin(&mut self, known: KnownRows, streams: &Streams, effects: &mut Effects) {
        self.known = known;
        // With what is due soon, so that streams are listed together and the table is read once.
        let soon = effects.now + self.every / 8;
        for (id, listing) in self.of.iter_mut().filter(|(_, listing)| listing.is_due(soon)) {
            listing.due = effects.now + effects.jittered(self.every);
            // One that is not served any more is told to another by the next plan.
            let Some(served) = streams.get(Some(id)) else { continue };
            let row = self.known.streams.get(id);
            let has_leases = self.known.has_leases_of(id);
            listing.changed = false;
            listing.sync_pass = Some(SyncPass::of_several(served.keys.clone(), served.start, row, has_leases, effects));
        }
        self.rest(effects);
    }

    /// Sends what a stream's pass has to send again.
    pub(crate) fn on_fill_timer(&mut self, stream: &StreamId, effects: &mut Effects) {
        if let Some(sync_pass) = self.of.get_mut(stream).and_then(|listing| listing.sync_pass.as_mut()) {
            sync_pass.on_timer(effects);
        }
    }

    /// An answer to a stream's list, or to a row of it. Tells whether the leader should read the table.
    pub(crate) fn on_answer(
        &mut self,
        stream: &StreamId,
        part: &CallId,
        answer: Answer,
        effects: &mut Effects,
    ) -> bool {
        let Some(listing) = self.of.get_mut(stream) else { return false };
        let Some(sync_pass) = &mut listing.sync_pass else { return false };
        let news = sync_pass.on_answer(part, answer, &self.known.leases, &mut listing.list_history, effects);
        let done = match news {
            sync_pass::SyncEvent::Going | sync_pass::SyncEvent::Fleet(_) => None,
            sync_pass::SyncEvent::Lease { key, lease, done } => {
                listing.changed = true;
                match lease {
                    Some(lease) => self.known.leases.insert(key, *lease),
                    None => self.known.leases.remove(&key),
                };
                done
            }
            sync_pass::SyncEvent::Done(done) => Some(done),
            sync_pass::SyncEvent::Failed => {
                let (again, longest) =
                    if sync_pass.is_first() { (FIRST_AGAIN, LONGEST_FIRST_AGAIN) } else { (AGAIN, LONGEST_AGAIN) };
                let again = again.saturating_mul(1 << listing.failures.min(8)).min(longest);
                listing.failures = listing.failures.saturating_add(1);
                listing.due = effects.now + effects.jittered(again);
                listing.sync_pass = None;
                let changed = listing.changed;
                self.tidy(effects);
                return changed;
            }
        };
        let Some(done) = done else { return false };
        listing.failures = 0;
        if done == sync_pass::Done::Unsettled {
            listing.due = listing.due.min(effects.now + effects.jittered(AGAIN));
        }
        listing.sync_pass = None;
        let changed = listing.changed;
        self.tidy(effects);
        changed
    }
}

impl Listing {
    fn is_due(&self, now: Time) -> bool {
        self.sync_pass.is_none() && self.due <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Start;
    use crate::coordination::effects::{Failure, Refusal};
    use crate::coordination::streams::Served;
    use crate::lease::row::{FleetStart, HashKeyRange, Lease, RowKey, StreamKeys, StreamRow};
    use crate::lease::{MemoryStore, Row};
    use crate::record::{Checkpoint, ShardId, StreamIdentity};
    use crate::shard::{ListWhich, Listing as Shards, Shard};

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

    /// A worker that lists, a table, and streams of one shard that are there or not.
    struct Stage {
        shard_sync: ShardSync,
        streams: Streams,
        store: MemoryStore,
        effects: Effects,
        there: Vec<StreamId>,
        asked: Vec<(StreamId, ListWhich)>,
        scans: usize,
        woken: usize,
    }

    fn stream_of(part: &CallId) -> Option<StreamId> {
        if let CallId::Stream(id) = part {
            return Some(id.clone());
        }
        if let CallId::Listed(lease) = part { lease.stream() } else { None }
    }

    impl Stage {
        fn new(start: Start) -> Self {
            Stage {
                shard_sync: ShardSync::new(EVERY),
                streams: streams(start),
                store: MemoryStore::default(),
                effects: Effects::new(fastrand::Rng::with_seed(1)),
                there: vec![id("instructions"), id("payments")],
                asked: Vec::new(),
                scans: 0,
                woken: 0,
            }
        }

        /// Obeys until nothing is asked.
        fn run(&mut self) {
            loop {
                while let Some(part) = self.effects.take_due() {
                    assert_eq!(part, CallId::ShardSync);
                    self.shard_sync.on_timer(None, &self.streams, &mut self.effects);
                }
                let calls = self.effects.take_calls();
                if calls.is_empty() {
                    return;
                }
                for call in calls {
                    let answer = self.answer(call.op);
                    let Some(stream) = stream_of(&call.part) else {
                        assert_eq!(call.part, CallId::ShardSync);
                        self.shard_sync.on_table(answer, &self.streams, &mut self.effects);
                        continue;
                    };
                    let changed = self.shard_sync.on_answer(&stream, &call.part, answer, &mut self.effects);
                    self.woken += usize::from(changed);
                }
            }
        }

        fn answer(&mut self, op: Op) -> Answer {
            match op {
                Op::Scan => {
                    self.scans += 1;
                    Answer::Table(self.store.table())
                }
                Op::Write(write) => Answer::Written(self.store.apply(&write)),
                Op::List(stream, which) => {
                    let stream = stream.unwrap();
                    self.asked.push((stream.clone(), which));
                    if !self.there.contains(&stream) {
                        let message = "no such stream".to_owned();
                        return Answer::Failed(Failure::Refused(Refusal { code: None, message, missing: true }));
                    }
                    let hash_range = Some(HashKeyRange { start: 0, end: u128::MAX });
                    let id = ShardId::from("shardId-000000000000");
                    let (parents, starting_sequence_number, closed) = (Vec::new(), None, false);
                    let shards = vec![Shard { id, parents, hash_range, starting_sequence_number, closed }];
                    Answer::Listing(Shards { shards, answered_at_ms: Some(10_000) })
                }
                Op::Read(..) | Op::ReadSome(..) | Op::Page { .. } => unreachable!(),
            }
        }

        fn row(&self, name: &str) -> Option<StreamRow> {
            self.store.get(&RowKey::Stream(id(name))).and_then(|row| row.as_stream().cloned())
        }

        fn leases(&self) -> Vec<Lease> {
            self.store.table().leases
        }
    }

    #[test]
    fn each_stream_is_filled_once_from_its_own_pinned_instant_and_the_leader_is_woken() {
        let mut stage = Stage::new(Start::Latest);
        stage.shard_sync.follow(&[id("instructions"), id("payments")], &mut stage.effects);
        stage.run();
        let start = FleetStart { checkpoint: Checkpoint::Latest, at_ms: Some(8_000) };
        for name in ["instructions", "payments"] {
            assert_eq!(stage.row(name), Some(StreamRow { id: id(name), start: start.clone(), filled: true }));
        }
        assert!(stage.leases().iter().all(|lease| lease.start_ms == Some(8_000)));
        assert_eq!((stage.leases().len(), stage.scans, stage.woken), (2, 1, 2));
        stage.asked.clear();
        stage.effects.now = stage.effects.now + EVERY * 2;
        stage.run();
        assert_eq!(stage.asked, [(id("instructions"), ListWhich::All), (id("payments"), ListWhich::All)]);
        assert_eq!((stage.leases().len(), stage.scans, stage.woken), (2, 2, 2), "nothing new");
    }

    #[test]
    fn one_that_cannot_be_listed_does_not_hold_up_the_others() {
        let mut stage = Stage::new(Start::TrimHorizon);
        stage.there = vec![id("payments")];
        stage.shard_sync.follow(&[id("instructions"), id("payments")], &mut stage.effects);
        stage.run();
        assert_eq!(stage.leases().len(), 1);
        stage.there = vec![id("instructions"), id("payments")];
        stage.effects.now = stage.effects.now + FIRST_AGAIN * 2;
        stage.run();
        assert_eq!(stage.leases().len(), 2, "one without any leases is asked for again soon");
    }

    #[test]
    fn a_fill_that_another_worker_began_goes_on_with_its_instant() {
        let mut stage = Stage::new(Start::Latest);
        let start = FleetStart { checkpoint: Checkpoint::Latest, at_ms: Some(777) };
        stage.store.put(Row::Stream(StreamRow { id: id("instructions"), start, filled: false }));
        stage.shard_sync.follow(&[id("instructions")], &mut stage.effects);
        stage.run();
        assert_eq!(stage.leases()[0].start_ms, Some(777));
        assert_eq!(stage.asked, [(id("instructions"), ListWhich::AtTimestamp(777))]);
    }

    #[test]
    fn leases_without_a_row_of_their_stream_are_those_of_a_fleet_that_ended() {
        let mut stage = Stage::new(Start::Latest);
        let keys = StreamKeys { identity: identity("instructions"), id: Some(id("instructions")), until_ms: None };
        let lease = keys.lease(ShardId::from("shardId-000000000007"), Checkpoint::TrimHorizon);
        stage.store.put(Row::Lease(lease));
        stage.shard_sync.follow(&[id("instructions")], &mut stage.effects);
        stage.run();
        assert_eq!(stage.asked, [(id("instructions"), ListWhich::All)], "nothing is pinned at an instant of today");
        let new = stage.leases().into_iter().find(|lease| lease.shard.as_str() == "shardId-000000000000").unwrap();
        assert_eq!((new.checkpoint, new.start_ms), (Checkpoint::TrimHorizon, None));
        assert!(stage.row("instructions").unwrap().filled);
    }

    #[test]
    fn a_shard_of_the_same_name_in_another_stream_is_another_shard() {
        let mut stage = Stage::new(Start::TrimHorizon);
        let start = FleetStart { checkpoint: Checkpoint::TrimHorizon, at_ms: None };
        stage.store.put(Row::Stream(StreamRow { id: id("payments"), start, filled: true }));
        stage.shard_sync.follow(&[id("instructions")], &mut stage.effects);
        stage.run();
        stage.shard_sync.follow(&[id("instructions"), id("payments")], &mut stage.effects);
        stage.run();
        let keys: Vec<String> = stage.leases().iter().map(|lease| lease.key.to_string()).collect();
        let of = |stream: &str| format!("000000000000:{stream}:1:shardId-000000000000");
        assert_eq!(keys, [of("instructions"), of("payments")]);
    }

    #[test]
    fn what_is_under_way_comes_to_its_end_and_is_known_of_until_then() {
        let mut stage = Stage::new(Start::TrimHorizon);
        stage.shard_sync.follow(&[id("instructions")], &mut stage.effects);
        assert_eq!(stage.effects.take_due(), Some(CallId::ShardSync));
        stage.shard_sync.on_timer(None, &stage.streams, &mut stage.effects);
        assert!(!stage.shard_sync.is_idle(), "the table is being read");
        let call = stage.effects.take_calls().pop().unwrap();
        let answer = stage.answer(call.op);
        stage.shard_sync.on_table(answer, &stage.streams, &mut stage.effects);
        stage.shard_sync.follow(&[], &mut stage.effects);
        assert!(!stage.shard_sync.is_idle(), "its row may be written any time");
        stage.run();
        assert!(stage.shard_sync.is_idle() && stage.shard_sync.of.is_empty());
        assert!(!stage.row("instructions").unwrap().filled, "whoever lists it next goes on from there");
        assert_eq!((stage.leases().len(), stage.effects.next_due()), (0, None));
    }

    #[test]
    fn what_the_plan_does_not_name_any_more_is_not_listed() {
        let mut stage = Stage::new(Start::TrimHorizon);
        stage.shard_sync.follow(&[id("instructions"), id("payments")], &mut stage.effects);
        stage.run();
        stage.shard_sync.follow(&[id("payments")], &mut stage.effects);
        stage.asked.clear();
        stage.effects.now = stage.effects.now + EVERY * 2;
        stage.run();
        assert_eq!(stage.asked, [(id("payments"), ListWhich::All)]);
        stage.shard_sync.forget(&id("payments"), &mut stage.effects);
        assert_eq!(stage.effects.next_due(), None);
    }
}
