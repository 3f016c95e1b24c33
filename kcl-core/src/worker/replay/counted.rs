//! Counts the records that handlers have finished.

use crate::processor::{Batch, BatchOutcome, BoxError, RecordProcessor, ShardContext};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A processor whose finished records are counted.
pub(super) struct Counted<P> {
    pub(super) inner: P,
    pub(super) records: Arc<AtomicU64>,
}

impl<P: RecordProcessor> RecordProcessor for Counted<P> {
    async fn initialize(&mut self, shard: &ShardContext) -> Result<(), BoxError> {
        self.inner.initialize(shard).await
    }

    async fn process_records(&mut self, batch: &Batch, shard: &ShardContext) -> Result<(), BoxError> {
        let outcome = self.inner.process_records(batch, shard).await;
        let done = match &outcome {
            Ok(()) => batch.len(),
            // Records that the outcome does not name are finished.
            Err(error) => error
                .downcast_ref::<BatchOutcome>()
                .map_or(0, |outcome| batch.iter().filter(|record| outcome.error_of(record).is_none()).count()),
        };
        self.records.fetch_add(done as u64, Ordering::Relaxed);
        outcome
    }

    async fn lease_lost(&mut self, shard: &ShardContext) {
        self.inner.lease_lost(shard).await;
    }

    async fn shard_ended(&mut self, shard: &ShardContext) -> Result<(), BoxError> {
        self.inner.shard_ended(shard).await
    }

    async fn shutdown_requested(&mut self, shard: &ShardContext) -> Result<(), BoxError> {
        self.inner.shutdown_requested(shard).await
    }
}
