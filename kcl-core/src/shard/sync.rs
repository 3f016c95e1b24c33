//! Computes which leases a stream's shards require. Pure: lists in, rows out.

use super::Shard;
use crate::lease::row::{FleetStart, HashKeyRange, Lease, StreamKeys};
use crate::record::{Checkpoint, ShardId};
use std::collections::{BTreeMap, BTreeSet};

/// Returns the row of a shard's first lease.
fn row(shard: &Shard, checkpoint: Checkpoint, start_ms: Option<i64>, stream: &StreamKeys) -> Lease {
    let (parents, hash_range) = (shard.parents.clone(), shard.hash_range);
    Lease { parents, hash_range, start_ms, ..stream.lease(shard.id.clone(), checkpoint) }
}

/// Returns the first lease of a shard that replaced another one. It starts at the shard's oldest
/// record.
pub(crate) fn child_lease(child: &Shard, parent: &Lease) -> Lease {
    let lease = Lease::unowned(child.id.clone(), Checkpoint::TrimHorizon);
    Lease {
        key: parent.sibling(&child.id),
        parents: child.parents.clone(),
        hash_range: child.hash_range,
        stream: parent.stream.clone(),
        stream_name: parent.stream_name.clone(),
        until_ms: parent.until_ms,
        ..lease
    }
}

/// Returns the first leases of an application, one for each shard that was open at its start.
pub(crate) fn first_fill(shards: &[Shard], start: &FleetStart, stream: &StreamKeys) -> Vec<Lease> {
    let start_ms = if start.checkpoint == Checkpoint::TrimHorizon { None } else { start.at_ms };
    in_order_of_creation(shards).map(|shard| row(shard, start.checkpoint.clone(), start_ms, stream)).collect()
}

/// Returns the leases that are missing in a table whose first leases are all created: one at
/// TRIM_HORIZON for each listed shard without a lease, parents first. A shard is skipped if any
/// descendant has a lease that has advanced (its checkpoint is not TRIM_HORIZON): the shard is
/// finished, or lies before the application's start.
pub(crate) fn missing(leases: &[Lease], shards: &[Shard], stream: &StreamKeys) -> Vec<Lease> {
    let known: BTreeSet<&ShardId> = leases.iter().map(|lease| &lease.shard).collect();
    let passed = passed(leases, shards);
    in_order_of_creation(shards)
        .filter(|shard| !known.contains(&shard.id) && !passed.contains(&shard.id))
        .map(|shard| row(shard, Checkpoint::TrimHorizon, None, stream))
        .collect()
}

/// Returns the missing leases of a replay: of shards that a finished parent names, and of shards
/// without a listed or known parent. Other shards get their lease when their parents end. A parent
/// that ended at the end of the range, and not at the shard's end, names no children: they began
/// after the range.
pub(crate) fn missing_of_range(leases: &[Lease], shards: &[Shard], stream: &StreamKeys) -> Vec<Lease> {
    let listed: BTreeSet<&ShardId> = shards.iter().map(|shard| &shard.id).collect();
    let known: BTreeSet<&ShardId> = leases.iter().map(|lease| &lease.shard).collect();
    let named: BTreeSet<&ShardId> = leases.iter().flat_map(|lease| &lease.children).collect();
    let mut rows = missing(leases, shards, stream);
    let leads = |parent: &ShardId| listed.contains(parent) || known.contains(parent);
    rows.retain(|row| named.contains(&row.shard) || !row.parents.iter().any(leads));
    rows
}

/// True if a replay is complete: every lease has ended, and so has the lease of every child.
pub(crate) fn is_replayed(leases: &[Lease]) -> bool {
    let known: BTreeSet<&ShardId> = leases.iter().map(|lease| &lease.shard).collect();
    let is_done =
        |lease: &Lease| lease.checkpoint.is_shard_end() && lease.children.iter().all(|child| known.contains(child));
    !leases.is_empty() && leases.iter().all(is_done)
}

/// Returns the ancestors of every lease that has advanced.
fn passed(leases: &[Lease], shards: &[Shard]) -> BTreeSet<ShardId> {
    let parents: BTreeMap<&ShardId, &[ShardId]> = shards.iter().map(|s| (&s.id, s.parents.as_slice())).collect();
    let mut passed = BTreeSet::new();
    let mut open: Vec<ShardId> = leases
        .iter()
        .filter(|lease| lease.checkpoint != Checkpoint::TrimHorizon)
        .flat_map(|lease| lease.parents.iter().chain(parents.get(&lease.shard).copied().unwrap_or_default()))
        .cloned()
        .collect();
    while let Some(shard) = open.pop() {
        let above = parents.get(&shard).copied().unwrap_or_default();
        if passed.insert(shard) {
            open.extend_from_slice(above);
        }
    }
    passed
}

