//! Checks the properties of assignments by bytes.

use super::super::*;
use super::problem::*;
use fastrand::Rng;
use proptest::prelude::*;

fn weighed(moves_in_flight: usize, moving: bool) -> Options {
    Options { moves_in_flight, balance_by: BalanceBy::Bytes, moving }
}

/// A problem whose leases are idle, equal, or of very different weights.
fn heavy(size: Size, kind: Kind) -> Problem {
    let mut problem = problem(size, kind);
    let rng = &mut problem.rng;
    let (idle, octaves) = (rng.f64() * rng.f64(), rng.f64() * 16.0);
    for item in &mut problem.items {
        let weight = (2.0f64.powf(5.0 + octaves * rng.f64())) as u64;
        item.weight = if rng.f64() < idle { 0 } else { weight };
    }
    problem
}

fn wavered(items: &[Item], rng: &mut Rng) -> Vec<Item> {
    // Whether all weights vary a little, or each by as much as allowed.
    let extreme = rng.bool();
    let mut factor = || if extreme { [0.8, 1.2][rng.usize(0..2)] } else { 0.8 + 0.4 * rng.f64() };
    items.iter().map(|item| Item { weight: (item.weight as f64 * factor()).round() as u64, ..*item }).collect()
}

fn loads(members: &[Member], items: &[Item]) -> Vec<u64> {
    let mut loads = vec![0; members.len()];
    for (item, cost) in items.iter().zip(costs(items, BalanceBy::Bytes)) {
        if let Ownership::Held(by) = item.ownership {
            loads[by] += cost;
        }
    }
    loads
}

/// Assigns and carries out until nothing changes. Returns the number of cycles.
fn rest(members: &[Member], mut items: Vec<Item>, most: usize) -> (Vec<Item>, usize) {
    let mut moving = false;
    for cycle in 1..=items.len() / most + 10 {
        let plan = assign(members, &items, weighed(most, moving));
        if plan.iter().all(Option::is_none) && !moving {
            return (items, cycle);
        }
        moving = moves(&items, &plan) > 0;
        items = settled(&items, &plan);
    }
    panic!("the fleet does not settle");
}

fn nothing_moves(members: &[Member], items: &[Item], when: &str) {
    let moved = moves(items, &assign(members, items, weighed(usize::MAX, false)));
    assert_eq!(moved, 0, "{when}");
}

/// A fleet that was filled from nothing, or balanced once, does not move leases while its weights
/// vary by up to 20 %.
fn noise_moves_nothing(size: Size) {
    let mut full = heavy(size, Kind::Full);
    full.items.iter_mut().for_each(|item| (item.ownership, item.reserved_for) = (Ownership::Free, None));
    let plain = heavy(size, Kind::Plain);
    for (mut problem, when) in [(full, "filled"), (plain, "balanced")] {
        let before = assign(&problem.members, &problem.items, weighed(usize::MAX, false));
        let was_uneven = when == "filled" || moves(&problem.items, &before) > 0;
        let most = problem.rng.usize(size.leases / 8 + 1..=size.leases + 1);
        let (items, _) = rest(&problem.members, problem.items, most);
        // A fleet that was left uneven, because the difference was not worth a move, may be
        // balanced when its weights change.
        for _ in 0..if was_uneven { 4 } else { 0 } {
            nothing_moves(&problem.members, &wavered(&items, &mut problem.rng), when);
        }
    }
}

fn comes_to_rest(size: Size) {
    let Problem { members, items, .. } = heavy(size, Kind::Full);
    let most = 16.max(size.leases / 5);
    let (items, cycles) = rest(&members, items, most);
    assert!(cycles <= 12, "{cycles}");
    nothing_moves(&members, &items, "at rest");
}

/// A member that exceeds the lightest by more than the threshold cannot be relieved by moving a
/// single lease.
fn evened_out(size: Size) {
    let Problem { members, items, .. } = heavy(size, Kind::Plain);
    let (items, _) = rest(&members, items, usize::MAX >> 1);
    let (loads, costs) = (loads(&members, &items), costs(&items, BalanceBy::Bytes));
    let many = 2 * size.leases.div_ceil(size.workers);
    let counts = counts(&carried_out(&items, &vec![None; items.len()]), members.len());
    let Some(to) = (0..members.len()).filter(|m| counts[*m] < many).min_by_key(|m| loads[*m]) else { return };
    for (item, cost) in items.iter().zip(costs) {
        let Ownership::Held(by) = item.ownership else { panic!("unread") };
        let helps = loads[by] as f64 / 1.2 - (loads[to] + cost) as f64 / 0.8 > 65_536.0;
        let much = loads[by] as f64 > loads[to] as f64 * 1.6 + 80_000.0;
        assert!(!(helps && much), "{} above {}, and moving {cost} would help", loads[by], loads[to]);
    }
}

