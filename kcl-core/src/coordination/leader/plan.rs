//! A cycle's last part: decides who reads what, and writes the rows that say something new.

use super::explain::Known;
use super::instructions::{Instructions, Planned};
use super::lists;
use super::problem::problem;
use super::stage::Stage;
use super::term::Term;
use crate::config::BalanceBy;
use crate::coordination::effects::{CallId, Effects};
use crate::lease::row::{Assignment, WorkerId};
use crate::lease::{Write, next};
use crate::telemetry::event::coordination::{CoordinationEvent, explanations_are_wanted, planning};
use std::collections::{BTreeMap, BTreeSet};

/// At least so many leases may be on the move at once.
const FEWEST_MOVES: usize = 16;

impl Term {
    /// Decides, and writes what is new.
    pub(super) fn plan(&mut self, effects: &mut Effects) {
        let rows = planning().in_scope(|| self.decide(effects));
        self.explain(effects);
        if rows.is_empty() {
            return self.finish(effects);
        }
        let version = next(self.version);
        for (worker, order) in &rows {
            let plan = Assignment {
                worker: worker.clone(),
                term: self.number,
                version,
                acquires: order.acquires.clone(),
                yields: order.yields.clone(),
                lists: order.lists.clone(),
            };
            effects.write(CallId::PlanOf(worker.clone()), Write::Assignment(plan));
        }
        let left = rows.iter().map(|(worker, _)| worker.clone()).collect();
        self.stage = Stage::Telling { left, failed: false, rows };
    }

    /// Tells why leases are where they are, as far as that is news, if anybody listens.
    fn explain(&mut self, effects: &mut Effects) {
        if !explanations_are_wanted() {
            return self.explained.clear();
        }
        let mut problem =
            problem(&self.leases, &self.unconfirmed_children, &self.sessions, &self.resting, self.settings.patience);
        if self.settings.balance_by == BalanceBy::Bytes {
            problem.weights = self.weights.of(&problem.leases);
        }
        let known = Known {
            leases: &self.leases,
            sessions: &self.sessions,
            resting: &self.resting,
            patience: self.settings.patience,
            pending_moves: &self.pending_moves,
            now: Some(effects.now),
        };
        let mut explained = BTreeMap::new();
        for (lease, reason) in known.explain(&problem) {
            let timeless = reason.clone().timeless();
            if self.explained.get(&lease.key) != Some(&timeless) {
                effects.tell(CoordinationEvent::Explained { lease: lease.key.clone(), reason });
            }
            explained.insert(lease.key.clone(), timeless);
        }
        self.explained = explained;
    }

    /// Who is to be told something else than what its row says, and what.
    fn decide(&mut self, effects: &mut Effects) -> Vec<(WorkerId, Instructions)> {
        if self.draining {
            self.sessions.drain_me();
        }
        let by = self.settings.balance_by;
        if by == BalanceBy::Bytes {
            self.weights.learn(&self.leases, &self.sessions, effects.now);
        }
        let mut problem =
            problem(&self.leases, &self.unconfirmed_children, &self.sessions, &self.resting, self.settings.patience);
        if by == BalanceBy::Bytes {
            problem.weights = self.weights.of(&problem.leases);
        }
        for worker in
            self.unclaimed_ownership.look(&self.leases, &self.sessions, effects.now, self.settings.failover_time)
        {
            self.sent.remove(&worker);
        }
        problem.unclaimed_ownership = self.unclaimed_ownership.of(self.leases.values());
        for (lease, worker) in self.pending_moves.review(&problem, self.settings.bounds, effects.now) {
            self.sent.remove(&worker);
            effects.tell(CoordinationEvent::PromiseLapsed { lease, worker });
        }
        let moves = FEWEST_MOVES.max(self.leases.len() / 5);
        let Planned { mut instructions, unassignable } =
            self.pending_moves.instructions(&problem, moves, by, effects.now);
        self.unassignable.see(unassignable, problem.members.len(), effects);
        for (worker, lists) in lists::lists(&self.sessions, &self.me) {
            instructions.entry(worker).or_default().lists = lists;
        }
        let live: BTreeSet<&WorkerId> = self.sessions.live().map(|session| &session.worker).collect();
        self.sent.retain(|worker, _| live.contains(worker));
        let mut rows = Vec::new();
        for worker in live {
            let order = instructions.remove(worker).unwrap_or_default();
            if self.sent.get(worker).is_none_or(|sent| !sent.instructions.says_the_same(&order)) {
                rows.push((worker.clone(), order));
            }
        }
        rows
    }
}
