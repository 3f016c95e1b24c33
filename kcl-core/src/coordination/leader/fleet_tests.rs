//! Tests assignments of a whole fleet over many cycles, in which instructions are carried out bit
//! by bit.

use super::instructions::Plan;
use super::pending_moves::{Bounds, PendingMoves};
use super::problem::{Problem, StaleAfter, problem};
use super::sessions::Sessions;
use super::stale_owners::StaleOwnerTracker;
use super::unconfirmed_children::UnconfirmedChildren;
use super::weights::Weights;
use crate::clock::Time;
use crate::config::BalanceBy;
use crate::lease::row::{
    self, Acquire, AcquireMode, Assignment, Lease, LeaseKey, Owner, Session, SessionNumber, SessionState, WorkerId,
};
use crate::record::{Checkpoint, ShardId};
use fastrand::Rng;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;

const F: Duration = Duration::from_secs(10);
const BOUNDS: Bounds = Bounds { free: Duration::from_secs(4), after_owner: Duration::from_secs(40), avoided: F };

fn name(n: usize) -> WorkerId {
    WorkerId::parse(format!("worker-{n:03}")).unwrap()
}

fn number(n: usize) -> SessionNumber {
    n as u64 + 1
}

struct Fleet {
    leases: BTreeMap<LeaseKey, Lease>,
    sessions: Sessions,
    pending_moves: PendingMoves,
    weights: Weights,
    by: BalanceBy,
    now: Time,
    rng: Rng,
    /// How often each lease was moved away from a live worker.
    moved: BTreeMap<LeaseKey, usize>,
}

impl Fleet {
    fn new(leases: usize, by: BalanceBy, seed: u64) -> Self {
        let lease = |n| {
            let lease = Lease::unowned(ShardId::from(format!("shardId-{n:012}").as_str()), Checkpoint::TrimHorizon);
            (lease.key.clone(), lease)
        };
        Fleet {
            leases: (0..leases).map(lease).collect(),
            sessions: Sessions::new(name(0), F),
            pending_moves: PendingMoves::default(),
            weights: Weights::default(),
            by,
            now: Time::ZERO,
            rng: Rng::with_seed(seed),
            moved: BTreeMap::new(),
        }
    }

    fn join(&mut self, workers: std::ops::Range<usize>, capacity: Option<u32>) {
        for n in workers {
            self.says(n, capacity, 0, None);
        }
    }

    fn says(&mut self, n: usize, capacity: Option<u32>, load: u32, weights: Option<row::Weights>) {
        let (worker, state) = (name(n), SessionState::Active);
        let session = Session {
            worker,
            number: number(n),
            tag: 0,
            heartbeat: 1,
            state,
            capacity,
            load,
            weights,
            streams: None,
            profile: crate::lease::WorkerProfile::default(),
        };
        self.sessions.observe(session, self.now);
    }

    fn most_moves(&self) -> usize {
        16.max(self.leases.len() / 5)
    }

    /// Runs one cycle, and asserts what must hold in each.
    fn plan(&mut self) -> Plan {
        self.now = self.now + Duration::from_millis(50);
        if self.by == BalanceBy::Bytes {
            self.weights.learn(&self.leases, &self.sessions, self.now);
        }
        let most = self.most_moves();
        let stale_after = StaleAfter { orphan: F, foreign: F };
        let stale_owners = StaleOwnerTracker::default();
        let mut problem =
            problem(&self.leases, &UnconfirmedChildren::default(), &self.sessions, &stale_owners, stale_after);
        if self.by == BalanceBy::Bytes {
            problem.weights = self.weights.of(&problem.leases);
        }
        self.pending_moves.review(&problem, BOUNDS, self.now);
        let planned = self.pending_moves.instructions(&problem, most, self.by, self.now);
        rows_hold_together(&problem, &planned, &self.pending_moves);
        planned
    }

    /// Carries out some instructions, each with this probability: a release or a claim.
    fn carry_out(&mut self, planned: &Plan, chance: f64) {
        for (worker, instructions) in &planned.instructions {
            for take in &instructions.acquires {
                if self.rng.f64() < chance {
                    self.take(worker, take);
                }
            }
        }
    }

    fn take(&mut self, worker: &WorkerId, take: &Acquire) {
        let Some(lease) = self.leases.get_mut(&take.lease) else { return };
        lease.counter += 1;
        lease.kcl_counter = Some(lease.counter);
        if take.mode == AcquireMode::After && lease.owner.is_some() && self.rng.bool() {
            // Leases that are released, and are claimed in a later cycle.
            lease.owner = None;
            *self.moved.entry(take.lease.clone()).or_default() += 1;
            return;
        }
        if take.mode == AcquireMode::After {
            *self.moved.entry(take.lease.clone()).or_default() += 1;
        }
        let session = self.sessions.live().find(|session| session.worker == *worker).map(|session| session.number);
        lease.owner = Some(Owner { worker: worker.clone(), session });
    }

