//! A stream's row, in tables of several: where its first leases start.

use super::{FleetStart, Lease, LeaseKey};
use crate::record::{Checkpoint, ShardId, StreamId, StreamIdentity};

/// The row `stream/<id>`: what the fleet row says of a table's only stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamRow {
    /// Which stream.
    pub id: StreamId,
    /// Where its first leases start, pinned when their first fill began.
    pub start: FleetStart,
    /// Whether that fill is complete: a shard first seen later starts at TRIM_HORIZON.
    pub filled: bool,
}

/// Whose leases: a stream, and how its leases are keyed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StreamKeys {
    /// The stream.
    pub(crate) identity: StreamIdentity,
    /// Its name in the table, if that has several streams.
    pub(crate) id: Option<StreamId>,
    /// The moment before which the application ends, where it is a replay.
    pub(crate) until_ms: Option<i64>,
}

impl StreamKeys {
    /// A stream that has a table of its own.
    #[cfg(test)]
    pub(crate) fn alone(identity: StreamIdentity) -> Self {
        StreamKeys { identity, id: None, until_ms: None }
    }

    /// The lease's key of one of its shards.
    pub(crate) fn key(&self, shard: &ShardId) -> LeaseKey {
        LeaseKey::of(self.id.as_ref(), shard)
    }

    /// Whether the lease is one of its own.
    pub(crate) fn has(&self, lease: &Lease) -> bool {
        lease.stream_name == self.id
    }

    /// A lease nobody held yet.
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