/// No member ends up heavier than the heaviest was, and moves make the heaviest of the giving
/// members lighter.
fn moves_only_for_a_margin(size: Size) {
    let Problem { members, mut items, .. } = heavy(size, Kind::Plain);
    items.iter_mut().for_each(|item| {
        if !matches!(item.ownership, Ownership::Held(_)) {
            item.ownership = Ownership::Held(0);
        }
    });
    let many = 2 * size.leases.div_ceil(size.workers);
    if counts(&carried_out(&items, &vec![None; items.len()]), members.len()).iter().any(|count| *count > many) {
        return;
    }
    let plan = assign(&members, &items, weighed(usize::MAX, false));
    let (before, after) = (loads(&members, &items), loads(&members, &settled(&items, &plan)));
    assert!(after.iter().max() <= before.iter().max());
    let gave = items.iter().zip(&plan).filter(|(_, to)| to.is_some()).filter_map(|(item, _)| match item.ownership {
        Ownership::Held(by) => Some(by),
        Ownership::Free | Ownership::Leaving => None,
    });
    if let Some(heaviest) = gave.max_by_key(|by| before[*by]) {
        let lightest = before.iter().min().unwrap();
        assert!(before[heaviest] as f64 > *lightest as f64 * 1.5, "{} {lightest}", before[heaviest]);
        assert!(after[heaviest] < before[heaviest]);
    }
}

/// Idle leases are work, too: no member gets more than twice an even share of them.
fn numbers_are_bounded(size: Size) {
    let Problem { members, mut items, .. } = heavy(size, Kind::Plain);
    let many = 2 * size.leases.div_ceil(size.workers);
    let (held, _) = rest(&members, items.clone(), usize::MAX >> 1);
    items.iter_mut().for_each(|item| item.ownership = Ownership::Free);
    for items in [held, settled(&items, &assign(&members, &items, weighed(0, false)))] {
        let counts = counts(&carried_out(&items, &vec![None; items.len()]), members.len());
        assert!(counts.iter().all(|count| *count <= many), "{counts:?}");
    }
}

/// A fleet without traffic is balanced by number when it is filled.
fn idle_leases_are_spread(size: Size) {
    let items = vec![free(); size.leases];
    let plan = assign(&members(size.workers), &items, weighed(0, false));
    let counts = counts(&carried_out(&items, &plan), size.workers);
    assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1);
}

/// Properties that hold whatever is balanced.
fn the_same_bounds_hold(size: Size) {
    let Problem { members, items, mut rng } = heavy(size, Kind::Full);
    let most = rng.usize(0..=size.leases / 4 + 1);
    let on_the_move = moves(&items, &items.iter().map(|item| item.reserved_for).collect());
    let plan = assign(&members, &items, weighed(most, rng.bool()));
    assert!(moves(&items, &plan) <= most.max(on_the_move));
    assert!(items.iter().zip(&plan).all(|(item, to)| item.reserved_for.is_none() || *to == item.reserved_for));
    let any_preferred = members.iter().any(|member| !member.avoided);
    let reserved_for: Placement = items.iter().map(|item| item.reserved_for).collect();
    let before = counts(&carried_out(&items, &reserved_for), members.len());
    let after = counts(&carried_out(&items, &plan), members.len());
    for (worker, member) in members.iter().enumerate() {
        assert!(after[worker] <= member.capacity.max(before[worker]), "{worker}");
        assert!(after[worker] <= before[worker] || !(member.avoided && any_preferred), "{worker} is avoided");
    }
    let room = |m: usize| after[m] < members[m].capacity && !(members[m].avoided && any_preferred);
    let unread = carried_out(&items, &plan).iter().any(Option::is_none);
    assert!(!(unread && (0..members.len()).any(room)), "a lease has no reader although there is room");
}

for_every_size! {
    weights_that_waver_by_a_fifth_move_nothing: noise_moves_nothing;
    a_fleet_comes_to_rest_in_few_cycles: comes_to_rest;
    at_rest_nobody_could_be_helped_by_a_real_margin: evened_out;
    nothing_moves_but_for_a_real_margin: moves_only_for_a_margin;
    numbers_of_leases_are_bounded_too: numbers_are_bounded;
    leases_without_a_byte_are_spread_by_number: idle_leases_are_spread;
    bounds_reservations_capacity_and_avoidance_are_kept: the_same_bounds_hold;
}

#[test]
fn idle_leases_do_not_all_go_to_the_member_with_the_fewest_bytes() {
    let mut items = vec![Item { weight: 100_000, ..held(0) }, Item { weight: 120_000, ..held(1) }];
    items.extend([free(); 10]);
    let plan = assign(&members(2), &items, weighed(16, false));
    assert_eq!(counts(&carried_out(&items, &plan), 2), [7, 5]);
}

#[test]
fn a_worker_that_joins_a_fleet_without_traffic_gets_a_share() {
    let items: Vec<Item> = (0..40).map(|n| held(n % 2)).collect();
    let (items, _) = rest(&members(3), items, 16);
    let counts = counts(&carried_out(&items, &vec![None; items.len()]), 3);
    assert!(counts.iter().all(|count| (12..=15).contains(count)), "{counts:?}");
}

#[test]
fn a_member_with_a_hot_shard_gets_fewer_other_leases() {
    let item = |by, weight| Item { weight, ..held(by) };
    let items: Vec<Item> = [(0, 2_000_000), (0, 400_000), (0, 400_000), (1, 400_000), (1, 400_000)]
        .into_iter()
        .map(|(by, weight)| item(by, weight))
        .collect();
    let plan = assign(&members(2), &items, weighed(16, false));
    assert_eq!(plan, [None, Some(1), Some(1), None, None]);
}

#[test]
fn a_balance_that_was_begun_is_completed_with_any_limit_of_moves() {
    let items = vec![Item { weight: 100_000, ..held(0) }; 40];
    let (items, _) = rest(&members(2), items, 1);
    let counts = counts(&carried_out(&items, &vec![None; items.len()]), 2);
    assert!(counts.iter().all(|count| (19..=21).contains(count)), "{counts:?}");
}