    /// Runs cycles until nothing is left to do. Returns their number, and the number of
    /// unassignable leases.
    fn rest(&mut self, chance: f64) -> (usize, usize) {
        for cycle in 0.. {
            let planned = self.plan();
            if planned.instructions.is_empty() {
                return (cycle, planned.unassignable);
            }
            assert!(cycle < 2_000, "the fleet does not settle: {:?}", planned.instructions);
            self.carry_out(&planned, chance);
        }
        unreachable!()
    }

    fn counts(&self) -> BTreeMap<&WorkerId, usize> {
        let mut counts: BTreeMap<&WorkerId, usize> = self.sessions.live().map(|s| (&s.worker, 0)).collect();
        for owner in self.leases.values().filter_map(|lease| lease.owner.as_ref()) {
            *counts.entry(&owner.worker).or_default() += 1;
        }
        counts
    }

    fn unread(&self) -> usize {
        self.leases.values().filter(|lease| lease.owner.is_none()).count()
    }
}

/// Asserts that no row is too long, that an acquire after an owner has a release by that owner, and
/// that every pending move is in a row.
fn rows_hold_together(problem: &Problem<'_>, planned: &Plan, pending_moves: &PendingMoves) {
    let mut acquires = 0;
    for (worker, instructions) in &planned.instructions {
        assert!(instructions.acquires.len() + instructions.yields.len() <= Assignment::MAX_ENTRIES, "{worker}");
        for take in instructions.acquires.iter().filter(|take| take.mode == AcquireMode::After) {
            let owner = take.owner.as_ref().unwrap();
            let yields = &planned.instructions[&owner.worker].yields;
            assert!(
                yields.binary_search_by(|give| give.lease.cmp(&take.lease)).is_ok(),
                "{owner:?} is not instructed to release it"
            );
        }
        assert!(instructions.acquires.iter().all(|take| pending_moves.is_pending_for(&take.lease, worker)));
        acquires += instructions.acquires.len();
    }
    assert_eq!(acquires, pending_moves.open().count(), "a pending move is in no row; {} leases", problem.leases.len());
}

fn sizes() -> impl Strategy<Value = (usize, usize, u64)> {
    let upto = |most: f64| (0.0..=most.ln()).prop_map(|log| log.exp().round() as usize);
    (upto(60.0), upto(2_000.0), any::<u64>())
}

/// An upper bound of the cycles that are needed: half of the instructions are carried out in each,
/// and a tail.
fn enough(leases: usize, most_moves: usize) -> usize {
    30 + 8 * leases / most_moves.min(Assignment::MAX_ENTRIES)
}

fn grows_from_one_worker(workers: usize, leases: usize, seed: u64, chance: f64) {
    let mut fleet = Fleet::new(leases, BalanceBy::Leases, seed);
    fleet.join(0..1, None);
    fleet.rest(chance);
    assert_eq!(fleet.unread(), 0);
    assert!(fleet.moved.is_empty());
    fleet.join(1..workers, None);
    let (cycles, unassignable) = fleet.rest(chance);
    assert!(cycles <= enough(leases, fleet.most_moves()), "{cycles}");
    assert_eq!((unassignable, fleet.unread()), (0, 0));
    assert!(fleet.moved.values().all(|moves| *moves == 1), "a lease moved twice");
    let counts: Vec<usize> = fleet.counts().into_values().collect();
    assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_fleet_settles_balanced_and_no_lease_moves_twice((workers, leases, seed) in sizes()) {
        grows_from_one_worker(workers, leases, seed, 0.5);
    }

    #[test]
    fn a_joining_worker_gets_its_share_by_one_move_per_lease((workers, leases, seed) in sizes()) {
        let mut fleet = Fleet::new(leases, BalanceBy::Leases, seed);
        fleet.join(0..workers, None);
        fleet.rest(0.5);
        fleet.join(workers..workers + 1, None);
        fleet.rest(0.5);
        let moves: usize = fleet.moved.values().sum();
        prop_assert!(moves <= leases.div_ceil(workers + 1), "{}", moves);
        prop_assert!(fleet.moved.values().all(|moves| *moves == 1));
    }

    #[test]
    fn unassignable_leases_are_counted((workers, leases, seed) in sizes(), capacity in 1u32..40) {
        let mut fleet = Fleet::new(leases, BalanceBy::Leases, seed);
        fleet.join(0..workers, Some(capacity));
        let (_, unassignable) = fleet.rest(0.5);
        prop_assert_eq!(unassignable, leases.saturating_sub(workers * capacity as usize));
        prop_assert_eq!(unassignable, fleet.unread(), "every lease without a reader is counted");
        // Capacities are removed, or set anew below what is held. No lease is forgotten.
        let lifted = fleet.rng.bool();
        fleet.join(0..workers, if lifted { None } else { Some(1) });
        let (_, unassignable) = fleet.rest(0.5);
        prop_assert_eq!(unassignable, fleet.unread());
        prop_assert!(!lifted || unassignable == 0);
    }

    #[test]
    fn fleets_balanced_by_bytes_settle_too((workers, leases, seed) in sizes()) {
        let mut fleet = Fleet::new(leases, BalanceBy::Bytes, seed);
        fleet.join(0..1, None);
        fleet.rest(0.5);
        let weights = weights(&mut fleet);
        report(&mut fleet, &weights, 1.0..1.0);
        fleet.join(1..workers, None);
        let (cycles, unassignable) = fleet.rest(0.5);
        prop_assert!(cycles <= 2 * enough(leases, fleet.most_moves()), "{}", cycles);
        prop_assert_eq!((unassignable, fleet.unread()), (0, 0));
    }
}