/// Returns the shards with cycles removed, and those whose parents were dropped for that. A shard
/// is younger than its parents, so the shard with the lowest id of a cycle loses its parents.
pub(super) fn without_cycles(shards: &[Shard]) -> (Vec<Shard>, Vec<ShardId>) {
    let mut left: BTreeMap<&ShardId, &Shard> = shards.iter().map(|shard| (&shard.id, shard)).collect();
    let mut children: BTreeMap<&ShardId, Vec<&ShardId>> = BTreeMap::new();
    for shard in shards {
        for parent in shard.parents.iter().filter(|parent| left.contains_key(parent)) {
            children.entry(parent).or_default().push(&shard.id);
        }
    }
    let waits = |shard: &Shard| shard.parents.iter().filter(|parent| left.contains_key(parent)).count();
    let mut waiting: BTreeMap<&ShardId, usize> = shards.iter().map(|shard| (&shard.id, waits(shard))).collect();
    let mut free: Vec<&ShardId> = waiting.iter().filter(|(_, parents)| **parents == 0).map(|(id, _)| *id).collect();
    let mut cyclic = Vec::new();
    loop {
        while let Some(id) = free.pop() {
            left.remove(id);
            for child in children.remove(id).unwrap_or_default() {
                let parents = waiting.entry(child).or_default();
                *parents = parents.saturating_sub(1);
                if *parents == 0 && left.contains_key(child) {
                    free.push(child);
                }
            }
        }
        let Some((id, _)) = left.first_key_value() else { break };
        cyclic.push((*id).clone());
        free.push(id);
    }
    let cut: BTreeSet<&ShardId> = cyclic.iter().collect();
    let shard = |shard: &Shard| match cut.contains(&shard.id) {
        true => Shard { parents: Vec::new(), ..shard.clone() },
        false => shard.clone(),
    };
    (shards.iter().map(shard).collect(), cyclic)
}

/// Returns the first hash key range that no unfinished lease covers (KCL: a hole). An unfinished
/// parent covers its children's keys. A lease with an unknown range may cover any key.
pub(crate) fn hole(leases: &[Lease]) -> Option<HashKeyRange> {
    let unfinished = leases.iter().filter(|lease| !lease.checkpoint.is_shard_end());
    hole_between(unfinished.map(|lease| lease.hash_range))
}

/// Returns the first hash key range that these shards do not cover. A shard with an unknown range
/// may cover any key.
pub(crate) fn hole_in(shards: &[Shard]) -> Option<HashKeyRange> {
    hole_between(shards.iter().map(|shard| shard.hash_range))
}

fn hole_between(ranges: impl Iterator<Item = Option<HashKeyRange>>) -> Option<HashKeyRange> {
    let ranges: Option<Vec<HashKeyRange>> = ranges.collect();
    let mut ranges = ranges?;
    ranges.sort_unstable();
    let mut next: u128 = 0;
    for range in ranges {
        if range.start > next {
            return Some(HashKeyRange { start: next, end: range.start - 1 });
        }
        match range.end.checked_add(1) {
            Some(after) => next = next.max(after),
            None => return None,
        }
    }
    Some(HashKeyRange { start: next, end: u128::MAX })
}

