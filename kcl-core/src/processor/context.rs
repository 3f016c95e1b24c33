//! Defines the context that a handler gets with each call: its shard, its lease, and manual
//! checkpoints.

use super::delivery::{OutOfRange, ReportKind, ShardDelivery, WriteRequested};
use crate::lease::row::Pending;
use crate::record::{Checkpoint, Position, Record, ShardId, StreamIdentity, StreamRef};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// The shard that a processor works for, the state of its lease, and manual checkpoints.
///
/// Passed to every callback. Cheap to clone; a clone may be moved to other tasks, and stays valid
/// after the lease is lost. One context belongs to one claim of the lease: if the shard comes back
/// to this worker, its new processor gets a new context with a higher
/// [`fencing_token`](Self::fencing_token).
///
/// # Examples
/// ```
/// use kcl_core::prelude::*;
///
/// struct Writer;
///
/// impl RecordProcessor for Writer {
///     async fn process_records(&mut self, batch: &Batch, shard: &ShardContext) -> Result<(), BoxError> {
///         for record in batch {
///             tokio::select! {
///                 () = shard.lease_lost() => return Err("lease lost".into()), // another worker may handle it now
///                 written = write(record, shard.fencing_token()) => written?,
///             }
///         }
///         Ok(())
///     }
/// }
///
/// /// The other system refuses a fencing token that is lower than one it has seen for the shard.
/// async fn write(record: &Record, fencing_token: u64) -> Result<(), BoxError> {
///     # let _ = (record, fencing_token);
///     Ok(())
/// }
/// ```
#[derive(Clone, Debug)]
pub struct ShardContext {
    delivery: Arc<ShardDelivery>,
    stream: StreamRef,
    lane: usize,
    lanes: usize,
}

/// The largest state of a prepared checkpoint, in bytes. DynamoDB allows 400 KB per item (AWS:
/// "Quotas in Amazon DynamoDB"); quarantine may take 200 KB of the lease's row, the rest is for
/// this and KCL's attributes.
const MAX_STATE_BYTES: usize = 100_000;

/// Why a manual checkpoint was not stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The record was not delivered to this processor, or is not one of this shard. Nothing has
    /// changed.
    #[error(
        "record {position} of shard `{shard}` was not delivered to this processor, so it cannot be checkpointed: pass a \
         record of a batch that the handler got since it was initialized"
    )]
    OutOfRange {
        /// The shard.
        shard: ShardId,
        /// The position of the requested checkpoint.
        position: Position,
    },
    /// The lease is lost or released. Only the new owner's checkpoints count; it delivers again
    /// what was not checkpointed.
    #[error("the lease of shard `{shard}` is lost or released: the checkpoint was not written")]
    LeaseLost {
        /// The shard.
        shard: ShardId,
    },
    /// The state of a prepared checkpoint is stored in the lease's row, and this one is too large
    /// for it.
    #[error(
        "the state of the prepared checkpoint of shard `{shard}` has {bytes} bytes, and the lease's row has room for \
         {most}: store the state elsewhere and pass a reference to it"
    )]
    StateTooLarge {
        /// The shard.
        shard: ShardId,
        /// The size of the state, in bytes.
        bytes: usize,
        /// The largest size allowed, in bytes.
        most: usize,
    },
    /// Several lanes handle the shard concurrently, so one lane cannot say that every record before
    /// this one is done. Nothing has changed.
    #[error(
        "shard `{shard}` is handled by {lanes} lanes concurrently, so \"everything up to this record\" is not known to be \
         done: acknowledge record by record (`Batch::take_handles`) instead"
    )]
    Concurrent {
        /// The shard.
        shard: ShardId,
        /// The number of lanes.
        lanes: usize,
    },
}

/// A checkpoint whose first phase is stored. Dropped without [`commit`](Self::commit), it stays
/// pending in the lease's row until a checkpoint reaches it, and the next owner sees it as
/// [`ShardContext::pending_checkpoint`].
#[derive(Debug)]
#[must_use = "a prepared checkpoint takes effect only when it is committed"]
pub struct PreparedCheckpoint {
    context: ShardContext,
    position: Position,
}

