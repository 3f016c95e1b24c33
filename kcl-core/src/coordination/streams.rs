//! The streams that a worker serves, and which of them a lease belongs to. Pure.

use crate::config::Start;
use crate::lease::Table;
use crate::lease::row::{LeaseKey, StreamKeys, WorkerId};
use crate::record::{ShardId, StreamId};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A stream that a worker serves.
#[derive(Debug, Clone)]
pub(crate) struct Served {
    /// Its identity, and the form of its lease keys.
    pub(crate) keys: StreamKeys,
    /// The start of shards that were never read.
    pub(crate) start: Start,
    /// The time for which the stream keeps records.
    pub(crate) retention: Duration,
}

/// The streams that a worker serves.
#[derive(Debug, Clone)]
pub(crate) enum Streams {
    /// One stream, which has the table to itself.
    One(Box<Served>),
    /// Any number of streams, which share the table.
    Several(BTreeMap<StreamId, Served>),
}

/// A change of one of several streams while the worker runs.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    /// The worker serves the stream from now on.
    Serve(Box<Served>),
    /// The worker stops serving the stream and releases its leases. `asks`: the caller also wants to
    /// know whether other workers serve it.
    Stop { stream: StreamId, asks: bool },
    /// The stream no longer exists.
    Missing(StreamId),
}

/// The streams, of several, that other workers serve. A dead worker counts until its session has
/// ended.
pub(crate) fn served_by_others(table: &Table, me: &WorkerId) -> BTreeSet<StreamId> {
    let others = table.sessions.iter().filter(|session| session.worker != *me && !session.state.has_ended());
    others.flat_map(|session| session.streams.iter().flatten().cloned()).collect()
}

impl Streams {
    pub(crate) fn are_several(&self) -> bool {
        matches!(self, Streams::Several(_))
    }

    /// All served streams.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Served> {
        let (one, several) = match self {
            Streams::One(served) => (Some(&**served), None),
            Streams::Several(served) => (None, Some(served.values())),
        };
        one.into_iter().chain(several.into_iter().flatten())
    }

    /// The served stream of that name; `None` names the only one.
    pub(crate) fn get(&self, id: Option<&StreamId>) -> Option<&Served> {
        match (self, id) {
            (Streams::One(served), _) => Some(served),
            (Streams::Several(served), Some(id)) => served.get(id),
            (Streams::Several(_), None) => None,
        }
    }

    /// The stream of a lease, if it is served.
    pub(crate) fn of(&self, lease: &LeaseKey) -> Option<&Served> {
        self.get(self.id_of(lease).as_ref())
    }

    /// The stream's retention has changed.
    pub(crate) fn set_retention(&mut self, id: Option<&StreamId>, retention: Duration) {
        let served = match (self, id) {
            (Streams::One(served), _) => Some(&mut **served),
            (Streams::Several(served), Some(id)) => served.get_mut(id),
            (Streams::Several(_), None) => None,
        };
        if let Some(served) = served {
            served.retention = retention;
        }
    }

    /// The key of another shard's lease, of the same stream.
    pub(crate) fn sibling_key(&self, lease: &LeaseKey, shard: &ShardId) -> LeaseKey {
        LeaseKey::of(self.id_of(lease).as_ref(), shard)
    }

    fn id_of(&self, lease: &LeaseKey) -> Option<StreamId> {
        if self.are_several() { lease.stream() } else { None }
    }

    /// The ids of the streams, as the session's row names them; `None` for a single stream.
    pub(crate) fn ids(&self) -> Option<BTreeSet<StreamId>> {
        match self {
            Streams::One(_) => None,
            Streams::Several(served) => Some(served.keys().cloned().collect()),
        }
    }

    /// Adds a stream, one of several.
    pub(crate) fn serve(&mut self, stream: Served) {
        if let (Streams::Several(served), Some(id)) = (self, stream.keys.id.clone()) {
            served.insert(id, stream);
        }
    }

    /// Removes a stream. Returns true if it was served.
    pub(crate) fn stop(&mut self, id: &StreamId) -> bool {
        if let Streams::Several(served) = self { served.remove(id).is_some() } else { false }
    }
}
