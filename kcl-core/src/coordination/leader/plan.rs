//! Runs the last part of a cycle: decides who reads which lease, and writes the assignment rows
//! that changed.

use super::explain::Known;
use super::instructions::{Instructions, Plan};
use super::problem::problem;
use super::sessions::Sessions;
use super::stage::Stage;
use super::term::Term;
use crate::config::BalanceBy;
use crate::coordination::call::{CallId, LeaderCall};
use crate::coordination::effects::Effects;
use crate::coordination::event::{CoordinationEvent, explanations_are_wanted, planning};
use crate::lease::row::{Assignment, SessionState, WorkerId};
use crate::lease::{Write, next};
use crate::record::StreamId;
use std::collections::{BTreeMap, BTreeSet};

/// At least this many leases may move at a time, so that small fleets rebalance at once.
const FEWEST_MOVES: usize = 16;

impl Term {
    /// Decides, and writes the rows that changed. The fleet row's version, which makes them valid,
    /// is written after them.
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
            effects.write(CallId::Leader(LeaderCall::Assignment(worker.clone())), Write::Assignment(plan));
        }
        let left = rows.iter().map(|(worker, _)| worker.clone()).collect();
        self.stage = Stage::Publishing { left, failed: false, rows };
    }

    /// Emits the explanations that changed, if the log target is enabled.
    fn explain(&mut self, effects: &mut Effects) {
        if !explanations_are_wanted() {
            return self.explained.clear();
        }
        let mut problem = problem(
            &self.leases,
            &self.unconfirmed_children,
            &self.sessions,
            &self.stale_owners,
            self.config.stale_after,
        );
        if self.config.balance_by == BalanceBy::Bytes {
            problem.weights = self.weights.of(&problem.leases);
        }
        let known = Known {
            leases: &self.leases,
            sessions: &self.sessions,
            stale_owners: &self.stale_owners,
            stale_after: self.config.stale_after,
            pending_moves: &self.pending_moves,
            now: Some(effects.now),
        };
        let mut explained = BTreeMap::new();
        for (lease, reason) in known.explain(&problem) {
            let timeless = reason.clone().timeless();
            if self.explained.get(&lease.key) != Some(&timeless) {
                effects.emit(CoordinationEvent::Explained { lease: lease.key.clone(), reason });
            }
            explained.insert(lease.key.clone(), timeless);
        }
        self.explained = explained;
    }

    /// Returns the instructions that differ from their workers' rows.
    fn decide(&mut self, effects: &mut Effects) -> Vec<(WorkerId, Instructions)> {
        if self.draining {
            self.sessions.drain_me();
        }
        let by = self.config.balance_by;
        if by == BalanceBy::Bytes {
            self.weights.learn(&self.leases, &self.sessions, effects.now);
        }
        let mut problem = problem(
            &self.leases,
            &self.unconfirmed_children,
            &self.sessions,
            &self.stale_owners,
            self.config.stale_after,
        );
        if by == BalanceBy::Bytes {
            problem.weights = self.weights.of(&problem.leases);
        }
        for worker in
            self.unclaimed_ownership.update(&self.leases, &self.sessions, effects.now, self.config.failover_time)
        {
            self.sent.remove(&worker);
        }
        problem.unclaimed_ownership = self.unclaimed_ownership.of(self.leases.values());
        for (lease, worker) in self.pending_moves.review(&problem, self.config.bounds, effects.now) {
            self.sent.remove(&worker);
            effects.emit(CoordinationEvent::PromiseLapsed { lease, worker });
        }
        let moves = FEWEST_MOVES.max(self.leases.len() / 5);
        let Plan { mut instructions, unassignable } = self.pending_moves.instructions(&problem, moves, by, effects.now);
        self.unassignable.update(unassignable, problem.members.len(), effects);
        for (worker, lists) in lists(&self.sessions, &self.me) {
            instructions.entry(worker).or_default().lists = lists;
        }
        let live: BTreeSet<&WorkerId> = self.sessions.live().map(|session| &session.worker).collect();
        self.sent.retain(|worker, _| live.contains(worker));
        let mut rows = Vec::new();
        for worker in live {
            let order = instructions.remove(worker).unwrap_or_default();
            if self.sent.get(worker).is_none_or(|sent| !sent.instructions.is_equivalent(&order)) {
                rows.push((worker.clone(), order));
            }
        }
        rows
    }
}

/// Returns the streams that each worker lists: the leader all streams that it serves, because it
/// reads the table anyway; of the others, each is listed by the worker that joined first among
/// those that serve it.
pub(super) fn lists(sessions: &Sessions, leader: &WorkerId) -> BTreeMap<WorkerId, Vec<StreamId>> {
    let mut active: Vec<_> = sessions.live().filter(|session| session.state == SessionState::Active).collect();
    active.sort_by_key(|session| (session.worker != *leader, session.number));
    let (mut lists, mut listed): (BTreeMap<WorkerId, Vec<StreamId>>, BTreeSet<&StreamId>) = Default::default();
    for session in active {
        for stream in session.streams.iter().flatten().filter(|stream| listed.insert(*stream)) {
            lists.entry(session.worker.clone()).or_default().push(stream.clone());
        }
    }
    lists
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Time;
    use crate::lease::row::Session;
    use std::time::Duration;

    #[test]
    fn each_stream_is_listed_by_one_worker_that_serves_it_preferably_the_leader() {
        let me = WorkerId::from_row("leader");
        let mut sessions = Sessions::new(me.clone(), Duration::from_secs(10));
        let mut see = |name: &str, number, state, streams: &[&str]| {
            let streams = Some(streams.iter().map(StreamId::new).collect());
            let worker = WorkerId::from_row(name);
            let session = Session {
                worker,
                number,
                tag: 0,
                heartbeat: 0,
                state,
                capacity: None,
                load: 0,
                weights: None,
                streams,
                profile: crate::lease::WorkerProfile::default(),
            };
            sessions.observe(session, Time::ZERO);
        };
        see("leaving", 1, SessionState::Draining, &["1:d:2"]);
        see("first", 2, SessionState::Active, &["1:a:2", "1:c:2"]);
        see("leader", 3, SessionState::Active, &["1:a:2", "1:b:2"]);
        see("last", 4, SessionState::Active, &["1:b:2", "1:c:2"]);
        let ids = |names: &[&str]| names.iter().map(StreamId::new).collect::<Vec<_>>();
        let expected = [(WorkerId::from_row("first"), ids(&["1:c:2"])), (me.clone(), ids(&["1:a:2", "1:b:2"]))];
        assert_eq!(lists(&sessions, &me), BTreeMap::from(expected));
    }
}
