//! Checks the properties of assignments by number of leases.

use super::super::*;
use super::problem::*;
use proptest::prelude::*;

/// Members that can be given leases.
fn open(members: &[Member]) -> impl Iterator<Item = WorkerNo> {
    let any_preferred = members.iter().any(|member| !member.avoided);
    (0..members.len()).filter(move |worker| !(members[*worker].avoided && any_preferred))
}

/// The load of each member, pending moves included, before the assignment adds to it.
fn bound(members: &[Member], items: &[Item]) -> Vec<usize> {
    let of = |item: &Item| match (item.reserved_for, item.ownership) {
        (Some(to), _) => Some(to),
        (None, Ownership::Held(by)) => Some(by),
        (None, Ownership::Free | Ownership::Leaving) => None,
    };
    counts(&items.iter().map(of).collect::<Vec<_>>(), members.len())
}

fn is_unread(item: &Item) -> bool {
    !matches!(item.ownership, Ownership::Held(_))
}

/// Free and leaving leases get a member exactly while one has room.
fn complete(size: Size) {
    let Problem { members, items, .. } = problem(size, Kind::Full);
    let plan = assign(&members, &items, options(0));
    let bound = bound(&members, &items);
    let room = open(&members).map(|m| members[m].capacity.saturating_sub(bound[m])).fold(0, usize::saturating_add);
    let wanted = items.iter().filter(|item| is_unread(item) && item.reserved_for.is_none()).count();
    let left = items.iter().zip(&plan).filter(|(item, to)| is_unread(item) && to.is_none()).count();
    assert_eq!(left, wanted.saturating_sub(room));
}

fn balanced(size: Size) {
    let Problem { members, items, .. } = problem(size, Kind::Plain);
    let counts = counts(&carried_out(&items, &assign(&members, &items, options(usize::MAX))), members.len());
    assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1, "{counts:?}");
}

/// A member that could give one of its leases to a member with room has at most one lease more, and
/// does not exceed its capacity.
fn balanced_as_far_as_capacities_allow(size: Size) {
    let Problem { members, items, .. } = problem(size, Kind::Full);
    let plan = assign(&members, &items, options(usize::MAX));
    let counts = counts(&carried_out(&items, &plan), members.len());
    let mut yields = vec![false; members.len()];
    for (item, to) in items.iter().zip(&plan) {
        if let (Ownership::Held(by), None, None) = (item.ownership, item.reserved_for, to) {
            yields[by] = true;
        }
    }
    let Some(lightest) = open(&members).filter(|m| counts[*m] < members[*m].capacity).min_by_key(|m| counts[*m]) else {
        return;
    };
    for from in (0..members.len()).filter(|from| yields[*from] && *from != lightest) {
        assert!(counts[from] <= counts[lightest] + 1, "{from} has {}, {lightest} {}", counts[from], counts[lightest]);
        assert!(counts[from] <= members[from].capacity, "{from} exceeds its capacity");
    }
}

fn needs_no_further_moves_once_carried_out(size: Size) {
    for kind in [Kind::Plain, Kind::Full] {
        let Problem { members, items, .. } = problem(size, kind);
        let settled = settled(&items, &assign(&members, &items, options(usize::MAX)));
        let again = assign(&members, &settled, options(usize::MAX));
        if kind == Kind::Plain {
            assert!(again.iter().all(Option::is_none));
        } else {
            // Pending moves may have gone beyond an even distribution. The rest is evened out once,
            // and then nothing moves any more.
            let settled = super::problem::settled(&settled, &again);
            assert!(assign(&members, &settled, options(usize::MAX)).iter().all(Option::is_none));
        }
    }
}

/// The leases that members hold above the higher of the two balanced counts must move; at most one
/// more per member may.
fn minimal(size: Size) {
    let Problem { members, items, .. } = problem(size, Kind::Plain);
    let moved = moves(&items, &assign(&members, &items, options(usize::MAX)));
    let held = bound(&members, &items);
    let floor = items.len() / members.len();
    let above = |size: usize| held.iter().map(|h| h.saturating_sub(size)).sum::<usize>();
    assert!(above(floor + 1) <= moved && moved <= above(floor), "{moved}");
}

fn bounded(size: Size) {
    let Problem { members, items, mut rng } = problem(size, Kind::Full);
    let most = rng.usize(0..=size.leases / 4 + 1);
    let on_the_move = items.iter().filter(|item| !is_unread(item) && item.reserved_for.is_some()).count();
    let moved = moves(&items, &assign(&members, &items, options(most)));
    assert!(moved <= most.max(on_the_move), "{moved} of {most}");
}

fn within_capacity(size: Size) {
    let Problem { members, items, .. } = problem(size, Kind::Full);
    let counts = counts(&carried_out(&items, &assign(&members, &items, options(usize::MAX))), members.len());
    for (worker, before) in bound(&members, &items).into_iter().enumerate() {
        assert!(counts[worker] <= members[worker].capacity.max(before), "{worker}");
    }
}

fn avoided_get_nothing_new(size: Size) {
    let Problem { members, items, .. } = problem(size, Kind::Full);
    let plan = assign(&members, &items, options(usize::MAX));
    if members.iter().all(|member| member.avoided) {
        return;
    }
    for (item, to) in items.iter().zip(plan) {
        assert!(to.is_none() || to == item.reserved_for || to.is_some_and(|to| !members[to].avoided));
    }
}

fn reservations_are_kept(size: Size) {
    let Problem { members, items, .. } = problem(size, Kind::Full);
    let plan = assign(&members, &items, options(usize::MAX));
    assert!(items.iter().zip(plan).all(|(item, to)| item.reserved_for.is_none() || to == item.reserved_for));
}

/// A worker joins a balanced fleet. It gets what balance requires from the others' surplus, and
/// nothing else moves.
fn a_joiner_gets_its_share(size: Size) {
    let fleet = problem(size, Kind::Plain);
    let settled = settled(&fleet.items, &assign(&fleet.members, &fleet.items, options(usize::MAX)));
    let joined = members(size.workers + 1);
    let plan = assign(&joined, &settled, options(usize::MAX));
    assert!(plan.iter().flatten().all(|to| *to == size.workers), "only the new member gets leases");
    assert!(moves(&settled, &plan) <= size.leases.div_ceil(size.workers + 1));
}

/// Weights are irrelevant here.
fn weights_are_ignored(size: Size) {
    let Problem { members, mut items, mut rng } = problem(size, Kind::Full);
    let before = assign(&members, &items, options(usize::MAX));
    items.iter_mut().for_each(|item| item.weight = rng.u64(0..1 << 30));
    assert_eq!(assign(&members, &items, options(usize::MAX)), before);
}

for_every_size! {
    every_lease_gets_a_reader_while_a_member_has_room: complete;
    workers_differ_by_one_at_most: balanced;
    workers_differ_by_one_at_most_as_far_as_there_is_room: balanced_as_far_as_capacities_allow;
    an_assignment_that_was_carried_out_needs_no_other: needs_no_further_moves_once_carried_out;
    no_more_moves_than_balance_requires: minimal;
    moves_in_flight_are_bounded: bounded;
    no_member_gets_more_than_its_capacity: within_capacity;
    an_avoided_worker_gets_no_leases_while_there_is_another: avoided_get_nothing_new;
    reserved_leases_stay_reserved: reservations_are_kept;
    a_worker_that_joins_gets_its_share_and_nothing_else_moves: a_joiner_gets_its_share;
    weights_are_ignored_if_leases_are_counted: weights_are_ignored;
}
