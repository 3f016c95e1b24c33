//! Clearing away what workers that have ended left in the table: under random worker ids every deploy leaves rows.

use super::term::Term;
use crate::clock::Time;
use crate::coordination::effects::{CallId, Effects};
use crate::lease::Write;
use crate::lease::row::{Assignment, Damaged, RowKey, Session, WorkerId};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A session's row stays so long after its end, for those who look at a table.
const KEPT_FOR: Duration = Duration::from_secs(120);
/// Rows that are deleted at once: a heartbeat or a checkpoint must not wait behind thousands of them.
const MOST_DELETED: usize = 100;

impl Term {
    /// After a full read: plan rows that do not say what this term has told are told again.
    ///
    /// A row of a later term is in the way of all that follow. There cannot be one, unless the fleet row was removed by hand
    /// and made again while the leader of that term did not know it yet; so it goes. (Should this worker be the one that
    /// does not know it yet, the other finds the row missing at its own next read.)
    pub(super) fn reclaim(&mut self, plans: &[Assignment], effects: &mut Effects) {
        for plan in plans.iter().filter(|plan| plan.term > self.number) {
            let (worker, term) = (plan.worker.clone(), plan.term);
            effects
                .write(CallId::Collect(RowKey::Assignment(worker.clone())), Write::DeleteAssignment { worker, term });
        }
        let written: BTreeMap<&WorkerId, (u64, u64)> =
            plans.iter().map(|plan| (&plan.worker, (plan.term, plan.version))).collect();
        let number = self.number;
        self.sent.retain(|worker, sent| written.get(worker) == Some(&(number, sent.version)));
    }

    /// After a full read: deletes the rows of sessions that ended a while ago and that no lease names, then their plans.
    ///
    /// A claim of such a session that arrives even later leaves an owner without a row: the lease is free once it stood
    /// still for `failover_time`.
    pub(super) fn collect(&mut self, plans: &[Assignment], effects: &mut Effects) {
        let named: BTreeSet<&WorkerId> =
            self.leases.values().filter_map(|lease| Some(&lease.owner.as_ref()?.worker)).collect();
        let ended: Vec<Session> =
            self.sessions.ended().filter(|session| !named.contains(&session.worker)).cloned().collect();
        let workers: BTreeSet<&WorkerId> = ended.iter().map(|session| &session.worker).collect();
        self.unnamed.retain(|worker, _| workers.contains(worker));
        self.backlog.clear();
        for session in ended {
            let since: Time = *self.unnamed.entry(session.worker.clone()).or_insert(effects.now);
            if effects.now.since(since) >= KEPT_FOR {
                self.backlog.push((session.worker, session.number));
            }
        }
        self.delete_some(effects);
        for plan in plans.iter().filter(|plan| !self.sessions.is_known(&plan.worker)).take(MOST_DELETED) {
            let (worker, term) = (plan.worker.clone(), self.number());
            effects
                .write(CallId::Collect(RowKey::Assignment(worker.clone())), Write::DeleteAssignment { worker, term });
        }
    }

    /// Deletes some of what is left to be cleared away. A row whose deletion fails is found again by the next full read.
    pub(super) fn delete_some(&mut self, effects: &mut Effects) {
        let rest = self.backlog.len().saturating_sub(MOST_DELETED);
        for (worker, number) in self.backlog.drain(rest..) {
            self.unnamed.remove(&worker);
            effects.write(
                CallId::Collect(RowKey::Session(worker.clone())),
                Write::DeleteSession { worker, number, own: false },
            );
        }
    }

    /// After a full read: rows of ours that cannot be read.
    ///
    /// A plan row makes room for the next one, and a stream's for one that its leases tell. The fleet row is made again by whoever looks at it next, and a session's by
    /// its owner.
    pub(super) fn discard(&mut self, damaged: Vec<Damaged>, effects: &mut Effects) {
        let before: BTreeMap<String, (Damaged, Time)> =
            std::mem::take(&mut self.unread).into_iter().map(|(row, at)| (row.key.to_string(), (row, at))).collect();
        for row in damaged.into_iter().filter(Damaged::is_ours) {
            match row.key.clone() {
                RowKey::Assignment(_) | RowKey::Stream(_) => {
                    effects.write(CallId::Collect(row.key.clone()), Write::Discard(row));
                }
                RowKey::Session(_) => {
                    let since = before.get(&row.key.to_string()).filter(|(known, _)| *known == row);
                    let since = since.map_or(effects.now, |(_, since)| *since);
                    if effects.now.since(since) >= KEPT_FOR {
                        effects.write(CallId::Collect(row.key.clone()), Write::Discard(row));
                    } else {
                        self.unread.push((row, since));
                    }
                }
                RowKey::Fleet | RowKey::Lease(_) => {}
            }
        }
    }
}
