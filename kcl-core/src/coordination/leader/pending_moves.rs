//! Tracks pending moves: which worker is to acquire which lease, since when, and which moves have
//! expired.

use super::assign::Ownership;
use super::problem::Problem;
use super::unreadable;
use crate::clock::Time;
use crate::lease::row::{AcquireMode, LeaseKey, WorkerId};
use std::collections::BTreeMap;
use std::time::Duration;

/// Time limits of pending moves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// To acquire a free lease.
    pub(crate) free: Duration,
    /// To acquire a lease after its live owner has released it.
    pub(crate) after_owner: Duration,
    /// How long a worker whose move expired is avoided.
    pub(crate) avoided: Duration,
}

#[derive(Debug, Default)]
pub(crate) struct PendingMoves {
    pub(super) open: BTreeMap<LeaseKey, PendingMove>,
    pub(super) avoided: BTreeMap<WorkerId, Time>,
    /// Leases that their owners were instructed to release, and since when. They may be released
    /// even if the leader has decided otherwise since.
    pub(super) given: BTreeMap<LeaseKey, Time>,
    /// Whether the last assignment moved leases between members.
    pub(super) moving: bool,
}

/// A lease that a worker was instructed to acquire.
#[derive(Debug, Clone)]
pub(super) struct PendingMove {
    pub(super) to: WorkerId,
    pub(super) since: Time,
    pub(super) mode: AcquireMode,
    /// When the last read that showed the lease was sent.
    pub(super) shown: Time,
}

impl PendingMoves {
    /// The leases with a pending move.
    #[cfg(test)]
    pub(crate) fn open(&self) -> impl Iterator<Item = &LeaseKey> {
        self.open.keys()
    }

    /// The leases that may change their owner, and have to be read.
    pub(crate) fn on_the_move(&self) -> impl Iterator<Item = &LeaseKey> {
        self.open.keys().chain(self.given.keys().filter(|lease| !self.open.contains_key(*lease)))
    }

    /// Whether a move of the lease to this worker is pending.
    #[cfg(test)]
    pub(super) fn is_pending_for(&self, lease: &LeaseKey, worker: &WorkerId) -> bool {
        self.of(lease, None).is_some_and(|(to, _)| to == worker)
    }

    /// The target of the lease's pending move, and how long it has been pending.
    pub(super) fn of(&self, lease: &LeaseKey, now: Option<Time>) -> Option<(&WorkerId, Option<Duration>)> {
        let pending_move = self.open.get(lease)?;
        Some((&pending_move.to, now.map(|now| now.since(pending_move.since))))
    }

    /// Records a move that was added to the rows.
    pub(super) fn record(&mut self, lease: LeaseKey, to: WorkerId, since: Time, mode: AcquireMode) {
        if mode == AcquireMode::After {
            self.given.insert(lease.clone(), since);
        }
        match self.open.get_mut(&lease) {
            // The lease has an owner again, which gets the full time to release it.
            Some(pending_move) if pending_move.mode == AcquireMode::Now && mode == AcquireMode::After => {
                *pending_move = PendingMove { to, since, mode, shown: since };
            }
            Some(_) => {}
            None => drop(self.open.insert(lease, PendingMove { to, since, mode, shown: since })),
        }
    }

    /// The workers that are avoided because a move of theirs expired.
    pub(super) fn avoided(&self) -> impl Iterator<Item = &WorkerId> {
        self.avoided.keys()
    }

    /// Records that a read that was sent at this time showed the lease.
    pub(crate) fn shown(&mut self, lease: &LeaseKey, sent: Time) {
        if let Some(pending_move) = self.open.get_mut(lease) {
            pending_move.shown = pending_move.shown.max(sent);
        }
    }

    /// The leases whose moves are overdue. They are read before the moves expire.
    pub(crate) fn overdue(&self, bounds: Bounds, now: Time) -> impl Iterator<Item = &LeaseKey> {
        self.open.iter().filter(move |(_, pending_move)| pending_move.is_overdue(bounds, now)).map(|(lease, _)| lease)
    }