/// Sorts parents before children: Kinesis numbers shards in order of creation.
fn in_order_of_creation(shards: &[Shard]) -> impl Iterator<Item = &Shard> {
    let mut shards: Vec<&Shard> = shards.iter().collect();
    shards.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    shards.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id(n: u32) -> ShardId {
        ShardId::new(format!("shardId-{n:012}"))
    }

    fn shard(n: u32, parents: &[u32], start: u128, end: u128) -> Shard {
        let parents = parents.iter().copied().map(id).collect();
        let hash_range = Some(HashKeyRange { start, end });
        Shard { id: id(n), parents, hash_range, starting_sequence_number: None, closed: false }
    }

    fn lease(shard: &Shard, checkpoint: Checkpoint) -> Lease {
        row(shard, checkpoint, None, &stream())
    }

    fn stream() -> StreamKeys {
        let arn = "arn:aws:kinesis:us-east-1:000000000000:stream/s".to_owned();
        StreamKeys::alone(crate::record::StreamIdentity { arn, created_at: 1 })
    }

    /// 0 splits into 1 and 2, which merge into 3.
    fn family() -> [Shard; 4] {
        let half = u128::MAX / 2;
        [
            shard(0, &[], 0, u128::MAX),
            shard(1, &[0], 0, half),
            shard(2, &[0], half + 1, u128::MAX),
            shard(3, &[1, 2], 0, u128::MAX),
        ]
    }

    fn ids(leases: &[Lease]) -> Vec<ShardId> {
        leases.iter().map(|lease| lease.shard.clone()).collect()
    }

    #[test]
    fn the_first_leases_start_where_the_application_starts() {
        let family = family();
        let start = FleetStart { checkpoint: Checkpoint::Latest, at_ms: Some(1_000) };
        let leases = first_fill(&family[3..], &start, &stream());
        assert_eq!(leases[0].checkpoint, Checkpoint::Latest);
        assert_eq!((leases[0].start_ms, leases[0].parents.len()), (Some(1_000), 2));
        assert_eq!(leases[0].hash_range, Some(HashKeyRange { start: 0, end: u128::MAX }));
        let start = FleetStart { checkpoint: Checkpoint::TrimHorizon, at_ms: None };
        assert_eq!(first_fill(&family[..1], &start, &stream())[0].start_ms, None);
    }

    #[test]
    fn leases_of_one_stream_among_several_name_it() {
        let StreamKeys { identity, .. } = stream();
        let id = identity.id();
        let among = StreamKeys { identity, id: id.clone(), until_ms: None };
        let family = family();
        let start = FleetStart { checkpoint: Checkpoint::TrimHorizon, at_ms: None };
        let parent = first_fill(&family[..1], &start, &among).remove(0);
        assert_eq!(parent.key.as_str(), "000000000000:s:1:shardId-000000000000");
        let child = child_lease(&family[1], &parent);
        assert_eq!(child.key.as_str(), "000000000000:s:1:shardId-000000000001");
        assert_eq!((&child.stream_name, &child.stream), (&id, &parent.stream));
        assert_eq!(child.parents, [parent.shard]);
    }

    #[test]
    fn a_newly_listed_shard_starts_at_its_oldest_record() {
        let family = family();
        let leases = [lease(&family[0], Checkpoint::TrimHorizon)];
        let rows = missing(&leases, &family, &stream());
        assert_eq!(ids(&rows), [id(1), id(2), id(3)]);
        assert!(rows.iter().all(|row| row.checkpoint == Checkpoint::TrimHorizon));
    }

    #[test]
    fn ancestors_of_a_lease_that_has_advanced_need_no_lease() {
        let family = family();
        let leases = [lease(&family[3], Checkpoint::Latest)];
        assert_eq!(missing(&leases, &family, &stream()), []);
        let untouched = [lease(&family[3], Checkpoint::TrimHorizon)];
        assert_eq!(ids(&missing(&untouched, &family, &stream())), [id(0), id(1), id(2)]);
    }

    /// A finished lease that names these children.
    fn ended(shard: &Shard, children: &[u32]) -> Lease {
        Lease { children: children.iter().copied().map(id).collect(), ..lease(shard, Checkpoint::ShardEnd) }
    }

    #[test]
    fn a_replay_creates_a_child_only_when_a_finished_parent_names_it() {
        let family = family();
        let missing = |leases: &[Lease]| ids(&missing_of_range(leases, &family, &stream()));
        assert_eq!(missing(&[lease(&family[0], Checkpoint::AtTimestamp)]), [], "its parent is not finished");
        assert_eq!(missing(&[ended(&family[0], &[])]), [], "they began after the range");
        assert_eq!(missing(&[ended(&family[0], &[1, 2])]), [id(1), id(2)]);
        // A merge: one parent ended at its end, the other at the end of the range just before. The
        // child needs a row, so that it is not lost.
        assert_eq!(missing(&[ended(&family[1], &[3]), ended(&family[2], &[])]), [id(3)]);
    }

    #[test]
    fn a_replay_recreates_the_row_of_a_shard_without_a_known_parent() {
        let family = family();
        let other = shard(7, &[6], 0, 9);
        let shards: Vec<Shard> = family.iter().cloned().chain([other]).collect();
        assert_eq!(ids(&missing_of_range(&[ended(&family[0], &[])], &shards, &stream())), [id(7)]);
    }

    #[test]
    fn a_replay_is_complete_when_every_shard_and_every_child_has_ended() {
        let family = family();
        assert!(!is_replayed(&[]));
        assert!(is_replayed(&[ended(&family[0], &[])]), "it ended with the range");
        assert!(!is_replayed(&[ended(&family[0], &[1, 2]), ended(&family[1], &[])]), "2 has no row yet");
        let open = lease(&family[2], Checkpoint::TrimHorizon);
        assert!(!is_replayed(&[ended(&family[0], &[1, 2]), ended(&family[1], &[]), open]));
        assert!(is_replayed(&[ended(&family[0], &[1, 2]), ended(&family[1], &[]), ended(&family[2], &[])]));
    }

    #[test]
    fn leases_of_a_replay_and_their_children_contain_its_end() {
        let (family, stream) = (family(), StreamKeys { until_ms: Some(9), ..stream() });
        let start = FleetStart { checkpoint: Checkpoint::AtTimestamp, at_ms: Some(1) };
        let parent = first_fill(&family[..1], &start, &stream).remove(0);
        assert_eq!((parent.until_ms, child_lease(&family[1], &parent).until_ms), (Some(9), Some(9)));
    }

    #[test]
    fn descendants_of_a_cycle_keep_their_parents_and_a_valid_list_is_unchanged() {
        let family = family();
        assert_eq!(without_cycles(&family), (family.to_vec(), vec![]));
        let cyclic = [shard(5, &[6], 0, 9), shard(6, &[5], 0, 9), shard(7, &[6], 0, 9), shard(8, &[3], 0, 9)];
        let (shards, cut) = without_cycles(&cyclic);
        assert_eq!(cut, [id(5)]);
        assert_eq!(
            shards.iter().map(|shard| shard.parents.clone()).collect::<Vec<_>>(),
            [vec![], vec![id(5)], vec![id(6)], vec![id(3)]]
        );
    }

    #[test]
    fn a_hole_is_found_at_any_place() {
        let family = family();
        assert_eq!(hole(&[lease(&family[0], Checkpoint::TrimHorizon)]), None);
        let half = u128::MAX / 2;
        let upper = [lease(&family[0], Checkpoint::ShardEnd), lease(&family[2], Checkpoint::TrimHorizon)];
        assert_eq!(hole(&upper), Some(HashKeyRange { start: 0, end: half }));
        let lower = [lease(&family[1], Checkpoint::TrimHorizon)];
        assert_eq!(hole(&lower), Some(HashKeyRange { start: half + 1, end: u128::MAX }));
    }

    #[test]
    fn a_shard_of_unknown_range_covers_everything_and_an_empty_list_covers_nothing() {
        let family = family();
        let unknown = Shard { hash_range: None, ..family[1].clone() };
        assert_eq!(hole_in(&[unknown]), None);
        assert_eq!(hole_in(&[]), Some(HashKeyRange { start: 0, end: u128::MAX }));
        assert!(hole_in(&family[1..2]).is_some() && hole_in(&family[1..]).is_none());
    }

    proptest! {
        /// After one sync of any shard tree nothing is missing, and every shard either has a lease
        /// or precedes one that has advanced.
        #[test]
        fn a_second_sync_creates_nothing(cuts in prop::collection::vec(any::<u128>(), 1..20), moved in any::<u64>()) {
            let mut shards = vec![shard(0, &[], 0, u128::MAX)];
            let mut open = vec![0usize];
            for cut in cuts {
                let at = usize::try_from(cut % open.len() as u128).unwrap();
                let parent = open.swap_remove(at);
                let HashKeyRange { start, end } = shards[parent].hash_range.unwrap();
                let middle = start + (end - start) / 2;
                if middle == end { continue; }
                let n = shards.len() as u32;
                shards.push(shard(n, &[parent as u32], start, middle));
                shards.push(shard(n + 1, &[parent as u32], middle + 1, end));
                open.extend([n as usize, n as usize + 1]);
            }
            let mut leases: Vec<Lease> = shards.iter().enumerate()
                .filter(|(n, _)| moved >> (n % 64) & 1 == 1)
                .map(|(_, s)| lease(s, Checkpoint::Latest)).collect();
            leases.extend(missing(&leases, &shards, &stream()));
            prop_assert_eq!(missing(&leases, &shards, &stream()), vec![]);
            prop_assert_eq!(hole(&leases), None);
        }
    }
}
