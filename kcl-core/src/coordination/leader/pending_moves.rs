//! What the leader has promised to whom, since when, and what becomes of pending_moves that are not kept.

use super::assign::Standing;
use super::problem::Problem;
use super::unreadable;
use crate::clock::Time;
use crate::lease::row::{AcquireMode, LeaseKey, WorkerId};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long pending_moves may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// A take of a free lease.
    pub(crate) free: Duration,
    /// A take after its living owner.
    pub(crate) after_owner: Duration,
    /// How long a worker that did not keep one gets no others.
    pub(crate) unfit: Duration,
}

#[derive(Debug, Default)]
pub(crate) struct PendingMoves {
    pub(super) open: BTreeMap<LeaseKey, PendingMove>,
    pub(super) unfit: BTreeMap<WorkerId, Time>,
    /// Leases that their owners were told to give, and since when: they may be released whatever was decided since.
    pub(super) given: BTreeMap<LeaseKey, Time>,
    /// Whether the last plan moved leases between members.
    pub(super) moving: bool,
}

/// A lease that somebody was told to take.
#[derive(Debug, Clone)]
pub(super) struct PendingMove {
    pub(super) to: WorkerId,
    pub(super) since: Time,
    pub(super) mode: AcquireMode,
    /// When the read was sent that last showed the lease.
    pub(super) shown: Time,
}

impl PendingMoves {
    /// The leases that somebody is about to take.
    #[cfg(test)]
    pub(crate) fn open(&self) -> impl Iterator<Item = &LeaseKey> {
        self.open.keys()
    }

    /// The leases that may change hands, and must be looked at.
    pub(crate) fn on_the_move(&self) -> impl Iterator<Item = &LeaseKey> {
        self.open.keys().chain(self.given.keys().filter(|lease| !self.open.contains_key(*lease)))
    }

    /// Whether it was promised to that worker.
    #[cfg(test)]
    pub(super) fn is_promised_to(&self, lease: &LeaseKey, worker: &WorkerId) -> bool {
        self.of(lease, None).is_some_and(|(to, _)| to == worker)
    }

    /// To whom it was promised, and how long ago.
    pub(super) fn of(&self, lease: &LeaseKey, now: Option<Time>) -> Option<(&WorkerId, Option<Duration>)> {
        let pending_move = self.open.get(lease)?;
        Some((&pending_move.to, now.map(|now| now.since(pending_move.since))))
    }

    /// Somebody was told to take it.
    pub(super) fn told(&mut self, lease: LeaseKey, to: WorkerId, since: Time, mode: AcquireMode) {
        if mode == AcquireMode::After {
            self.given.insert(lease.clone(), since);
        }
        match self.open.get_mut(&lease) {
            // It has an owner again, who has his time to give it.
            Some(pending_move) if pending_move.mode == AcquireMode::Now && mode == AcquireMode::After => {
                *pending_move = PendingMove { to, since, mode, shown: since };
            }
            Some(_) => {}
            None => drop(self.open.insert(lease, PendingMove { to, since, mode, shown: since })),
        }
    }

    /// Who let pending_moves lapse, and gets no others for a while.
    pub(super) fn unfit(&self) -> impl Iterator<Item = &WorkerId> {
        self.unfit.keys()
    }

    /// A read that was sent then showed the lease.
    pub(crate) fn shown(&mut self, lease: &LeaseKey, sent: Time) {
        if let Some(pending_move) = self.open.get_mut(lease) {
            pending_move.shown = pending_move.shown.max(sent);
        }
    }

    /// The leases whose acquires are overdue: to be read before they are judged.
    pub(crate) fn overdue(&self, bounds: Bounds, now: Time) -> impl Iterator<Item = &LeaseKey> {
        self.open.iter().filter(move |(_, pending_move)| pending_move.is_overdue(bounds, now)).map(|(lease, _)| lease)
    }

    /// Whether a pending_move is overdue, so that the table should be read before judging it.
    pub(crate) fn has_overdue(&self, bounds: Bounds, now: Time) -> bool {
        self.overdue(bounds, now).next().is_some()
    }