    /// Whether a move is overdue, so that the table is read before it expires.
    pub(crate) fn has_overdue(&self, bounds: Bounds, now: Time) -> bool {
        self.overdue(bounds, now).next().is_some()
    }

    /// Removes completed and expired moves, and marks the workers whose moves expired as avoided.
    /// Returns the expired moves.
    pub(crate) fn review(&mut self, problem: &Problem<'_>, bounds: Bounds, now: Time) -> Vec<(LeaseKey, WorkerId)> {
        let place: BTreeMap<&LeaseKey, usize> =
            problem.leases.iter().enumerate().map(|(n, lease)| (&lease.key, n)).collect();
        let ownership = |lease: &LeaseKey| place.get(lease).map(|n| problem.ownerships[*n]);
        let number: BTreeMap<&WorkerId, usize> = problem.names.iter().enumerate().map(|(n, name)| (name, n)).collect();
        let mut expired = Vec::new();
        self.given.retain(|lease, since| {
            now.since(*since) <= bounds.after_owner && ownership(lease).is_some_and(|s| s != Ownership::Free)
        });
        self.avoided.retain(|_, until| *until > now);
        self.avoided
            .extend(unreadable::excluded(problem).into_iter().map(|worker| (worker, now + unreadable::EXCLUDED_FOR)));
        self.open.retain(|lease, pending_move| {
            let (Some(n), Some(to)) = (place.get(lease), number.get(&pending_move.to)) else { return false };
            let ownership = problem.ownerships[*n];
            if ownership == Ownership::Held(*to) || !problem.members[*to].serves(problem.streams[*n]) {
                return false;
            }
            if ownership == Ownership::Free && pending_move.mode == AcquireMode::After {
                // Its owner has released it, so from now on this is a move of a free lease.
                pending_move.mode = AcquireMode::Now;
                pending_move.since = now;
            }
            // A row that was read before the deadline does not show whether the lease was acquired
            // in time.
            if pending_move.is_overdue(bounds, now.min(pending_move.shown)) {
                expired.push((lease.clone(), pending_move.to.clone()));
                return false;
            }
            true
        });
        for (_, worker) in &expired {
            self.avoided.insert(worker.clone(), now + bounds.avoided);
        }
        expired
    }
}

impl PendingMove {
    fn is_overdue(&self, bounds: Bounds, now: Time) -> bool {
        let bound = match self.mode {
            AcquireMode::Now => bounds.free,
            AcquireMode::After => bounds.after_owner,
        };
        now.since(self.since) > bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::BalanceBy;
    use crate::coordination::leader::assign::Member;
    use crate::coordination::leader::instructions::Instructions;
    use crate::lease::row::{Lease, Yield};
    use crate::record::{Checkpoint, ShardId};

    const BOUNDS: Bounds =
        Bounds { free: Duration::from_secs(4), after_owner: Duration::from_secs(40), avoided: Duration::from_secs(10) };

    fn t(seconds: u64) -> Time {
        Time::from_origin(Duration::from_secs(seconds))
    }

    fn worker(id: &str) -> WorkerId {
        WorkerId::parse(id).unwrap()
    }

    /// One lease, and two members that could acquire it.
    fn problem(lease: &Lease, ownership: Ownership) -> Problem<'_> {
        Problem {
            names: vec![worker("a"), worker("b")],
            members: vec![Member { capacity: usize::MAX, avoided: false, serves: None }; 2],
            leases: vec![lease],
            ownerships: vec![ownership],
            streams: vec![0],
            trespassed: vec![],
            unclaimed_ownership: vec![],
            weights: vec![],
        }
    }

    fn instructions(
        pending_moves: &mut PendingMoves,
        problem: &Problem<'_>,
        at: Time,
    ) -> BTreeMap<WorkerId, Instructions> {
        pending_moves.instructions(problem, 16, BalanceBy::Leases, at).instructions
    }

    /// Simulates a read at this time that shows the lease, and reviews the moves.
    fn review(pending_moves: &mut PendingMoves, problem: &Problem<'_>, at: Time) -> Vec<(LeaseKey, WorkerId)> {
        problem.leases.iter().for_each(|lease| pending_moves.shown(&lease.key, at));
        pending_moves.review(problem, BOUNDS, at)
    }

