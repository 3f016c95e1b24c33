//! Stream rows of a table with several streams: where a stream's first leases start.

use super::{FleetStart, Lease, LeaseKey};
use crate::record::{Checkpoint, ShardId, StreamId, StreamIdentity};

/// The row `stream/<id>`. In a table of one stream, the fleet row contains the same data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamRow {
    /// The stream's id.
    pub id: StreamId,
    /// Where its first leases start; pinned when their creation began.
    pub start: FleetStart,
    /// True if its first leases are all created. The lease of a shard that is first listed after
    /// that starts at TRIM_HORIZON.
    pub filled: bool,
}

/// A stream, and how its leases are keyed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StreamKeys {
    /// The stream.
    pub(crate) identity: StreamIdentity,
    /// Its id in the table, if the table has several streams.
    pub(crate) id: Option<StreamId>,
    /// The end of the replay, if the application is one.
    pub(crate) until_ms: Option<i64>,
}

impl StreamKeys {
    /// A stream with a table of its own.
    #[cfg(test)]
    pub(crate) fn alone(identity: StreamIdentity) -> Self {
        StreamKeys { identity, id: None, until_ms: None }
    }

    /// Returns the key of a shard's lease.
    pub(crate) fn key(&self, shard: &ShardId) -> LeaseKey {
        LeaseKey::of(self.id.as_ref(), shard)
    }

    /// True if the lease belongs to this stream.
    pub(crate) fn has(&self, lease: &Lease) -> bool {
        lease.stream_name == self.id
    }

    /// Creates a lease without an owner.
    pub(crate) fn lease(&self, shard: ShardId, checkpoint: Checkpoint) -> Lease {
        Lease {
            key: self.key(&shard),
            stream: Some(self.identity.clone()),
            stream_name: self.id.clone(),
            until_ms: self.until_ms,
            ..Lease::unowned(shard, checkpoint)
        }
    }
}