/// A checkpoint that an earlier owner prepared and did not commit (KCL's `pendingCheckpoint`).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PendingCheckpoint {
    /// The position that the checkpoint was to store.
    pub checkpoint: Checkpoint,
    /// The application's own data, by which the next owner can finish or undo the work.
    pub state: Option<Vec<u8>>,
}

impl ShardContext {
    pub(crate) fn new(delivery: Arc<ShardDelivery>, stream: StreamRef, lanes: usize) -> Self {
        ShardContext { delivery, stream, lane: 0, lanes }
    }

    pub(super) fn of_lane(&self, lane: usize) -> Self {
        ShardContext { lane, ..self.clone() }
    }

    #[cfg(test)]
    pub(crate) fn delivery(&self) -> &ShardDelivery {
        &self.delivery
    }

    /// The shard's id.
    #[must_use]
    pub fn shard_id(&self) -> &ShardId {
        self.delivery.shard()
    }

    /// The stream, as the worker's builder names it.
    #[must_use]
    pub fn stream(&self) -> &StreamRef {
        &self.stream
    }

    /// The stream's ARN and creation time, which together identify it even if it is deleted and
    /// created again under the same name. `None` only outside a worker, in tests of a processor.
    #[must_use]
    pub fn stream_identity(&self) -> Option<&StreamIdentity> {
        self.delivery.claim.stream.as_ref()
    }

    /// The lease's key in the lease table: the shard's id if the table serves one stream, the
    /// stream and the shard's id if it serves several. Unique within the application.
    #[must_use]
    pub fn lease_key(&self) -> &str {
        self.delivery.claim.lease.as_str()
    }

    /// The index of this processor among those of the shard, from 0; see
    /// [`Concurrency`](crate::Concurrency).
    #[must_use]
    pub fn lane(&self) -> usize {
        self.lane
    }

    /// The fencing token: a number that grows with every change of the lease's owner.
    ///
    /// The library stops delivery before another worker can own the lease, but it cannot stop a
    /// handler that is already running, or a process that is paused. Send the token with every
    /// write to another system. If that system remembers the highest token that it saw for each
    /// [`lease_key`](Self::lease_key), it can reject writes of a former owner. Tokens of different
    /// leases are not comparable.
    ///
    /// The token is the row's `leaseCounter` at the claim. If the lease table is restored from a
    /// backup, or deleted and created again, tokens may start lower, and the other system rejects
    /// every handler. Then stop the application, reset the tokens in that system, and start the
    /// application again.
    #[must_use]
    pub fn fencing_token(&self) -> u64 {
        self.delivery.fencing_token()
    }

    /// The time for which no other worker can own the lease, even if no further heartbeat of this
    /// worker succeeds. Zero once the lease is lost.
    ///
    /// Each confirmed heartbeat extends it to 95 % of `failover_time`. The margin allows for clocks
    /// that drift by 2.5 % on each side.
    #[must_use]
    pub fn lease_time_left(&self) -> Duration {
        self.delivery.time_left()
    }

    /// Whether the lease is lost or released. If it is, another worker may be handling the same
    /// records.
    #[must_use]
    pub fn is_lease_lost(&self) -> bool {
        self.delivery.is_closed()
    }

    /// Waits until the lease is lost or released. Completes at once if it already is.
    ///
    /// # Cancellation
    /// The future may be dropped at any time.
    pub async fn lease_lost(&self) {
        self.delivery.closed().await;
    }

    /// A token that is cancelled when the lease is lost or released, for tasks that a handler
    /// spawns.
    #[must_use]
    pub fn cancellation_token(&self) -> CancellationToken {
        self.delivery.closing()
    }

    /// Acknowledges every record up to and including this one, and waits until the checkpoint is
    /// stored in the lease's row.
    ///
    /// Meant for the setting `manual_checkpoints`, and allowed without it. A record that is already
    /// checkpointed is not an error.
    ///
    /// # Errors
    /// - [`CheckpointError::OutOfRange`]: the record was not delivered to this processor. Nothing
    ///   has changed.
    /// - [`CheckpointError::Concurrent`]: the shard has several lanes. Nothing has changed.
    /// - [`CheckpointError::LeaseLost`]: the checkpoint was not stored.
    ///
    /// A table that is throttled or unreachable is not an error: the write is retried while the
    /// lease is held.
    ///
    /// # Cancellation
    /// If the future is dropped, the acknowledgement stays, and is stored with the next checkpoint.
    pub async fn checkpoint_at(&self, record: &Record) -> Result<(), CheckpointError> {
        self.acknowledge_up_to(record.position())?;
        self.checkpoint().await
    }