    fn takers(instructions: &BTreeMap<WorkerId, Instructions>) -> Vec<&str> {
        instructions
            .iter()
            .filter(|(_, instructions)| !instructions.acquires.is_empty())
            .map(|(worker, _)| worker.as_str())
            .collect()
    }

    #[test]
    fn an_expired_move_goes_to_another_worker_in_the_same_cycle() {
        let lease = Lease::unowned(ShardId::from("shardId-000000000000"), Checkpoint::TrimHorizon);
        let (mut pending_moves, problem) = (PendingMoves::default(), problem(&lease, Ownership::Free));
        assert_eq!(takers(&instructions(&mut pending_moves, &problem, t(0))), ["a"]);
        assert_eq!(review(&mut pending_moves, &problem, t(4)), []);
        assert_eq!(
            takers(&instructions(&mut pending_moves, &problem, t(4))),
            ["a"],
            "a move stays pending until it is overdue"
        );
        assert_eq!(review(&mut pending_moves, &problem, t(5)), [(lease.key.clone(), worker("a"))]);
        assert_eq!(takers(&instructions(&mut pending_moves, &problem, t(5))), ["b"]);
    }

    #[test]
    fn a_worker_is_avoided_for_a_limited_time() {
        let lease = Lease::unowned(ShardId::from("shardId-000000000000"), Checkpoint::TrimHorizon);
        let (mut pending_moves, problem) = (PendingMoves::default(), problem(&lease, Ownership::Free));
        instructions(&mut pending_moves, &problem, t(0));
        review(&mut pending_moves, &problem, t(5));
        instructions(&mut pending_moves, &problem, t(5));
        review(&mut pending_moves, &self::problem(&lease, Ownership::Held(1)), t(6));
        assert_eq!(takers(&instructions(&mut pending_moves, &problem, t(14))), ["b"]);
        review(&mut pending_moves, &self::problem(&lease, Ownership::Held(1)), t(16));
        assert_eq!(takers(&instructions(&mut pending_moves, &problem, t(16))), ["a"]);
    }

    #[test]
    fn a_held_lease_is_acquired_after_its_owner_released_it() {
        let owner = crate::lease::row::Owner { worker: worker("b"), session: Some(3) };
        let lease = Lease {
            owner: Some(owner),
            counter: 7,
            ..Lease::unowned(ShardId::from("shardId-000000000000"), Checkpoint::TrimHorizon)
        };
        let (mut pending_moves, mut problem) = (PendingMoves::default(), problem(&lease, Ownership::Leaving));
        (problem.names, problem.members) =
            (vec![worker("a")], vec![Member { capacity: usize::MAX, avoided: false, serves: None }]);
        let instructions = instructions(&mut pending_moves, &problem, t(0));
        assert_eq!(instructions[&worker("a")].acquires[0].mode, AcquireMode::After);
        assert_eq!(instructions[&worker("b")].yields, [Yield { lease: lease.key.clone(), counter: 7 }]);
        assert!(
            review(&mut pending_moves, &problem, t(40)).is_empty(),
            "the owner has `handoff_timeout` to release it"
        );
    }

    #[test]
    fn a_move_does_not_expire_by_a_row_that_was_read_before_its_deadline() {
        let lease = Lease::unowned(ShardId::from("shardId-000000000000"), Checkpoint::TrimHorizon);
        let (mut pending_moves, problem) = (PendingMoves::default(), problem(&lease, Ownership::Free));
        instructions(&mut pending_moves, &problem, t(0));
        pending_moves.shown(&lease.key, t(3));
        assert_eq!(pending_moves.review(&problem, BOUNDS, t(100)), [], "the full read began before the deadline");
        assert_eq!(pending_moves.overdue(BOUNDS, t(100)).collect::<Vec<_>>(), [&lease.key]);
        pending_moves.shown(&lease.key, t(5));
        assert_eq!(pending_moves.review(&problem, BOUNDS, t(100)), [(lease.key.clone(), worker("a"))]);
    }
}
