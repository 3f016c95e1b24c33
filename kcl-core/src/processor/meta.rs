//! Defines the metadata that a typed handler gets with each value.

use super::{Batch, ShardContext};
use crate::record::{Record, SequenceNumber, ShardId};
use std::time::SystemTime;

/// The metadata of one record, for a handler that gets the record's value already decoded (see
/// `#[derive(RecordProcessor)]`).
///
/// A clone is cheap: it copies reference counts. While it lives, the batch's records stay in
/// memory.
///
/// # Examples
#[cfg_attr(feature = "macros", doc = "```")]
#[cfg_attr(not(feature = "macros"), doc = "```ignore")]
/// use kcl_core::prelude::*;
///
/// #[derive(RecordProcessor)]
/// #[processor(json, handler = "departed")]
/// struct Delays;
///
/// impl Delays {
///     async fn departed(&mut self, minutes: u32, meta: &RecordMeta) -> Result<(), BoxError> {
///         println!("{minutes} min: record {} of {}", meta.sequence_number(), meta.shard_id());
///         Ok(())
///     }
/// }
/// ```
#[derive(Clone, Debug)]
pub struct RecordMeta {
    batch: Batch,
    index: usize,
    shard: ShardContext,
}

impl RecordMeta {
    /// Metadata of the batch's first record. The batch must not be empty.
    #[cfg(feature = "macros")]
    pub(crate) fn first(batch: &Batch, shard: &ShardContext) -> Self {
        RecordMeta { batch: batch.clone(), index: 0, shard: shard.clone() }
    }

    /// Moves on to the batch's record at `index`.
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

    /// The record's sequence number: unique in the stream, increasing within its shard.
    #[must_use]
    pub fn sequence_number(&self) -> &SequenceNumber {
        &self.record().sequence_number
    }

    /// The index within an aggregated record; 0 for a record that is not aggregated.
    #[must_use]
    pub fn sub_sequence_number(&self) -> u64 {
        self.record().sub_sequence_number
    }

    /// The producer's partition key. `None` on streams that distribute records themselves (record
    /// distribution strategy AUTO).
    #[must_use]
    pub fn partition_key(&self) -> Option<&str> {
        self.record().partition_key.as_deref()
    }

    /// When Kinesis accepted the record, by the service's clock.
    #[must_use]
    pub fn arrived_at(&self) -> SystemTime {
        self.record().arrived_at()
    }

    /// A number that grows with every change of the lease's owner; see
    /// [`ShardContext::fencing_token`].
    #[must_use]
    pub fn fencing_token(&self) -> u64 {
        self.shard.fencing_token()
    }

    /// The record itself, payload included.
    #[must_use]
    pub fn record(&self) -> &Record {
        &self.batch[self.index]
    }

    /// The shard's context: lease, lane and checkpoints.
    #[must_use]
    pub fn shard(&self) -> &ShardContext {
        &self.shard
    }
}
