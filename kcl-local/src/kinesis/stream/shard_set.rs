//! The shards of a stream: routes hash keys, splits and merges shards, and filters lists of shards.

use std::collections::BTreeMap;
use std::collections::btree_map;

use super::shard::{Parents, Shard};
use crate::kinesis::{EngineTime, HashKey, HashKeyRange, ShardId};

/// The open and closed shards. The open shards cover the hash key space without overlap.
#[derive(Debug, Default)]
pub(crate) struct ShardSet {
    shards: BTreeMap<ShardId, Shard>,
    /// The open shards by starting hash key. A map, because resharding thousands of shards changes
    /// each entry.
    routes: BTreeMap<HashKey, ShardId>,
    next: u32,
}

impl ShardSet {
    /// The first shards of a stream. Their sequence numbers have `created_seconds`.
    pub(crate) fn initial(count: u32, created: EngineTime, created_seconds: i64) -> Self {
        let mut set = Self::default();
        for range in HashKeyRange::tiles(count) {
            set.open(Parents::None, range, created, created_seconds);
        }
        set
    }

    /// The newest creation time, in the seconds of sequence numbers.
    pub(crate) fn newest_creation(&self) -> Option<i64> {
        self.shards.values().map(|shard| shard.created_seconds).max()
    }

    pub(crate) fn get(&self, id: ShardId) -> Option<&Shard> {
        self.shards.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: ShardId) -> Option<&mut Shard> {
        self.shards.get_mut(&id)
    }

    /// All shards in the order of their ids.
    pub(crate) fn iter(&self) -> btree_map::Values<'_, ShardId, Shard> {
        self.shards.values()
    }

    pub(crate) fn iter_mut(&mut self) -> btree_map::ValuesMut<'_, ShardId, Shard> {
        self.shards.values_mut()
    }

    /// Shards with ids greater than `id`, or all shards.
    pub(crate) fn after(&self, id: Option<ShardId>) -> impl Iterator<Item = &Shard> {
        let start = id.map_or(ShardId::new(0), |id| ShardId::new(id.number().saturating_add(1)));
        self.shards.range(start..).map(|(_, shard)| shard)
    }

    pub(crate) fn open_count(&self) -> usize {
        self.routes.len()
    }

    /// The open shards in the order of their ranges.
    pub(crate) fn open_ids(&self) -> impl Iterator<Item = ShardId> {
        self.routes.values().copied()
    }

    /// The open shard of `key`. `None` only if the stream has no shards.
    pub(crate) fn route(&self, key: HashKey) -> Option<ShardId> {
        self.routes.range(..=key).next_back().map(|(_, id)| *id)
    }

    /// The open shard at `index`, in the order of ranges.
    pub(crate) fn open_at(&self, index: usize) -> Option<ShardId> {
        self.routes.values().nth(index).copied()
    }

    /// Removes shards that closed before `horizon`.
    pub(crate) fn expire(&mut self, horizon: EngineTime) {
        self.shards.retain(|_, shard| !shard.is_expired(horizon));
    }

    /// Removes a closed shard. Returns false if no closed shard has this id.
    pub(crate) fn remove_closed(&mut self, id: ShardId) -> bool {
        let closed = self.shards.get(&id).is_some_and(|shard| !shard.is_open());
        if closed {
            self.shards.remove(&id);
        }
        closed
    }

    /// Splits an open shard; the upper child begins at `at`. `None` if the shard is not open, or
    /// `at` is not inside its range.
    pub(crate) fn split(&mut self, parent: ShardId, at: HashKey, now: EngineTime) -> Option<[ShardId; 2]> {
        let shard = self.shards.get(&parent).filter(|shard| shard.is_open())?;
        let range = shard.range;
        if !range.contains(at) || at == range.starting_hash_key {
            return None;
        }
        let lower = HashKeyRange::new(range.starting_hash_key, HashKey(at.0 - 1));
        let upper = HashKeyRange::new(at, range.ending_hash_key);
        let creation = self.close(&[parent], now, 2);
        let parents = Parents::Split(parent);
        Some([lower, upper].map(|range| self.open(parents, range, creation.time, creation.seconds)))
    }

    /// Merges two open shards. `None` if they are not open, or not adjacent in this order.
    pub(crate) fn merge(&mut self, lower: ShardId, upper: ShardId, now: EngineTime) -> Option<ShardId> {
        let open = |id| self.shards.get(&id).filter(|shard: &&Shard| shard.is_open()).map(|shard| shard.range);
        let (low, high) = (open(lower)?, open(upper)?);
        if !low.is_followed_by(high) {
            return None;
        }
        let creation = self.close(&[lower, upper], now, 1);
        let range = HashKeyRange::new(low.starting_hash_key, high.ending_hash_key);
        Some(self.open(Parents::Merge(lower, upper), range, creation.time, creation.seconds))
    }

    /// Closes `parents`, whose `children` the next opened shards will be. Returns the creation time
    /// of the children.
    ///
    /// Lifetimes of parents and children do not overlap, even if several reshards happen at the
    /// same time: a new shard closes after its creation, even if the clock has not advanced.
    fn close(&mut self, parents: &[ShardId], now: EngineTime, children: u32) -> Creation {
        let max_of_parents =
            |field: fn(&Shard) -> i64| parents.iter().filter_map(|id| self.shards.get(id)).map(field).max();
        let at = EngineTime::from_millis(now.millis().max(max_of_parents(|shard| shard.created.millis()).unwrap_or(0)));
        let seconds = at.seconds().max(max_of_parents(|shard| shard.created_seconds).unwrap_or(0)) + 1;
        for id in parents {
            if let Some(parent) = self.shards.get_mut(id) {
                parent.close(at, (self.next..self.next + children).map(ShardId::new).collect());
                self.routes.remove(&parent.range.starting_hash_key);
            }
        }
        Creation { time: EngineTime::from_millis(at.millis() + 1), seconds }
    }

    fn open(&mut self, parents: Parents, range: HashKeyRange, created: EngineTime, created_seconds: i64) -> ShardId {
        let id = ShardId::new(self.next);
        self.next += 1;
        self.shards.insert(id, Shard::open(id, parents, range, created, created_seconds));
        self.routes.insert(range.starting_hash_key, id);
        id
    }
}

/// The creation time of children, on the clock and in their sequence numbers.
struct Creation {
    time: EngineTime,
    seconds: i64,
}

/// The filter of `ListShards`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ShardFilter {
    FromTrimHorizon,
    AtTrimHorizon,
    AtLatest,
    AfterShardId(ShardId),
    AtTimestamp(EngineTime),
    FromTimestamp(EngineTime),
}

impl ShardFilter {
    /// Whether an unexpired `shard` is listed. A time before `horizon` means the horizon, so that
    /// the listed shards cover the hash key space.
    pub(crate) fn admits(self, shard: &Shard, horizon: EngineTime) -> bool {
        match self {
            Self::FromTrimHorizon => true,
            Self::AtTrimHorizon => shard.was_open_at(horizon),
            Self::AtLatest => shard.is_open(),
            Self::AfterShardId(id) => shard.id > id,
            Self::AtTimestamp(time) => shard.was_open_at(time.max(horizon)),
            Self::FromTimestamp(time) => shard.end.as_ref().is_none_or(|end| end.at >= time.max(horizon)),
        }
    }
}