#[test]
fn ten_thousand_leases_go_to_two_workers_and_then_to_five_hundred() {
    grows_from_one_worker(2, 10_000, 1, 0.95);
    grows_from_one_worker(500, 10_000, 2, 0.95);
}

fn weights(fleet: &mut Fleet) -> BTreeMap<LeaseKey, f64> {
    let rng = &mut fleet.rng;
    fleet.leases.keys().map(|key| (key.clone(), 2.0f64.powf(8.0 + 12.0 * rng.f64()))).collect()
}

/// Every owner reports its leases' weights, each with an error factor of its own.
fn report(fleet: &mut Fleet, weights: &BTreeMap<LeaseKey, f64>, off: std::ops::Range<f64>) {
    let workers: Vec<WorkerId> = fleet.sessions.live().map(|session| session.worker.clone()).collect();
    for (n, worker) in workers.iter().enumerate() {
        let owned = fleet.leases.values().filter(|l| l.owner.as_ref().is_some_and(|o| o.worker == *worker));
        let rng = &mut fleet.rng;
        let measured = owned.map(|lease| {
            let factor = off.start + (off.end - off.start) * rng.f64();
            (lease.key.clone(), weights[&lease.key] * factor)
        });
        let said = row::Weights::of(&measured.collect());
        let load = fleet.rng.u32(0..1_000);
        fleet.says(n, None, load, Some(said));
    }
}

#[test]
fn an_hour_of_varying_loads_moves_nothing_in_a_balanced_fleet() {
    for by in [BalanceBy::Leases, BalanceBy::Bytes] {
        let mut fleet = Fleet::new(40, by, 7);
        fleet.join(0..6, None);
        fleet.rest(1.0);
        let weights = weights(&mut fleet);
        for _ in 0..40 {
            // The first weights may require moves. Half a minute after a move, the new owner's
            // weight counts.
            report(&mut fleet, &weights, 1.0..1.0);
            fleet.now = fleet.now + Duration::from_secs(30);
            fleet.rest(1.0);
        }
        // A remaining difference is not worth a move. One more lease, with weights that differ
        // more, starts a balance.
        fleet.pending_moves.moving = true;
        fleet.rest(1.0);
        fleet.moved.clear();
        for second in 0..3_600 {
            report(&mut fleet, &weights, 0.87..1.13);
            fleet.now = fleet.now + Duration::from_millis(950);
            let planned = fleet.plan();
            assert!(planned.instructions.is_empty(), "{by:?}, second {second}: {:?}", planned.instructions);
        }
    }
}

#[test]
fn a_pending_move_is_not_displaced_from_a_full_row_by_new_ones() {
    let mut fleet = Fleet::new(0, BalanceBy::Leases, 1);
    fleet.join(0..1, None);
    let lease = |n: usize| Lease::unowned(ShardId::from(format!("shardId-{n:012}").as_str()), Checkpoint::TrimHorizon);
    let add = |fleet: &mut Fleet, range: std::ops::Range<usize>| {
        fleet.leases.extend(range.map(lease).map(|lease| (lease.key.clone(), lease)));
    };
    add(&mut fleet, 1_000..1_000 + Assignment::MAX_ENTRIES);
    let first = fleet.plan();
    add(&mut fleet, 0..Assignment::MAX_ENTRIES);
    let second = fleet.plan();
    assert_eq!(first.instructions, second.instructions, "the new moves wait");
    fleet.carry_out(&second, 1.0);
    assert_eq!(fleet.plan().instructions[&name(0)].acquires[0].lease, lease(0).key);
}
