//! Simulates a stream without records, which records when each shard was last read.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use kcl_core::lease::row::HashKeyRange;
use kcl_core::record::{ShardId, StartingPosition, StreamIdentity};
use kcl_core::shard::{ApiError, Fetched, ListWhich, Listing, Shard, StreamApi, StreamDescription};
use tokio::time::Instant;

use super::link::Link;

/// The stream of all workers.
#[derive(Debug)]
pub(crate) struct SharedStream {
    shards: Vec<Shard>,
    latency: Duration,
    last_read: Mutex<Vec<Option<Instant>>>,
}

impl SharedStream {
    pub(crate) fn new(shards: usize, latency: Duration) -> Arc<Self> {
        let (step, last) = (u128::MAX / shards as u128, shards - 1);
        let shard = |n: usize| Shard {
            id: ShardId::new(format!("shardId-{n:012}")),
            parents: Vec::new(),
            hash_range: Some(HashKeyRange {
                start: step * n as u128,
                end: if n == last { u128::MAX } else { step * (n as u128 + 1) - 1 },
            }),
            starting_sequence_number: None,
            closed: false,
        };
        let last_read = Mutex::new(vec![None; shards]);
        Arc::new(SharedStream { shards: (0..shards).map(shard).collect(), latency, last_read })
    }

    /// Number of shards that were not read after `since`.
    pub(crate) fn unread_since(&self, since: Instant) -> usize {
        let read = self.last_read.lock().unwrap_or_else(PoisonError::into_inner);
        read.iter().filter(|at| at.is_none_or(|at| at < since)).count()
    }
}

/// A worker's access to the stream.
#[derive(Debug)]
pub(crate) struct WorkerStream {
    pub(crate) stream: Arc<SharedStream>,
    pub(crate) link: Link,
}

#[async_trait]
impl StreamApi for WorkerStream {
    async fn describe(&self) -> Result<StreamDescription, ApiError> {
        self.link.call(self.stream.latency).await;
        let arn = "arn:aws:kinesis:eu-central-1:000000000000:stream/scale".to_owned();
        Ok(StreamDescription {
            identity: StreamIdentity::new(arn, std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000)),
            retention_hours: 24,
            open_shards: u32::try_from(self.stream.shards.len()).unwrap_or(u32::MAX),
            keyed: true,
        })
    }

    async fn list_shards(&self, _: ListWhich) -> Result<Listing, ApiError> {
        // ListShards returns pages of 1,000.
        let pages = u32::try_from(self.stream.shards.len().div_ceil(1_000)).unwrap_or(u32::MAX);
        self.link.call(self.stream.latency * pages).await;
        Ok(Listing { shards: self.stream.shards.clone(), answered_at_ms: None })
    }

    async fn shard_iterator(&self, shard: &ShardId, _: &StartingPosition) -> Result<String, ApiError> {
        self.link.call(self.stream.latency).await;
        Ok(shard.as_str().trim_start_matches("shardId-").to_owned())
    }

    async fn get_records(&self, iterator: &str, _: u32) -> Result<Fetched, ApiError> {
        self.link.call(self.stream.latency).await;
        let mut read = self.stream.last_read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = iterator.parse().ok().and_then(|n: usize| read.get_mut(n)) {
            *at = Some(Instant::now());
        }
        Ok(Fetched { millis_behind_latest: Some(0), next_iterator: Some(iterator.to_owned()), ..Fetched::default() })
    }
}
