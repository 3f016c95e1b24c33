//! Changes the number of shards by splits and merges, as `UpdateShardCount` does.

use super::shard_set::ShardSet;
use crate::kinesis::{EngineTime, HashKey, HashKeyRange};

impl ShardSet {
    /// Splits and merges until `count` shards of (nearly) equal width are open.
    ///
    /// If a new border is not an old one, the shard is split there first and the parts are merged,
    /// so that every new shard has parents. Some shards in between are closed at once.
    pub(crate) fn rescale(&mut self, count: u32, now: EngineTime) {
        let borders = self.borders(count);
        for border in &borders {
            if let Some(shard) = self.route(*border) {
                // Does nothing if a shard already begins at the border.
                self.split(shard, *border, now);
            }
        }
        let mut open = self.open_ids().collect::<Vec<_>>().into_iter();
        let mut lower = open.next();
        for upper in open {
            let begins_at_border =
                self.get(upper).is_some_and(|upper| borders.binary_search(&upper.range.starting_hash_key).is_ok());
            lower = match lower {
                Some(lower) if !begins_at_border => self.merge(lower, upper, now),
                Some(_) | None => Some(upper),
            };
        }
    }

    /// The starting hash keys of the new shards after the first. An existing border that differs by
    /// a few keys because of rounding is kept: a third of 2^128 is not two sixths.
    fn borders(&self, count: u32) -> Vec<HashKey> {
        let tolerance = u128::from(count) * 2;
        HashKeyRange::tiles(count)
            .iter()
            .skip(1)
            .map(|tile| {
                let wanted = tile.starting_hash_key;
                let near = HashKey(wanted.0.saturating_add(tolerance));
                let existing = self.route(near).and_then(|id| self.get(id)).map(|shard| shard.range.starting_hash_key);
                existing.filter(|start| start.0.abs_diff(wanted.0) <= tolerance).unwrap_or(wanted)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinesis::stream::shard::Parents;
    use proptest::prelude::*;

    fn at(millis: i64) -> EngineTime {
        EngineTime::from_millis(millis)
    }

    fn totals(set: &ShardSet) -> (usize, usize) {
        (set.iter().count(), set.open_count())
    }

    #[test]
    fn two_to_four_to_two_makes_six_and_then_eight_shards() {
        let mut set = ShardSet::initial(2, at(0), 0);
        set.rescale(4, at(10));
        assert_eq!(totals(&set), (6, 4));
        set.rescale(2, at(20));
        assert_eq!(totals(&set), (8, 2));
        assert!(set.open_ids().filter_map(|id| set.get(id)).all(|shard| matches!(shard.parents, Parents::Merge(..))));
    }

    #[test]
    fn three_to_six_only_splits_although_the_borders_round_differently() {
        let mut set = ShardSet::initial(3, at(0), 0);
        set.rescale(6, at(10));
        assert_eq!(totals(&set), (9, 6));
        set.rescale(3, at(20));
        assert_eq!(totals(&set), (12, 3));
    }

    #[test]
    fn an_uneven_target_needs_intermediate_shards() {
        let mut set = ShardSet::initial(2, at(0), 0);
        set.rescale(3, at(10));
        assert_eq!(totals(&set), (7, 3));
    }

    #[test]
    fn the_same_count_changes_nothing() {
        let mut set = ShardSet::initial(5, at(0), 0);
        set.rescale(5, at(10));
        assert_eq!(totals(&set), (5, 5));
    }

    /// Would take minutes if each step visited every shard.
    #[test]
    fn thousands_of_shards_are_rescaled_quickly() {
        let began = tokio::time::Instant::now();
        let mut set = ShardSet::initial(20_000, at(0), 0);
        set.rescale(10_000, at(10));
        assert_eq!(totals(&set), (30_000, 10_000));
        set.rescale(15_000, at(20));
        assert_eq!(set.open_count(), 15_000);
        assert!(began.elapsed().as_secs() < 5, "{:?}", began.elapsed());
    }

    #[derive(Clone, Debug)]
    enum Reshard {
        Split { index: usize, share: u128 },
        Merge { index: usize },
        Rescale(u32),
    }

    fn reshards() -> impl Strategy<Value = Vec<(Reshard, i64)>> {
        let reshard = prop_oneof![
            (any::<usize>(), 1..16_u128).prop_map(|(index, share)| Reshard::Split { index, share }),
            any::<usize>().prop_map(|index| Reshard::Merge { index }),
            (1..9_u32).prop_map(Reshard::Rescale),
        ];
        proptest::collection::vec((reshard, prop_oneof![Just(0_i64), 0..3_i64, 0..5000_i64]), 0..12)
    }

    /// Applies reshards; the clock advances by the given pauses.
    fn apply(set: &mut ShardSet, reshards: &[(Reshard, i64)]) -> i64 {
        let mut now = 0;
        for (reshard, pause) in reshards {
            now += pause;
            let open: Vec<_> = set.open_ids().collect();
            match reshard {
                Reshard::Split { index, share } => {
                    let id = open[index % open.len()];
                    let range = set.get(id).unwrap().range;
                    let width = range.ending_hash_key.0 - range.starting_hash_key.0;
                    set.split(id, HashKey(range.starting_hash_key.0 + width / 16 * share), at(now));
                }
                Reshard::Merge { index } => {
                    let index = index % open.len();
                    if let [lower, upper, ..] = open[index..] {
                        set.merge(lower, upper, at(now));
                    }
                }
                Reshard::Rescale(count) => set.rescale(*count, at(now)),
            }
        }
        now
    }

    fn tile(mut ranges: Vec<HashKeyRange>) -> bool {
        ranges.sort_by_key(|range| range.starting_hash_key);
        ranges.first().is_some_and(|first| first.starting_hash_key == HashKey::MIN)
            && ranges.last().is_some_and(|last| last.ending_hash_key == HashKey::MAX)
            && ranges.windows(2).all(|pair| pair[0].is_followed_by(pair[1]))
    }

    proptest! {
        #[test]
        fn open_shards_cover_the_hash_space_and_keys_are_routed_to_their_range(count in 1..6_u32, reshards in reshards(), keys in proptest::collection::vec(any::<u128>(), 20)) {
            let mut set = ShardSet::initial(count, at(0), 0);
            apply(&mut set, &reshards);
            prop_assert!(tile(set.open_ids().map(|id| set.get(id).unwrap().range).collect()));
            for key in keys.into_iter().map(HashKey).chain([HashKey::MIN, HashKey::MAX]) {
                let shard = set.get(set.route(key).unwrap()).unwrap();
                prop_assert!(shard.is_open() && shard.range.contains(key));
            }
        }

        #[test]
        fn the_shards_open_at_any_time_cover_the_hash_space(count in 1..6_u32, reshards in reshards()) {
            let mut set = ShardSet::initial(count, at(0), 0);
            let end = apply(&mut set, &reshards);
            let instants: Vec<_> = set.iter().flat_map(|shard| {
                let closed = shard.end.as_ref().map_or(end, |end| end.at.millis());
                [shard.created.millis(), closed, closed + 1]
            }).collect();
            for instant in instants {
                let open = set.iter().filter(|shard| shard.was_open_at(at(instant))).map(|shard| shard.range).collect();
                prop_assert!(tile(open), "at {}", instant);
            }
        }

        #[test]
        fn every_later_shard_has_closed_parents_with_smaller_numbers(count in 1..6_u32, reshards in reshards()) {
            let mut set = ShardSet::initial(count, at(0), 0);
            apply(&mut set, &reshards);
            for shard in set.iter().skip(count as usize) {
                let parents = shard.parents.list();
                prop_assert!(!parents.is_empty());
                for parent in parents {
                    let end = set.get(parent).unwrap().end.clone().unwrap();
                    prop_assert!(end.ending < shard.starting());
                    prop_assert!(end.at < shard.created);
                    prop_assert!(end.children.contains(&shard.id));
                }
            }
        }

        #[test]
        fn rescaling_reaches_the_target(count in 1..20_u32, target in 1..20_u32) {
            let mut set = ShardSet::initial(count, at(0), 0);
            set.rescale(target, at(10));
            prop_assert_eq!(set.open_count(), target as usize);
        }
    }
}
