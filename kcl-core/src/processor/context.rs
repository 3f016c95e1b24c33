//! What a handler may know of the shard it works for, and how it checkpoints by itself.

use super::delivery::{OutOfRange, ReportKind, ShardDelivery, WriteAsked};
use crate::lease::row::Pending;
use crate::record::{Checkpoint, Position, Record, ShardId, StreamIdentity, StreamRef};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// What a handler may know of the shard it works for. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ShardContext {
    delivery: Arc<ShardDelivery>,
    stream: StreamRef,
    lane: usize,
    lanes: usize,
}

/// The largest state of a prepared checkpoint, in bytes: DynamoDB allows a row 400 KB, of which quarantine may take 200.
const MOST_STATE: usize = 100_000;

/// Why a checkpoint was not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The record was not handed to this processor since it began to work for the shard.
    #[error("record {position} of shard `{shard}` was not handed over: only what was can be checkpointed")]
    OutOfRange {
        /// The shard.
        shard: ShardId,
        /// Where the checkpoint was to lead.
        position: Position,
    },
    /// The lease is lost or given up: another worker's checkpoints count.
    #[error("the lease of shard `{shard}` is not held any more: the checkpoint was not written")]
    LeaseLost {
        /// The shard.
        shard: ShardId,
    },
    /// The state of a prepared checkpoint is kept in the lease's row, and this one is too large for it.
    #[error(
        "the state of a prepared checkpoint of shard `{shard}` has {bytes} bytes: the lease's row has room for {most}"
    )]
    StateTooLarge {
        /// The shard.
        shard: ShardId,
        /// How large it is.
        bytes: usize,
        /// How large it may be.
        most: usize,
    },
    /// Several handlers work on the shard at a time: what lies before a record is not known to be done.
    #[error("shard `{shard}` is worked on by {lanes} handlers at a time: acknowledge record by record instead")]
    Concurrent {
        /// The shard.
        shard: ShardId,
        /// How many.
        lanes: usize,
    },
}

/// A checkpoint whose first phase is done.
#[derive(Debug)]
#[must_use = "a prepared checkpoint does not count until it is committed"]
pub struct PreparedCheckpoint {
    context: ShardContext,
    position: Position,
}

/// A checkpoint that an earlier owner prepared and did not commit.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PendingCheckpoint {
    /// Where it was to lead.
    pub checkpoint: Checkpoint,
    /// What that owner left to finish or undo it.
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

    /// The shard.
    #[must_use]
    pub fn shard_id(&self) -> &ShardId {
        self.delivery.shard()
    }

    /// The stream.
    #[must_use]
    pub fn stream(&self) -> &StreamRef {
        &self.stream
    }

    /// Which stream, for ever: its ARN and when it was created. (`None` only outside a worker, in tests of a processor.)
    #[must_use]
    pub fn stream_identity(&self) -> Option<&StreamIdentity> {
        self.delivery.hold.stream.as_ref()
    }

    /// The lease's key in the table: the shard's id in a table of one stream, with the stream before it in one of several.
    /// No two shards of an application have the same.
    #[must_use]
    pub fn lease_key(&self) -> &str {
        self.delivery.hold.lease.as_str()
    }

    /// Which of the shard's processors this one is, from 0: see [`Concurrency`](crate::Concurrency).
    #[must_use]
    pub fn lane(&self) -> usize {
        self.lane
    }

    /// Grows with every change of the lease's owner: an outside system that remembers, for each lease, the highest one it
    /// saw can refuse what a handler writes after it lost its lease. (It is the row's `leaseCounter` at the claim. Leases
    /// of different shards count each for itself: remember it by [`lease_key`](Self::lease_key).)
    ///
    /// A lease table that was restored from a backup, or deleted and created again, may count from a lower number: then the
    /// outside system refuses every handler. Stop the application, reset what that system remembers, and start it again.
    #[must_use]
    pub fn fencing_token(&self) -> u64 {
        self.delivery.fencing_token()
    }

    /// How long from now on no other worker can have the lease, if nothing more is heard from the table: zero once it is
    /// lost. Measured on this machine's clock, clock drift of 2.5 % allowed for.
    #[must_use]
    pub fn lease_time_left(&self) -> Duration {
        self.delivery.time_left()
    }

    /// Whether the lease is lost: what is done from now on may be done by another worker as well.
    #[must_use]
    pub fn is_lease_lost(&self) -> bool {
        self.delivery.is_closed()
    }

    /// Waits until the lease is lost.
    pub async fn lease_lost(&self) {
        self.delivery.closed().await;
    }

    /// Fires when the lease is lost: for work that a handler hands to other tasks.
    #[must_use]
    pub fn cancellation_token(&self) -> CancellationToken {
        self.delivery.closing()
    }

    /// Acknowledges everything up to and including this record, and waits until the lease's row says so.
    ///
    /// # Errors
    /// [`CheckpointError`]. After [`CheckpointError::OutOfRange`] and [`CheckpointError::Concurrent`] nothing has changed.
    ///
    /// # Cancellation
    /// The acknowledgement stays, and is written with the next checkpoint.
    pub async fn checkpoint_at(&self, record: &Record) -> Result<(), CheckpointError> {
        self.acknowledge_up_to(record.position())?;
        self.checkpoint().await
    }

    /// Waits until the lease's row says what is acknowledged now.
    ///
    /// # Errors
    /// [`CheckpointError::LeaseLost`].
    pub async fn checkpoint(&self) -> Result<(), CheckpointError> {
        let (written, when_written) = oneshot::channel();
        if self.delivery.is_closed() {
            return Err(self.lost());
        }
        self.delivery.report(ReportKind::Write(WriteAsked { written }));
        when_written.await.map(drop).map_err(|_| self.lost())
    }

    /// The first phase of a checkpoint in two (KCL's `prepareCheckpoint`): writes where it is to lead, and what whoever
    /// holds the lease next needs to finish it or to undo it, and moves nothing. Any later checkpoint at or beyond that
    /// record acquires it back.
    ///
    /// # Errors
    /// As [`checkpoint_at`](Self::checkpoint_at).
    pub async fn prepare_checkpoint(
        &self,
        record: &Record,
        state: Option<Vec<u8>>,
    ) -> Result<PreparedCheckpoint, CheckpointError> {
        self.only_one_lane()?;
        if let Some(bytes) = state.as_ref().map(Vec::len).filter(|bytes| *bytes > MOST_STATE) {
            return Err(CheckpointError::StateTooLarge { shard: self.shard_id().clone(), bytes, most: MOST_STATE });
        }
        let position = record.position();
        if !self.delivery.was_handed_over(&position) {
            return Err(self.out_of_range(position));
        }
        self.delivery.prepare(Some(Pending { checkpoint: Checkpoint::At(position.clone()), state }));
        self.checkpoint().await?;
        Ok(PreparedCheckpoint { context: self.clone(), position })
    }

    /// A checkpoint that an earlier owner of the lease prepared and did not commit (KCL's
    /// `pendingCheckpointSequenceNumber` and `pendingCheckpointState`). Records from the last checkpoint on come again, so
    /// those before it too.
    #[must_use]
    pub fn pending_checkpoint(&self) -> Option<PendingCheckpoint> {
        let Pending { checkpoint, state } = self.delivery.hold.pending.clone()?;
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
    /// The second phase: the checkpoint counts.
    ///
    /// # Errors
    /// As [`ShardContext::checkpoint_at`].
    pub async fn commit(self) -> Result<(), CheckpointError> {
        self.context.acknowledge_up_to(self.position)?;
        self.context.checkpoint().await
    }
}
