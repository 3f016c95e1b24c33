//! Tracks which facts several shard lists of a stream agree on, where one list is not enough to act
//! on. Pure: no I/O, no clock.
//!
//! A list may be wrong once: empty, incomplete, older than the previous one, or with cyclic
//! parents. A listed shard may be read at once. A missing shard is believed to be gone only when
//! lists over time agree (docs/protocol/resharding.md).

use super::Shard;
use super::sync::{hole, hole_in, missing, without_cycles};
use crate::clock::Time;
use crate::lease::row::{HashKeyRange, Lease, LeaseKey, StreamKeys};
use crate::record::ShardId;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The number of lists that must omit a finished shard before its lease is deleted, and the least
/// time between the first and the last. If the shard were listed again after the deletion, its new
/// lease would start at its oldest record.
const EXPIRED: Agreement = Agreement { lists: 3, over: Duration::from_secs(3_600) };
/// The same, before a child is read although its parent is neither listed nor known. Then the
/// parent has expired. A parent that one list omits by mistake must not be skipped.
const PARENT_GONE: Agreement = Agreement { lists: 2, over: Duration::from_secs(5) };
/// The same, before a finished shard that is listed as open is reported.
const REOPENED: Agreement = Agreement { lists: 2, over: Duration::from_secs(5) };
/// After this many consecutive lists with cyclic parents, leases are created anyway.
const CYCLIC_LISTS: u32 = 3;

/// How many lists must agree, over which time.
#[derive(Debug)]
struct Agreement {
    lists: u32,
    over: Duration,
}

/// Why a list is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UnusableList {
    /// It contains no shards.
    Empty,
    /// Some of its shards are their own ancestors.
    Cyclic,
}

impl UnusableList {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            UnusableList::Empty => "it is empty",
            UnusableList::Cyclic => "shards in it are their own ancestors",
        }
    }
}

/// What a list requires.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct SyncActions {
    /// Leases to create.
    pub(crate) create: Vec<Lease>,
    /// Those leases in `create` whose shard already has a child with a lease: the shard was read
    /// before, or skipped.
    pub(crate) recreated: Vec<LeaseKey>,
    /// Leases to delete, with their counters.
    pub(crate) delete: Vec<(LeaseKey, u64)>,
    /// A hash key range that no unfinished lease covers. (KCL calls it a hole.)
    pub(crate) hole: Option<HashKeyRange>,
    /// Finished leases without children whose shards are listed as open.
    pub(crate) reopened: Vec<LeaseKey>,
    /// Shards whose parents were ignored because they formed a cycle.
    pub(crate) cyclic: Vec<ShardId>,
    /// True if some decision waits for another list.
    pub(crate) needs_another_list: bool,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct ListHistory {
    /// Finished leases whose shards are not listed.
    absent: BTreeMap<LeaseKey, Seen>,
    /// Listed shards with a parent that is neither listed nor known.
    parentless: BTreeMap<ShardId, Seen>,
    reopened: BTreeMap<LeaseKey, Seen>,
    /// Consecutive lists with cyclic parents.
    cyclic: u32,
}

/// How many consecutive lists showed a fact, and since when.
#[derive(Clone, Copy, Debug)]
struct Seen {
    lists: u32,
    since: Time,
}

impl Seen {
    /// Counts `things` once more, and forgets all others.
    fn count<K: Ord + Clone>(seen: &mut BTreeMap<K, Seen>, things: &BTreeSet<K>, now: Time) {
        seen.retain(|thing, _| things.contains(thing));
        for thing in things {
            seen.entry(thing.clone()).or_insert(Seen { lists: 0, since: now }).lists += 1;
        }
    }

    fn meets(self, agreement: &Agreement, now: Time) -> bool {
        self.lists >= agreement.lists && now.since(self.since) >= agreement.over
    }
}

impl ListHistory {
    /// Returns the shards of a list with cycles removed, and the shards that lost their parents.
    ///
    /// # Errors
    /// If the list must not be used (yet).
    pub(crate) fn check(&mut self, shards: &[Shard]) -> Result<(Vec<Shard>, Vec<ShardId>), UnusableList> {
        if shards.is_empty() {
            return Err(UnusableList::Empty);
        }
        let (shards, cyclic) = without_cycles(shards);
        self.cyclic = if cyclic.is_empty() { 0 } else { self.cyclic + 1 };
        if (1..CYCLIC_LISTS).contains(&self.cyclic) {
            return Err(UnusableList::Cyclic);
        }
        Ok((shards, cyclic))
    }