    /// Marks those unfit that let a pending_move lapse, and forgets what is settled.
    pub(crate) fn review(&mut self, problem: &Problem<'_>, bounds: Bounds, now: Time) -> Vec<(LeaseKey, WorkerId)> {
        let place: BTreeMap<&LeaseKey, usize> =
            problem.leases.iter().enumerate().map(|(n, lease)| (&lease.key, n)).collect();
        let standing = |lease: &LeaseKey| place.get(lease).map(|n| problem.standings[*n]);
        let number: BTreeMap<&WorkerId, usize> = problem.names.iter().enumerate().map(|(n, name)| (name, n)).collect();
        let mut lapsed = Vec::new();
        self.given.retain(|lease, since| {
            now.since(*since) <= bounds.after_owner && standing(lease).is_some_and(|s| s != Standing::Free)
        });
        self.unfit.retain(|_, until| *until > now);
        self.unfit.extend(unreadable::spared(problem).into_iter().map(|worker| (worker, now + unreadable::SPARED)));
        self.open.retain(|lease, pending_move| {
            let (Some(n), Some(to)) = (place.get(lease), number.get(&pending_move.to)) else { return false };
            let standing = problem.standings[*n];
            if standing == Standing::Held(*to) || !problem.members[*to].serves(problem.streams[*n]) {
                return false;
            }
            if standing == Standing::Free && pending_move.mode == AcquireMode::After {
                // Its owner is done with it: from now on it is a take of a free lease.
                pending_move.mode = AcquireMode::Now;
                pending_move.since = now;
            }
            // A row that was read before the deadline does not show whether the take came in time.
            if pending_move.is_overdue(bounds, now.min(pending_move.shown)) {
                lapsed.push((lease.clone(), pending_move.to.clone()));
                return false;
            }
            true
        });
        for (_, worker) in &lapsed {
            self.unfit.insert(worker.clone(), now + bounds.unfit);
        }
        lapsed
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
        Bounds { free: Duration::from_secs(4), after_owner: Duration::from_secs(40), unfit: Duration::from_secs(10) };

    fn t(seconds: u64) -> Time {
        Time::from_origin(Duration::from_secs(seconds))
    }

    fn worker(id: &str) -> WorkerId {
        WorkerId::parse(id).unwrap()
    }

    /// One lease, and two members that could take it.
    fn problem(lease: &Lease, standing: Standing) -> Problem<'_> {
        Problem {
            names: vec![worker("a"), worker("b")],
            members: vec![Member { capacity: usize::MAX, unfit: false, serves: None }; 2],
            leases: vec![lease],
            standings: vec![standing],
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

    /// A read at that time shows the lease, and pending_moves are reviewed.
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
    fn a_take_that_lapsed_goes_to_another_in_the_same_cycle() {
        let lease = Lease::unowned(ShardId::from("shardId-000000000000"), Checkpoint::TrimHorizon);
        let (mut pending_moves, problem) = (PendingMoves::default(), problem(&lease, Standing::Free));
        assert_eq!(takers(&instructions(&mut pending_moves, &problem, t(0))), ["a"]);
        assert_eq!(review(&mut pending_moves, &problem, t(4)), []);
        assert_eq!(
            takers(&instructions(&mut pending_moves, &problem, t(4))),
            ["a"],
            "a pending_move stands until it is overdue"
        );
        assert_eq!(review(&mut pending_moves, &problem, t(5)), [(lease.key.clone(), worker("a"))]);
        assert_eq!(takers(&instructions(&mut pending_moves, &problem, t(5))), ["b"]);
    }

    #[test]
    fn a_worker_is_fit_again_after_a_while() {
        let lease = Lease::unowned(ShardId::from("shardId-000000000000"), Checkpoint::TrimHorizon);
        let (mut pending_moves, problem) = (PendingMoves::default(), problem(&lease, Standing::Free));
        instructions(&mut pending_moves, &problem, t(0));
        review(&mut pending_moves, &problem, t(5));
        instructions(&mut pending_moves, &problem, t(5));
        review(&mut pending_moves, &self::problem(&lease, Standing::Held(1)), t(6));
        assert_eq!(takers(&instructions(&mut pending_moves, &problem, t(14))), ["b"]);
        review(&mut pending_moves, &self::problem(&lease, Standing::Held(1)), t(16));
        assert_eq!(takers(&instructions(&mut pending_moves, &problem, t(16))), ["a"]);
    }

    #[test]
    fn a_lease_that_moves_is_taken_after_its_owner_gave_it() {
        let owner = crate::lease::row::Owner { worker: worker("b"), session: Some(3) };
        let lease = Lease {
            owner: Some(owner),
            counter: 7,
            ..Lease::unowned(ShardId::from("shardId-000000000000"), Checkpoint::TrimHorizon)
        };
        let (mut pending_moves, mut problem) = (PendingMoves::default(), problem(&lease, Standing::Leaving));
        (problem.names, problem.members) =
            (vec![worker("a")], vec![Member { capacity: usize::MAX, unfit: false, serves: None }]);
        let instructions = instructions(&mut pending_moves, &problem, t(0));
        assert_eq!(instructions[&worker("a")].acquires[0].mode, AcquireMode::After);
        assert_eq!(instructions[&worker("b")].yields, [Yield { lease: lease.key.clone(), counter: 7 }]);
        assert!(review(&mut pending_moves, &problem, t(40)).is_empty(), "an owner has its handoff timeout");
    }

    #[test]
    fn a_take_is_not_judged_by_a_row_that_was_read_before_its_deadline() {
        let lease = Lease::unowned(ShardId::from("shardId-000000000000"), Checkpoint::TrimHorizon);
        let (mut pending_moves, problem) = (PendingMoves::default(), problem(&lease, Standing::Free));
        instructions(&mut pending_moves, &problem, t(0));
        pending_moves.shown(&lease.key, t(3));
        assert_eq!(pending_moves.review(&problem, BOUNDS, t(100)), [], "the read of the whole table took so long");
        assert_eq!(pending_moves.overdue(BOUNDS, t(100)).collect::<Vec<_>>(), [&lease.key]);
        pending_moves.shown(&lease.key, t(5));
        assert_eq!(pending_moves.review(&problem, BOUNDS, t(100)), [(lease.key.clone(), worker("a"))]);
    }
}
