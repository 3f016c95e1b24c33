//! A lease: which worker reads a shard, and how far it has come. KCL's row, with some attributes of our own.

use super::{CheckpointExtras, LeaseKey, SessionNumber, WorkerId};
use crate::record::{Checkpoint, ShardId, StreamId, StreamIdentity};

/// A shard's lease.
#[derive(Clone, Debug, PartialEq)]
pub struct Lease {
    /// The row's key.
    pub key: LeaseKey,
    /// The shard. In a table of one stream it is the key.
    pub shard: ShardId,
    /// Who holds it.
    pub owner: Option<Owner>,
    /// Moves with every write of the row; at a claim it becomes the fencing token.
    pub counter: u64,
    /// `kclCounter`: the counter after our last write. Another value there means another hand wrote.
    pub kcl_counter: Option<u64>,
    /// How far the shard is done.
    pub checkpoint: Checkpoint,
    /// What stands beside the checkpoint.
    pub extras: CheckpointExtras,
    /// How often the owner changed since the last checkpoint.
    pub owner_switches: u64,
    /// The shards this one came from: none, one after a split, two after a merge.
    pub parents: Vec<ShardId>,
    /// The shards this one ended in.
    pub children: Vec<ShardId>,
    /// Which hash keys the shard acquires.
    pub hash_range: Option<HashKeyRange>,
    /// `kclStream`: the stream the lease belongs to.
    pub stream: Option<StreamIdentity>,
    /// `kclStart`: what LATEST or AT_TIMESTAMP mean while that sentinel stands, in milliseconds since the Unix epoch.
    pub start_ms: Option<i64>,
    /// `kclUntil`: the moment before which the application ends, in milliseconds since the Unix epoch: the lease is a replay's.
    pub until_ms: Option<i64>,
    /// `streamName`: present in tables of several streams only.
    pub stream_name: Option<StreamId>,
}

/// The holder of a lease.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Owner {
    /// The worker.
    pub worker: WorkerId,
    /// `kclSession`: its session. Absent where another hand (Java) wrote the owner.
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
    /// A lease nobody held yet, as KCL and we create it.
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

    /// The key of another shard's lease, of the same stream.
    #[must_use]
    pub fn sibling(&self, shard: &ShardId) -> LeaseKey {
        LeaseKey::of(self.stream_name.as_ref(), shard)
    }

    /// Whether this worker's session holds it.
    #[must_use]
    pub fn is_held_by(&self, worker: &WorkerId, session: SessionNumber) -> bool {
        self.owner.as_ref().is_some_and(|owner| owner.worker == *worker && owner.session == Some(session))
    }

    /// Whether a hand that does not know our attributes (Java) wrote last.
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        self.kcl_counter != Some(self.counter)
    }
}
