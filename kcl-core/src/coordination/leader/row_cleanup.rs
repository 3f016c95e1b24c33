//! Deletes rows that ended workers left in the table, because with random worker ids every deploy
//! leaves some.

use super::term::Term;
use crate::clock::Time;
use crate::coordination::call::{CallId, LeaderCall};
use crate::coordination::effects::Effects;
use crate::lease::Write;
use crate::lease::row::{Assignment, Damaged, RowKey, Session, WorkerId};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long a session's row is kept after its end, for operators who inspect the table.
const KEPT_FOR: Duration = Duration::from_secs(120);
/// The most rows that are deleted at once: a heartbeat or a checkpoint must not wait behind
/// thousands of deletions.
const MOST_DELETED: usize = 100;

impl Term {
    /// After a full read: forgets what was written to assignment rows that show something else, so
    /// that they are written again.
    ///
    /// An assignment row of a later term would block all further ones, so it is deleted. It can
    /// exist only if the fleet row was removed by an external writer and created again before the
    /// leader of that term noticed. (If it is this worker that has not noticed yet, the other
    /// leader finds its row missing at its own next read.)
    pub(super) fn reclaim(&mut self, plans: &[Assignment], effects: &mut Effects) {
        for plan in plans.iter().filter(|plan| plan.term > self.number) {
            let (worker, term) = (plan.worker.clone(), plan.term);
            effects.write(
                CallId::Leader(LeaderCall::Collect(RowKey::Assignment(worker.clone()))),
                Write::DeleteAssignment { worker, term },
            );
        }
        let written: BTreeMap<&WorkerId, (u64, u64)> =
            plans.iter().map(|plan| (&plan.worker, (plan.term, plan.version))).collect();
        let number = self.number;
        self.sent.retain(|worker, sent| written.get(worker) == Some(&(number, sent.version)));
    }

    /// After a full read: deletes session rows that ended some time ago and that no lease names,
    /// then their assignment rows.
    ///
    /// If a claim of such a session is applied even later, its lease has an owner without a row,
    /// and becomes free once it was stale for `failover_time`.
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
            effects.write(
                CallId::Leader(LeaderCall::Collect(RowKey::Assignment(worker.clone()))),
                Write::DeleteAssignment { worker, term },
            );
        }
    }

    /// Deletes a part of the backlog. If a deletion fails, the next full read finds the row again.
    pub(super) fn delete_some(&mut self, effects: &mut Effects) {
        let rest = self.backlog.len().saturating_sub(MOST_DELETED);
        for (worker, number) in self.backlog.drain(rest..) {
            self.unnamed.remove(&worker);
            effects.write(
                CallId::Leader(LeaderCall::Collect(RowKey::Session(worker.clone()))),
                Write::DeleteSession { worker, number, own: false },
            );
        }
    }

    /// After a full read: handles rows of ours that cannot be parsed.
    ///
    /// Assignment and stream rows are deleted: the leader writes the former again, and shard sync
    /// the latter. A session's row is written again by its owner, if that is alive, so it is
    /// deleted only after a while. Any worker that reads the fleet row creates it again.
    pub(super) fn discard(&mut self, damaged: Vec<Damaged>, effects: &mut Effects) {
        let before: BTreeMap<String, (Damaged, Time)> =
            std::mem::take(&mut self.unread).into_iter().map(|(row, at)| (row.key.to_string(), (row, at))).collect();
        for row in damaged.into_iter().filter(Damaged::is_ours) {
            match row.key.clone() {
                RowKey::Assignment(_) | RowKey::Stream(_) => {
                    effects.write(CallId::Leader(LeaderCall::Collect(row.key.clone())), Write::Discard(row));
                }
                RowKey::Session(_) => {
                    let since = before.get(&row.key.to_string()).filter(|(known, _)| *known == row);
                    let since = since.map_or(effects.now, |(_, since)| *since);
                    if effects.now.since(since) >= KEPT_FOR {
                        effects.write(CallId::Leader(LeaderCall::Collect(row.key.clone())), Write::Discard(row));
                    } else {
                        self.unread.push((row, since));
                    }
                }
                RowKey::Fleet | RowKey::Lease(_) => {}
            }
        }
    }
}
