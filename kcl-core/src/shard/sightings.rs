//! What several lists of a stream's shards agree on, where one list is not enough to act on. Pure.
//!
//! A list may be wrong once: empty, incomplete, older than the last one, or with parents that make no sense. What it shows may
//! be read; what it does not show is believed only when lists of different times agree.

use super::Shard;
use super::sync::{hole, hole_in, missing, untangled};
use crate::clock::Time;
use crate::lease::row::{HashKeyRange, Lease, LeaseKey, StreamKeys};
use crate::record::ShardId;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Lists that must leave a finished shard out before its lease is deleted, and the least time from the first to the last. The
/// lease of a shard that is listed again would begin with the shard's oldest record.
const FORGOTTEN: Agreement = Agreement { lists: 3, apart: Duration::from_secs(3_600) };
/// The same, before a child is read although its parent is neither listed nor known: the parent is past its retention. One
/// that is only left out of a list once would be skipped.
const PARENT_GONE: Agreement = Agreement { lists: 2, apart: Duration::from_secs(5) };
/// The same, before a finished shard that is listed as open is reported.
const OPEN_AGAIN: Agreement = Agreement { lists: 2, apart: Duration::from_secs(5) };
/// So many lists in a row whose parents make no sense: then leases are created all the same.
const TANGLED_LISTS: u32 = 3;

/// How many lists must say a thing, over how long.
#[derive(Debug)]
struct Agreement {
    lists: u32,
    apart: Duration,
}

/// Why a list is not acted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unusable {
    /// It shows no shards.
    Empty,
    /// Shards in it are their own ancestors.
    Tangled,
}

impl Unusable {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Unusable::Empty => "it is empty",
            Unusable::Tangled => "shards in it are their own ancestors",
        }
    }
}

/// What a list calls for.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Sync {
    /// Leases to create.
    pub(crate) create: Vec<Lease>,
    /// Those of them whose shard was read before, or skipped: a child of it has a lease.
    pub(crate) made_again: Vec<LeaseKey>,
    /// Leases to delete, with their counters.
    pub(crate) delete: Vec<(LeaseKey, u64)>,
    /// Hash keys that no unfinished lease acquires.
    pub(crate) hole: Option<HashKeyRange>,
    /// Finished leases, without children, of shards that are listed as open.
    pub(crate) open_again: Vec<LeaseKey>,
    /// Shards whose parents were left out because they make no sense.
    pub(crate) tangled: Vec<ShardId>,
    /// Another list is needed soon.
    pub(crate) is_unsettled: bool,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Sightings {
    /// Shards of finished leases, which are not listed.
    absent: BTreeMap<LeaseKey, Seen>,
    /// Listed shards with a parent that is neither listed nor known.
    parentless: BTreeMap<ShardId, Seen>,
    open_again: BTreeMap<LeaseKey, Seen>,
    /// Lists in a row.
    tangled: u32,
}

/// In how many lists in a row.
#[derive(Clone, Copy, Debug)]
struct Seen {
    lists: u32,
    since: Time,
}

impl Seen {
    /// The same things, seen once more; the others are forgotten.
    fn again<K: Ord + Clone>(seen: &mut BTreeMap<K, Seen>, things: &BTreeSet<K>, now: Time) {
        seen.retain(|thing, _| things.contains(thing));
        for thing in things {
            seen.entry(thing.clone()).or_insert(Seen { lists: 0, since: now }).lists += 1;
        }
    }

    fn is(self, agreement: &Agreement, now: Time) -> bool {
        self.lists >= agreement.lists && now.since(self.since) >= agreement.apart
    }
}

impl Sightings {
    /// The shards of a list, with parents that make sense.
    ///
    /// # Errors
    /// The list is not to be acted on, yet.
    pub(crate) fn usable(&mut self, shards: &[Shard]) -> Result<(Vec<Shard>, Vec<ShardId>), Unusable> {
        if shards.is_empty() {
            return Err(Unusable::Empty);
        }
        let (shards, tangled) = untangled(shards);
        self.tangled = if tangled.is_empty() { 0 } else { self.tangled + 1 };
        if (1..TANGLED_LISTS).contains(&self.tangled) {
            return Err(Unusable::Tangled);
        }
        Ok((shards, tangled))
    }

    /// What a list of all shards, and the table as it is known, call for.
    ///
    /// # Errors
    /// As above.
    pub(crate) fn sync(
        &mut self,
        leases: &[Lease],
        shards: &[Shard],
        stream: &StreamKeys,
        now: Time,
    ) -> Result<Sync, Unusable> {
        let (shards, tangled) = self.usable(shards)?;
        let (create, held_back) = self.confirmed(missing(leases, &shards, stream), leases, &shards, now);
        let after: Vec<Lease> = leases.iter().chain(&create).cloned().collect();
        let parents: BTreeSet<&ShardId> = leases.iter().flat_map(|lease| &lease.parents).collect();
        let made_again = create.iter().filter(|row| parents.contains(&row.shard)).map(|row| row.key.clone()).collect();
        let delete = self.forgotten(leases, &shards, now);
        let open_again = self.open_again(leases, &shards, now);
        let is_unsettled = held_back || self.open_again.len() > open_again.len();
        Ok(Sync { made_again, delete, hole: hole(&after), open_again, tangled, is_unsettled, create })
    }

