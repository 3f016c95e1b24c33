//! Defines the data that a lease row stores with its checkpoint: a prepared checkpoint, completed
//! records beyond the checkpoint, and quarantined keys before it.

use super::WorkerId;
use crate::record::{Checkpoint, Position};

/// Data stored with a checkpoint. Every checkpoint write replaces it, so it always belongs to the
/// current checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckpointExtras {
    /// A checkpoint that is prepared and not yet committed (KCL's `pendingCheckpoint`).
    pub pending: Option<Pending>,
    /// `kclCompleted`: the completed records beyond the checkpoint, in the library's own encoding.
    /// It names the checkpoint it belongs to.
    pub done: Option<Vec<u8>>,
    /// `kclQuarantined`: the quarantined keys, with their records before the checkpoint that are
    /// not handled yet.
    pub parked: Vec<QuarantinedKey>,
    /// `kclUnreadableBy`: the workers that released the lease because they could not read its
    /// shard, since its last successful read. The leader prefers other workers; a worker that finds
    /// enough names here keeps the lease.
    pub unreadable_by: Vec<WorkerId>,
}

/// The first phase of a checkpoint in two phases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// The checkpoint to commit.
    pub checkpoint: Checkpoint,
    /// The application's data for committing or undoing it.
    pub state: Option<Vec<u8>>,
}

/// One quarantined key. The table keeps the partition key, which may be personal data, and the
/// first 300 bytes of the handler's error until the key's last record is handled or dead-lettered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuarantinedKey {
    /// The partition key; absent for a record without one, which is quarantined by itself.
    pub key: Option<String>,
    /// Its records, in order. The first is the one that failed.
    pub positions: Vec<Position>,
    /// How many attempts the first record had.
    pub attempts: u32,
    /// The error of the last attempt.
    pub error: String,
    /// When the first arrived in the stream, in milliseconds since the Unix epoch.
    pub arrived_at_ms: i64,
    /// The operator's pending request for this key.
    pub wish: Option<QuarantineRequest>,
    /// Why the lease's owner refused the operator's last request.
    pub refused: Option<String>,
}

/// What an operator requests for a quarantined key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum QuarantineRequest {
    /// Its records are delivered to the handler again, in order, before any later record of the
    /// key.
    Resume,
    /// Its records go to the dead-letter sink, in order.
    DeadLetter,
}

impl CheckpointExtras {
    /// Returns the number of quarantined records.
    #[must_use]
    pub fn quarantined_records(&self) -> usize {
        self.parked.iter().map(|key| key.positions.len()).sum()
    }
}
