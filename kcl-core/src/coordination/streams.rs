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
    /// Which one, and how its leases are keyed.
    pub(crate) keys: StreamKeys,
    /// Where shards start that nobody has read yet.
    pub(crate) start: Start,
    /// How long it keeps records.
    pub(crate) retention: Duration,
}

/// All that a worker serves.
#[derive(Debug, Clone)]
pub(crate) enum Streams {
    /// One, which has the table for itself.
    One(Box<Served>),
    /// Any number, which share it.
    Several(BTreeMap<StreamId, Served>),
}

/// What happens to one of several streams while the worker runs.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    /// It is served from now on.
    Serve(Box<Served>),
    /// It is not served any more: its leases are released. And whether somebody wants to know who else serves it.
    Stop { stream: StreamId, asks: bool },
    /// The service does not know it any more.
    Missing(StreamId),
}

/// The streams, of several, that workers other than this one serve. One that died counts until the fleet has noticed.
pub(crate) fn served_by_others(table: &Table, me: &WorkerId) -> BTreeSet<StreamId> {
    let others = table.sessions.iter().filter(|session| session.worker != *me && !session.state.has_ended());
    others.flat_map(|session| session.streams.iter().flatten().cloned()).collect()
}

impl Streams {
    pub(crate) fn are_several(&self) -> bool {
        matches!(self, Streams::Several(_))
    }

    /// All that are served.
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

    /// A stream keeps records that long from now on.
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

    /// What the session's row says of them.
    pub(crate) fn ids(&self) -> Option<BTreeSet<StreamId>> {
        match self {
            Streams::One(_) => None,
            Streams::Several(served) => Some(served.keys().cloned().collect()),
        }
    }

    /// Serves one of several.
    pub(crate) fn serve(&mut self, stream: Served) {
        if let (Streams::Several(served), Some(id)) = (self, stream.keys.id.clone()) {
            served.insert(id, stream);
        }
    }

    /// Serves it no more. Tells whether it was served.
    pub(crate) fn stop(&mut self, id: &StreamId) -> bool {
        if let Streams::Several(served) = self { served.remove(id).is_some() } else { false }
    }
}