    /// The rows whose parents are known, listed, or gone for good; and whether any is held back.
    fn confirmed(&mut self, rows: Vec<Lease>, leases: &[Lease], shards: &[Shard], now: Time) -> (Vec<Lease>, bool) {
        let known: BTreeSet<&ShardId> =
            leases.iter().map(|lease| &lease.shard).chain(shards.iter().map(|shard| &shard.id)).collect();
        let is_alone = |row: &&Lease| row.parents.iter().any(|parent| !known.contains(parent));
        let alone: BTreeSet<ShardId> = rows.iter().filter(is_alone).map(|row| row.shard.clone()).collect();
        Seen::again(&mut self.parentless, &alone, now);
        let mut held_back: BTreeSet<ShardId> = BTreeSet::new();
        let mut create = Vec::new();
        // Parents come first.
        for row in rows {
            let unconfirmed = self.parentless.get(&row.shard).is_some_and(|seen| !seen.is(&PARENT_GONE, now));
            if unconfirmed || row.parents.iter().any(|parent| held_back.contains(parent)) {
                held_back.insert(row.shard.clone());
            } else {
                create.push(row);
            }
        }
        (create, !held_back.is_empty())
    }

    /// Finished leases whose shards are gone. A list with a hole may have left out any.
    fn forgotten(&mut self, leases: &[Lease], shards: &[Shard], now: Time) -> Vec<(LeaseKey, u64)> {
        let open: Vec<Shard> = shards.iter().filter(|shard| !shard.closed).cloned().collect();
        if hole_in(&open).is_some() {
            return Vec::new();
        }
        let listed: BTreeSet<&ShardId> = shards.iter().map(|shard| &shard.id).collect();
        let finished = || leases.iter().filter(|lease| lease.checkpoint.is_shard_end());
        let absent = finished().filter(|lease| !listed.contains(&lease.shard)).map(|lease| lease.key.clone()).collect();
        Seen::again(&mut self.absent, &absent, now);
        let is_gone = |lease: &&Lease| self.absent.get(&lease.key).is_some_and(|seen| seen.is(&FORGOTTEN, now));
        finished().filter(is_gone).map(|lease| (lease.key.clone(), lease.counter)).collect()
    }

