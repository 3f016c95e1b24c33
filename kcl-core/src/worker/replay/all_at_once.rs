//! Presents the shards of a range without parents, so that all of them are read at once.

use crate::config::Start;
use crate::record::{ShardId, StartingPosition, unix_millis};
use crate::shard::{self, ApiError, FanOutApi, Fetched, ListWhich, Listing, Shard, StreamApi, StreamDescription};
use async_trait::async_trait;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The stream as the coordination sees it.
#[derive(Debug)]
pub(super) struct AllAtOnce {
    pub(super) stream: Arc<dyn StreamApi>,
    pub(super) start: Start,
}

#[async_trait]
impl StreamApi for AllAtOnce {
    async fn describe(&self) -> Result<StreamDescription, ApiError> {
        self.stream.describe().await
    }

    async fn list_shards(&self, which: ListWhich) -> Result<Listing, ApiError> {
        if which == ListWhich::AtLatest {
            return self.stream.list_shards(which).await;
        }
        let Listing { shards: mut first, .. } = match self.start {
            Start::AtTimestamp(time) => self.stream.list_shards(ListWhich::AtTimestamp(unix_millis(time))).await?,
            Start::TrimHorizon | Start::Latest => self.stream.list_shards(ListWhich::AtTrimHorizon).await?,
        };
        // A stream that was created after the start time had no open shards then.
        if shard::hole_in(&first).is_some() {
            first = self.stream.list_shards(ListWhich::AtTrimHorizon).await?.shards;
        }
        let Listing { shards, answered_at_ms } = self.stream.list_shards(ListWhich::All).await?;
        Ok(Listing { shards: parentless(&first, shards), answered_at_ms })
    }

    async fn shard_iterator(&self, shard: &ShardId, from: &StartingPosition) -> Result<String, ApiError> {
        self.stream.shard_iterator(shard, from).await
    }

    async fn get_records(&self, iterator: &str, limit: u32) -> Result<Fetched, ApiError> {
        self.stream.get_records(iterator, limit).await
    }

    fn fan_out(&self) -> Option<Arc<dyn FanOutApi>> {
        self.stream.fan_out()
    }
}

/// Returns the first shards of a range and all their descendants, without parents. A child's id
/// sorts after its parents' ids.
fn parentless(first: &[Shard], mut all: Vec<Shard>) -> Vec<Shard> {
    all.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    let mut within: BTreeSet<ShardId> = first.iter().map(|shard| shard.id.clone()).collect();
    for shard in &all {
        if shard.parents.iter().any(|parent| within.contains(parent)) {
            within.insert(shard.id.clone());
        }
    }
    all.retain(|shard| within.contains(&shard.id));
    all.into_iter().map(|shard| Shard { parents: Vec::new(), ..shard }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(n: u32, parents: &[u32]) -> Shard {
        let id = |n: u32| ShardId::new(format!("shardId-{n:012}"));
        let parents = parents.iter().copied().map(id).collect();
        Shard { id: id(n), parents, hash_range: None, starting_sequence_number: None, closed: false }
    }

    #[test]
    fn descendants_of_the_first_shards_are_kept_and_ancestors_are_not() {
        let all = vec![shard(0, &[]), shard(1, &[0]), shard(2, &[0]), shard(3, &[1, 2]), shard(4, &[3]), shard(5, &[])];
        let expected = [1, 2, 3, 4].map(|n| shard(n, &[]));
        assert_eq!(parentless(&[shard(1, &[0]), shard(2, &[0])], all), expected);
    }
}
