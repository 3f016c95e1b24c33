//! What a typed handler may know of a record beside its value.

use super::{Batch, ShardContext};
use crate::record::{Record, SequenceNumber, ShardId};
use std::time::SystemTime;

/// A record's place in the stream, for a handler that gets the record's value already decoded.
///
/// A clone costs two reference counts and keeps the batch's records in memory.
#[derive(Clone, Debug)]
pub struct RecordMeta {
    batch: Batch,
    index: usize,
    shard: ShardContext,
}

impl RecordMeta {
    /// Of the first record of a batch that has one.
    #[cfg(feature = "macros")]
    pub(crate) fn first(batch: &Batch, shard: &ShardContext) -> Self {
        RecordMeta { batch: batch.clone(), index: 0, shard: shard.clone() }
    }

    /// Of the batch's record at `index`.
    #[cfg(feature = "macros")]
    pub(crate) fn move_to(&mut self, index: usize) {
        debug_assert!(index < self.batch.len());
        self.index = index;
    }

    /// The shard.
    #[must_use]
    pub fn shard_id(&self) -> &ShardId {
        self.shard.shard_id()
    }

    /// The record's number: unique in the stream, growing within its shard.
    #[must_use]
    pub fn sequence_number(&self) -> &SequenceNumber {
        &self.record().sequence_number
    }

    /// The index within an aggregated record; 0 for a record that stands alone.
    #[must_use]
    pub fn sub_sequence_number(&self) -> u64 {
        self.record().sub_sequence_number
    }

    /// What the producer keyed the record by; absent where the stream distributes records by itself.
    #[must_use]
    pub fn partition_key(&self) -> Option<&str> {
        self.record().partition_key.as_deref()
    }

    /// When Kinesis accepted the record, by the service's clock.
    #[must_use]
    pub fn arrived_at(&self) -> SystemTime {
        self.record().arrived_at()
    }

    /// Grows with every change of the shard's owner; see [`ShardContext::fencing_token`].
    #[must_use]
    pub fn fencing_token(&self) -> u64 {
        self.shard.fencing_token()
    }

    /// The record as it came, payload included.
    #[must_use]
    pub fn record(&self) -> &Record {
        &self.batch[self.index]
    }

    /// What the handler may know of the shard.
    #[must_use]
    pub fn shard(&self) -> &ShardContext {
        &self.shard
    }
}
