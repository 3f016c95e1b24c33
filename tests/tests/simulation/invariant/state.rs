//! Reconstructs the table and its sessions from the facts, as of each event.

use crate::world::history::{Fact, Name};
use kcl_core::lease::{Lease, LeaseKey, Row, RowKey, Session, SessionNumber, WorkerId};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Default)]
pub(super) struct State {
    rows: BTreeMap<RowKey, Row>,
    /// The sessions that each process registered.
    sessions: BTreeMap<Name, BTreeSet<SessionNumber>>,
    /// The last session of each worker, and whether it has ended. An end is final, whatever happens
    /// to the row.
    last: BTreeMap<WorkerId, (SessionNumber, bool)>,
    /// Leases that an external writer changed: their state is unknown from then on.
    tampered: BTreeSet<LeaseKey>,
}

impl State {
    /// Applies an event.
    pub(super) fn apply(&mut self, fact: &Fact) {
        let Fact::Changed { by, key, before, after, .. } = fact else { return };
        match after {
            Some(row) => drop(self.rows.insert(key.clone(), row.clone())),
            None => drop(self.rows.remove(key)),
        }
        if let Some(session) = after.as_ref().and_then(Row::as_session) {
            let known = self.last.entry(session.worker.clone()).or_default();
            *known = (session.number, session.state.has_ended()).max(*known);
        }
        match (key, by) {
            (RowKey::Session(_), Some(process)) => {
                let number = |row: &Option<Row>| row.as_ref().and_then(Row::as_session).map(|session| session.number);
                if let Some(new) = number(after).filter(|new| number(before) != Some(*new)) {
                    self.sessions.entry(process.clone()).or_default().insert(new);
                }
            }
            (RowKey::Lease(lease), None) => drop(self.tampered.insert(lease.clone())),
            (RowKey::Session(_) | RowKey::Lease(_) | RowKey::Fleet | RowKey::Assignment(_) | RowKey::Stream(_), _) => {}
        }
    }

    pub(super) fn lease(&self, shard: &str) -> Option<&Lease> {
        self.rows.get(&RowKey::Lease(LeaseKey::new(shard)))?.as_lease()
    }

    pub(super) fn session(&self, worker: &WorkerId) -> Option<&Session> {
        self.rows.get(&RowKey::Session(worker.clone()))?.as_session()
    }

    /// True if that session has ended.
    pub(super) fn has_ended(&self, worker: &WorkerId, session: SessionNumber) -> bool {
        self.last.get(worker).is_some_and(|(last, ended)| *last > session || (*last == session && *ended))
    }

    /// True if the process registered this session.
    pub(super) fn is_its(&self, process: &Name, session: SessionNumber) -> bool {
        self.sessions.get(process).is_some_and(|sessions| sessions.contains(&session))
    }

    /// True if an external writer changed the lease.
    pub(super) fn is_tampered(&self, shard: &str) -> bool {
        self.tampered.contains(&LeaseKey::new(shard))
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.values()
    }
}

/// The lease before and after a change by a process.
pub(super) fn lease_change(fact: &Fact) -> Option<(&Name, Option<&Lease>, Option<&Lease>)> {
    match fact {
        Fact::Changed { by: Some(by), key: RowKey::Lease(_), before, after, .. } => {
            Some((by, before.as_ref().and_then(Row::as_lease), after.as_ref().and_then(Row::as_lease)))
        }
        _ => None,
    }
}