    /// Stores what is acknowledged now in the lease's row, without waiting for
    /// `checkpoint_interval`, and waits for the write.
    ///
    /// # Errors
    /// [`CheckpointError::LeaseLost`]: the checkpoint was not stored.
    ///
    /// # Cancellation
    /// If the future is dropped, the checkpoint is stored all the same.
    pub async fn checkpoint(&self) -> Result<(), CheckpointError> {
        let (written, when_written) = oneshot::channel();
        if self.delivery.is_closed() {
            return Err(self.lost());
        }
        self.delivery.report(ReportKind::Write(WriteRequested { written }));
        when_written.await.map(drop).map_err(|_| self.lost())
    }

    /// The first phase of a two-phase checkpoint (KCL's `prepareCheckpoint`): stores the intended
    /// position, and `state`, in the lease's row. The checkpoint itself does not move until
    /// [`PreparedCheckpoint::commit`].
    ///
    /// If this worker crashes between the two phases, the next owner finds both in
    /// [`pending_checkpoint`](Self::pending_checkpoint), and can finish or undo the work. A later
    /// checkpoint at or beyond this record removes the pending one. `state` may have 100,000 bytes.
    ///
    /// # Errors
    /// As [`checkpoint_at`](Self::checkpoint_at), and [`CheckpointError::StateTooLarge`].
    ///
    /// # Cancellation
    /// If the future is dropped, the checkpoint is prepared all the same.
    pub async fn prepare_checkpoint(
        &self,
        record: &Record,
        state: Option<Vec<u8>>,
    ) -> Result<PreparedCheckpoint, CheckpointError> {
        self.only_one_lane()?;
        if let Some(bytes) = state.as_ref().map(Vec::len).filter(|bytes| *bytes > MAX_STATE_BYTES) {
            return Err(CheckpointError::StateTooLarge {
                shard: self.shard_id().clone(),
                bytes,
                most: MAX_STATE_BYTES,
            });
        }
        let position = record.position();
        if !self.delivery.was_handed_over(&position) {
            return Err(self.out_of_range(position));
        }
        self.delivery.prepare(Some(Pending { checkpoint: Checkpoint::At(position.clone()), state }));
        self.checkpoint().await?;
        Ok(PreparedCheckpoint { context: self.clone(), position })
    }

    /// The checkpoint that an earlier owner of the lease prepared and did not commit (KCL's
    /// `pendingCheckpointSequenceNumber` and `pendingCheckpointState`). Delivery starts after the
    /// last *committed* checkpoint, so the records up to the pending one are delivered again.
    #[must_use]
    pub fn pending_checkpoint(&self) -> Option<PendingCheckpoint> {
        let Pending { checkpoint, state } = self.delivery.claim.pending.clone()?;
        Some(PendingCheckpoint { checkpoint, state })
    }

    fn only_one_lane(&self) -> Result<(), CheckpointError> {
        if self.lanes > 1 {
            return Err(CheckpointError::Concurrent { shard: self.shard_id().clone(), lanes: self.lanes });
        }
        Ok(())
    }

    fn acknowledge_up_to(&self, position: Position) -> Result<(), CheckpointError> {
        self.only_one_lane()?;
        self.delivery.acknowledge_up_to(&position).map_err(|OutOfRange| self.out_of_range(position))
    }

    fn out_of_range(&self, position: Position) -> CheckpointError {
        CheckpointError::OutOfRange { shard: self.shard_id().clone(), position }
    }

    fn lost(&self) -> CheckpointError {
        CheckpointError::LeaseLost { shard: self.shard_id().clone() }
    }
}

impl PreparedCheckpoint {
    /// The second phase: acknowledges every record up to the prepared position, and waits until the
    /// checkpoint is stored.
    ///
    /// # Errors
    /// As [`ShardContext::checkpoint_at`].
    pub async fn commit(self) -> Result<(), CheckpointError> {
        self.context.acknowledge_up_to(self.position)?;
        self.context.checkpoint().await
    }
}