    /// Finished leases, without children, whose shards are listed as open: their new records are read by nobody.
    fn open_again(&mut self, leases: &[Lease], shards: &[Shard], now: Time) -> Vec<LeaseKey> {
        let open: BTreeSet<&ShardId> = shards.iter().filter(|shard| !shard.closed).map(|shard| &shard.id).collect();
        let ended = |lease: &&Lease| lease.checkpoint.is_shard_end() && lease.children.is_empty();
        let seen = leases.iter().filter(ended).filter(|lease| open.contains(&lease.shard));
        Seen::again(&mut self.open_again, &seen.map(|lease| lease.key.clone()).collect(), now);
        self.open_again.iter().filter(|(_, seen)| seen.is(&OPEN_AGAIN, now)).map(|(key, _)| key.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Checkpoint, StreamIdentity};

    fn id(n: u32) -> ShardId {
        ShardId::new(format!("shardId-{n:012}"))
    }

    const HALF: u128 = u128::MAX / 2;

    fn shard(n: u32, parents: &[u32], (start, end): (u128, u128), closed: bool) -> Shard {
        let (parents, hash_range) = (parents.iter().copied().map(id).collect(), Some(HashKeyRange { start, end }));
        Shard { id: id(n), parents, hash_range, starting_sequence_number: None, closed }
    }

    /// 0 was split into 1 and 2.
    fn family() -> [Shard; 3] {
        [
            shard(0, &[], (0, u128::MAX), true),
            shard(1, &[0], (0, HALF), false),
            shard(2, &[0], (HALF + 1, u128::MAX), false),
        ]
    }

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

    fn look(sightings: &mut Sightings, leases: &[Lease], shards: &[Shard], at: u64) -> Sync {
        sightings.sync(leases, shards, &stream(), t(at)).unwrap()
    }

    fn created(sync: &Sync) -> Vec<ShardId> {
        sync.create.iter().map(|row| row.shard.clone()).collect()
    }

    #[test]
    fn an_empty_list_is_no_answer() {
        let family = family();
        let leases = [lease(&family[0], Checkpoint::ShardEnd, &[1, 2])];
        assert_eq!(Sightings::default().sync(&leases, &[], &stream(), t(0)), Err(Unusable::Empty));
    }

    #[test]
    fn a_finished_lease_is_deleted_when_lists_over_an_hour_leave_its_shard_out() {
        let family = family();
        let leases = [
            lease(&family[0], Checkpoint::ShardEnd, &[1, 2]),
            lease(&family[1], Checkpoint::TrimHorizon, &[]),
            lease(&family[2], Checkpoint::TrimHorizon, &[]),
        ];
        let mut sightings = Sightings::default();
        let mut deleted = |shards: &[Shard], at| look(&mut sightings, &leases, shards, at).delete;
        assert_eq!(deleted(&family[1..], 0), []);
        assert_eq!(deleted(&family[1..], 3_599), []);
        assert_eq!(deleted(&family, 3_600), [], "it is listed");
        for at in (3_660..7_260).step_by(60) {
            assert_eq!(deleted(&family[1..], at), []);
        }
        assert_eq!(deleted(&family[1..2], 7_300), [], "a list with a hole says nothing");
        assert_eq!(deleted(&family[1..], 7_320), [(leases[0].key.clone(), 0)]);
    }

    #[test]
    fn a_shard_whose_parent_a_list_leaves_out_waits_for_another_list() {
        let family = family();
        let grandchild = shard(3, &[1], (0, HALF), false);
        let closed = Shard { closed: true, ..family[1].clone() };
        // The table knows of 0 only: 1 was split while nobody listed.
        let leases = [lease(&family[0], Checkpoint::ShardEnd, &[1, 2])];
        let mut sightings = Sightings::default();
        let partial = look(&mut sightings, &leases, &[family[2].clone(), grandchild.clone()], 0);
        assert_eq!((created(&partial), partial.is_unsettled), (vec![id(2)], true));
        let whole = [closed, family[2].clone(), grandchild.clone()];
        let sync = look(&mut sightings, &leases, &whole, 10);
        assert_eq!((created(&sync), sync.is_unsettled), (vec![id(1), id(2), id(3)], false));
        // Its parent is gone for good.
        let trimmed = [family[2].clone(), grandchild, shard(4, &[3], (0, 9), false)];
        assert_eq!(created(&look(&mut sightings, &leases, &trimmed, 20)), [id(2)]);
        assert_eq!(created(&look(&mut sightings, &leases, &trimmed, 30)), [id(2), id(3), id(4)]);
    }

    #[test]
    fn a_finished_lease_without_children_whose_shard_is_open_is_reported() {
        let family = family();
        let leases = [lease(&family[1], Checkpoint::ShardEnd, &[]), lease(&family[2], Checkpoint::TrimHorizon, &[])];
        let mut sightings = Sightings::default();
        let first = look(&mut sightings, &leases, &family[1..], 0);
        assert_eq!((first.open_again.len(), first.is_unsettled, first.hole), (0, true, family[1].hash_range));
        let second = look(&mut sightings, &leases, &family[1..], 10);
        assert_eq!((second.open_again, second.is_unsettled), (vec![leases[0].key.clone()], false));
        let split = [lease(&family[0], Checkpoint::ShardEnd, &[1, 2])];
        let older = [Shard { closed: false, ..family[0].clone() }];
        for at in [20, 30] {
            assert_eq!(look(&mut sightings, &split, &older, at).open_again, [], "the list is older than the split");
        }
    }

    #[test]
    fn a_lease_that_is_made_again_is_named() {
        let family = family();
        let leases = [lease(&family[1], Checkpoint::TrimHorizon, &[]), lease(&family[2], Checkpoint::TrimHorizon, &[])];
        let sync = look(&mut Sightings::default(), &leases, &family, 0);
        assert_eq!((created(&sync), sync.made_again.len()), (vec![id(0)], 1));
    }

    #[test]
    fn shards_that_are_their_own_ancestors_wait_for_a_better_list_and_get_leases_in_the_end() {
        let own = [shard(0, &[0], (0, HALF), false), shard(1, &[], (HALF + 1, u128::MAX), false)];
        let circle = [shard(0, &[1], (0, HALF), false), shard(1, &[0], (HALF + 1, u128::MAX), false)];
        for tangled in [own, circle] {
            let mut sightings = Sightings::default();
            for at in [0, 10] {
                assert_eq!(sightings.sync(&[], &tangled, &stream(), t(at)), Err(Unusable::Tangled));
            }
            let sync = look(&mut sightings, &[], &tangled, 20);
            assert_eq!((created(&sync), sync.tangled), (vec![id(0), id(1)], vec![id(0)]));
        }
        let mut sightings = Sightings::default();
        assert!(sightings.sync(&[], &[shard(0, &[0], (0, u128::MAX), false)], &stream(), t(0)).is_err());
        assert_eq!(created(&look(&mut sightings, &[], &family(), 10)), [id(0), id(1), id(2)]);
    }
}