    /// Returns what a list of all shards requires, given the known leases.
    ///
    /// # Errors
    /// As above.
    pub(crate) fn sync(
        &mut self,
        leases: &[Lease],
        shards: &[Shard],
        stream: &StreamKeys,
        now: Time,
    ) -> Result<SyncActions, UnusableList> {
        let (shards, cyclic) = self.check(shards)?;
        let (create, held_back) = self.confirmed(missing(leases, &shards, stream), leases, &shards, now);
        let after: Vec<Lease> = leases.iter().chain(&create).cloned().collect();
        let parents: BTreeSet<&ShardId> = leases.iter().flat_map(|lease| &lease.parents).collect();
        let recreated = create.iter().filter(|row| parents.contains(&row.shard)).map(|row| row.key.clone()).collect();
        let delete = self.expired(leases, &shards, now);
        let reopened = self.reopened(leases, &shards, now);
        let needs_another_list = held_back || self.reopened.len() > reopened.len();
        Ok(SyncActions { recreated, delete, hole: hole(&after), reopened, cyclic, needs_another_list, create })
    }

    /// Returns the rows whose parents are known, listed, or expired; and true if any row has to
    /// wait.
    fn confirmed(&mut self, rows: Vec<Lease>, leases: &[Lease], shards: &[Shard], now: Time) -> (Vec<Lease>, bool) {
        let known: BTreeSet<&ShardId> =
            leases.iter().map(|lease| &lease.shard).chain(shards.iter().map(|shard| &shard.id)).collect();
        let has_unknown_parent = |row: &&Lease| row.parents.iter().any(|parent| !known.contains(parent));
        let parentless: BTreeSet<ShardId> =
            rows.iter().filter(has_unknown_parent).map(|row| row.shard.clone()).collect();
        Seen::count(&mut self.parentless, &parentless, now);
        let mut held_back: BTreeSet<ShardId> = BTreeSet::new();
        let mut create = Vec::new();
        // `rows` contains parents before their children.
        for row in rows {
            let unconfirmed = self.parentless.get(&row.shard).is_some_and(|seen| !seen.meets(&PARENT_GONE, now));
            if unconfirmed || row.parents.iter().any(|parent| held_back.contains(parent)) {
                held_back.insert(row.shard.clone());
            } else {
                create.push(row);
            }
        }
        (create, !held_back.is_empty())
    }

    /// Returns finished leases whose shards have expired. A list with a hole is ignored, because it
    /// may have omitted any shard.
    fn expired(&mut self, leases: &[Lease], shards: &[Shard], now: Time) -> Vec<(LeaseKey, u64)> {
        let open: Vec<Shard> = shards.iter().filter(|shard| !shard.closed).cloned().collect();
        if hole_in(&open).is_some() {
            return Vec::new();
        }
        let listed: BTreeSet<&ShardId> = shards.iter().map(|shard| &shard.id).collect();
        let finished = || leases.iter().filter(|lease| lease.checkpoint.is_shard_end());
        let absent = finished().filter(|lease| !listed.contains(&lease.shard)).map(|lease| lease.key.clone()).collect();
        Seen::count(&mut self.absent, &absent, now);
        let is_gone = |lease: &&Lease| self.absent.get(&lease.key).is_some_and(|seen| seen.meets(&EXPIRED, now));
        finished().filter(is_gone).map(|lease| (lease.key.clone(), lease.counter)).collect()
    }

