//! What a lease's row keeps beside its checkpoint: a prepared one, what is done beyond it, and what is parked before it.

use super::WorkerId;
use crate::record::{Checkpoint, Position};

/// Written with each checkpoint, so that it always belongs to that one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckpointExtras {
    /// A checkpoint that was prepared and not committed yet, as KCL has it.
    pub pending: Option<Pending>,
    /// `kclCompleted`: what is done beyond the checkpoint, in a form of the library's own. It names its checkpoint.
    pub done: Option<Vec<u8>>,
    /// `kclQuarantined`: keys in quarantine, with the records that the checkpoint passed and nobody has handled.
    pub parked: Vec<QuarantinedKey>,
    /// `kclUnreadableBy`: the workers that gave the lease up because they could not read its shard, since it was last read. The
    /// leader yields it to others first; whoever finds enough of them here keeps it.
    pub unreadable_by: Vec<WorkerId>,
}

/// The first phase of a checkpoint in two phases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Where it is to lead.
    pub checkpoint: Checkpoint,
    /// Whatever the application needs to finish or undo it.
    pub state: Option<Vec<u8>>,
}

/// One key in quarantine. The table keeps the partition key, which may be personal data, and the begin of the handler's error
/// (300 bytes) until the key's last record is handled or dead-lettered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuarantinedKey {
    /// The partition key; absent for a record that has none, which is parked alone.
    pub key: Option<String>,
    /// Its records, in order. The first is the one that failed.
    pub positions: Vec<Position>,
    /// How often the first was tried.
    pub attempts: u32,
    /// Why it failed at last.
    pub error: String,
    /// When the first arrived in the stream, in milliseconds since the Unix epoch.
    pub arrived_at_ms: i64,
    /// What a person wants to be done with it.
    pub wish: Option<QuarantineRequest>,
    /// Why the lease's owner did not do what a person wanted last.
    pub refused: Option<String>,
}

/// What is to become of a key in quarantine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum QuarantineRequest {
    /// Its records are handed to the handler again, in order, before any other of the key.
    Resume,
    /// Its records go to the dead-letter sink, in order.
    DeadLetter,
}

impl CheckpointExtras {
    /// How many records are parked.
    #[must_use]
    pub fn parked_records(&self) -> usize {
        self.parked.iter().map(|key| key.positions.len()).sum()
    }
}
