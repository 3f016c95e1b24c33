//! Lease rows: which worker reads a shard, and up to where it is processed. KCL's row with
//! additional attributes.

use super::{CheckpointExtras, LeaseKey, SessionNumber, WorkerId};
use crate::record::{Checkpoint, ShardId, StreamId, StreamIdentity};

/// A shard's lease.
#[derive(Clone, Debug, PartialEq)]
pub struct Lease {
    /// The row's key.
    pub key: LeaseKey,
    /// The shard. In a table of one stream, it is also the row's key.
    pub shard: ShardId,
    /// The owner.
    pub owner: Option<Owner>,
    /// Increases with every write of the row. The value after a claim is the owner's fencing token.
    pub counter: u64,
    /// `kclCounter`: the counter after our last write. A different `counter` shows that an external
    /// writer (Java KCL) wrote the row since.
    pub kcl_counter: Option<u64>,
    /// The position up to which the shard is processed.
    pub checkpoint: Checkpoint,
    /// Data stored with the checkpoint.
    pub extras: CheckpointExtras,
    /// How often the owner changed since the last checkpoint.
    pub owner_switches: u64,
    /// The shards this one came from: none, one after a split, two after a merge.
    pub parents: Vec<ShardId>,
    /// The shards that replaced this one when it was split or merged.
    pub children: Vec<ShardId>,
    /// The hash keys of the shard.
    pub hash_range: Option<HashKeyRange>,
    /// `kclStream`: the stream the lease belongs to.
    pub stream: Option<StreamIdentity>,
    /// `kclStart`: the instant that LATEST or AT_TIMESTAMP stand for while `checkpoint` is one of
    /// them, in milliseconds since the Unix epoch.
    pub start_ms: Option<i64>,
    /// `kclUntil`: the end of the replay that the lease belongs to, in milliseconds since the Unix
    /// epoch. Records that arrived at or after it are not read.
    pub until_ms: Option<i64>,
    /// `streamName`: present only in tables of several streams.
    pub stream_name: Option<StreamId>,
}

/// The owner of a lease.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Owner {
    /// The worker.
    pub worker: WorkerId,
    /// `kclSession`: its session. Absent if an external writer (Java KCL) set the owner.
    pub session: Option<SessionNumber>,
}

/// An inclusive range of hash keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HashKeyRange {
    /// The lowest key.
    pub start: u128,
    /// The highest key.
    pub end: u128,
}

impl Lease {
    /// Creates a lease without an owner, as KCL does.
    #[must_use]
    pub fn unowned(shard: ShardId, checkpoint: Checkpoint) -> Self {
        Lease {
            key: LeaseKey::from(&shard),
            shard,
            owner: None,
            counter: 0,
            kcl_counter: Some(0),
            checkpoint,
            extras: CheckpointExtras::default(),
            owner_switches: 0,
            parents: Vec::new(),
            children: Vec::new(),
            hash_range: None,
            stream: None,
            start_ms: None,
            until_ms: None,
            stream_name: None,
        }
    }

    /// Returns the key of another shard's lease, of the same stream.
    #[must_use]
    pub fn sibling(&self, shard: &ShardId) -> LeaseKey {
        LeaseKey::of(self.stream_name.as_ref(), shard)
    }

    /// True if this worker's session owns it.
    #[must_use]
    pub fn is_held_by(&self, worker: &WorkerId, session: SessionNumber) -> bool {
        self.owner.as_ref().is_some_and(|owner| owner.worker == *worker && owner.session == Some(session))
    }

    /// True if a writer that does not know our attributes (Java KCL) wrote the row last.
    #[must_use]
    pub fn was_written_externally(&self) -> bool {
        self.kcl_counter != Some(self.counter)
    }
}
