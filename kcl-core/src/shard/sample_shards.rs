//! Shards for tests: a stream whose only shard was split.

use super::Shard;
use crate::lease::row::HashKeyRange;
use crate::record::ShardId;

pub(super) const HALF: u128 = u128::MAX / 2;

pub(super) fn id(n: u32) -> ShardId {
    ShardId::new(format!("shardId-{n:012}"))
}

pub(super) fn shard(n: u32, parents: &[u32], (start, end): (u128, u128), closed: bool) -> Shard {
    let (parents, hash_range) = (parents.iter().copied().map(id).collect(), Some(HashKeyRange { start, end }));
    Shard { id: id(n), parents, hash_range, starting_sequence_number: None, closed }
}

/// 0 was split into 1 and 2.
pub(super) fn family() -> [Shard; 3] {
    [
        shard(0, &[], (0, u128::MAX), true),
        shard(1, &[0], (0, HALF), false),
        shard(2, &[0], (HALF + 1, u128::MAX), false),
    ]
}