    /// Returns finished leases without children whose shards are listed as open: nobody reads such
    /// a shard's new records.
    fn reopened(&mut self, leases: &[Lease], shards: &[Shard], now: Time) -> Vec<LeaseKey> {
        let open: BTreeSet<&ShardId> = shards.iter().filter(|shard| !shard.closed).map(|shard| &shard.id).collect();
        let ended = |lease: &&Lease| lease.checkpoint.is_shard_end() && lease.children.is_empty();
        let seen = leases.iter().filter(ended).filter(|lease| open.contains(&lease.shard));
        Seen::count(&mut self.reopened, &seen.map(|lease| lease.key.clone()).collect(), now);
        self.reopened.iter().filter(|(_, seen)| seen.meets(&REOPENED, now)).map(|(key, _)| key.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Checkpoint, StreamIdentity};
    use crate::shard::sample_shards::{HALF, family, id, shard};

    fn stream() -> StreamKeys {
        let arn = "arn:aws:kinesis:us-east-1:000000000000:stream/s".to_owned();
        StreamKeys::alone(StreamIdentity { arn, created_at: 1 })
    }

    fn lease(shard: &Shard, checkpoint: Checkpoint, children: &[u32]) -> Lease {
        let lease = stream().lease(shard.id.clone(), checkpoint);
        let children = children.iter().copied().map(id).collect();
        Lease { parents: shard.parents.clone(), hash_range: shard.hash_range, children, ..lease }
    }

    fn t(seconds: u64) -> Time {
        Time::from_origin(Duration::from_secs(seconds))
    }

    fn sync(list_history: &mut ListHistory, leases: &[Lease], shards: &[Shard], at: u64) -> SyncActions {
        list_history.sync(leases, shards, &stream(), t(at)).unwrap()
    }

    fn created(sync: &SyncActions) -> Vec<ShardId> {
        sync.create.iter().map(|row| row.shard.clone()).collect()
    }

    #[test]
    fn an_empty_list_is_not_used() {
        let family = family();
        let leases = [lease(&family[0], Checkpoint::ShardEnd, &[1, 2])];
        assert_eq!(ListHistory::default().sync(&leases, &[], &stream(), t(0)), Err(UnusableList::Empty));
    }

    #[test]
    fn a_finished_lease_is_deleted_when_lists_over_an_hour_omit_its_shard() {
        let family = family();
        let leases = [
            lease(&family[0], Checkpoint::ShardEnd, &[1, 2]),
            lease(&family[1], Checkpoint::TrimHorizon, &[]),
            lease(&family[2], Checkpoint::TrimHorizon, &[]),
        ];
        let mut list_history = ListHistory::default();
        let mut deleted = |shards: &[Shard], at| sync(&mut list_history, &leases, shards, at).delete;
        assert_eq!(deleted(&family[1..], 0), []);
        assert_eq!(deleted(&family[1..], 3_599), []);
        assert_eq!(deleted(&family, 3_600), [], "it is listed");
        for at in (3_660..7_260).step_by(60) {
            assert_eq!(deleted(&family[1..], at), []);
        }
        assert_eq!(deleted(&family[1..2], 7_300), [], "a list with a hole is ignored");
        assert_eq!(deleted(&family[1..], 7_320), [(leases[0].key.clone(), 0)]);
    }

    #[test]
    fn a_shard_whose_parent_is_missing_from_a_list_waits_for_another_list() {
        let family = family();
        let grandchild = shard(3, &[1], (0, HALF), false);
        let closed = Shard { closed: true, ..family[1].clone() };
        // The table only contains 0: 1 was split while nobody listed.
        let leases = [lease(&family[0], Checkpoint::ShardEnd, &[1, 2])];
        let mut list_history = ListHistory::default();
        let partial = sync(&mut list_history, &leases, &[family[2].clone(), grandchild.clone()], 0);
        assert_eq!((created(&partial), partial.needs_another_list), (vec![id(2)], true));
        let whole = [closed, family[2].clone(), grandchild.clone()];
        let complete = sync(&mut list_history, &leases, &whole, 10);
        assert_eq!((created(&complete), complete.needs_another_list), (vec![id(1), id(2), id(3)], false));
        // The parent has expired.
        let trimmed = [family[2].clone(), grandchild, shard(4, &[3], (0, 9), false)];
        assert_eq!(created(&sync(&mut list_history, &leases, &trimmed, 20)), [id(2)]);
        assert_eq!(created(&sync(&mut list_history, &leases, &trimmed, 30)), [id(2), id(3), id(4)]);
    }

    #[test]
    fn a_finished_lease_without_children_whose_shard_is_open_is_reported() {
        let family = family();
        let leases = [lease(&family[1], Checkpoint::ShardEnd, &[]), lease(&family[2], Checkpoint::TrimHorizon, &[])];
        let mut list_history = ListHistory::default();
        let first = sync(&mut list_history, &leases, &family[1..], 0);
        assert_eq!((first.reopened.len(), first.needs_another_list, first.hole), (0, true, family[1].hash_range));
        let second = sync(&mut list_history, &leases, &family[1..], 10);
        assert_eq!((second.reopened, second.needs_another_list), (vec![leases[0].key.clone()], false));
        let split = [lease(&family[0], Checkpoint::ShardEnd, &[1, 2])];
        let older = [Shard { closed: false, ..family[0].clone() }];
        for at in [20, 30] {
            assert_eq!(sync(&mut list_history, &split, &older, at).reopened, [], "the list is older than the split");
        }
    }

    #[test]
    fn a_recreated_lease_is_reported() {
        let family = family();
        let leases = [lease(&family[1], Checkpoint::TrimHorizon, &[]), lease(&family[2], Checkpoint::TrimHorizon, &[])];
        let sync = sync(&mut ListHistory::default(), &leases, &family, 0);
        assert_eq!((created(&sync), sync.recreated.len()), (vec![id(0)], 1));
    }

    #[test]
    fn shards_in_a_cycle_wait_for_further_lists_and_then_get_leases() {
        let own = [shard(0, &[0], (0, HALF), false), shard(1, &[], (HALF + 1, u128::MAX), false)];
        let circle = [shard(0, &[1], (0, HALF), false), shard(1, &[0], (HALF + 1, u128::MAX), false)];
        for cyclic in [own, circle] {
            let mut list_history = ListHistory::default();
            for at in [0, 10] {
                assert_eq!(list_history.sync(&[], &cyclic, &stream(), t(at)), Err(UnusableList::Cyclic));
            }
            let sync = sync(&mut list_history, &[], &cyclic, 20);
            assert_eq!((created(&sync), sync.cyclic), (vec![id(0), id(1)], vec![id(0)]));
        }
        let mut list_history = ListHistory::default();
        assert!(list_history.sync(&[], &[shard(0, &[0], (0, u128::MAX), false)], &stream(), t(0)).is_err());
        assert_eq!(created(&sync(&mut list_history, &[], &family(), 10)), [id(0), id(1), id(2)]);
    }
}
