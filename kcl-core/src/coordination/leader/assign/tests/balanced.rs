//! What a plan keeps where leases are counted.

use super::super::*;
use super::problem::*;
use proptest::prelude::*;

/// Members that may be given leases.
fn open(members: &[Member]) -> impl Iterator<Item = WorkerNo> {
    let any_fit = members.iter().any(|member| !member.unfit);
    (0..members.len()).filter(move |worker| !(members[*worker].unfit && any_fit))
}

/// What each member has or is promised before the plan adds to it.
fn bound(members: &[Member], items: &[Item]) -> Vec<usize> {
    let of = |item: &Item| match (item.promised, item.standing) {
        (Some(to), _) => Some(to),
        (None, Standing::Held(by)) => Some(by),
        (None, Standing::Free | Standing::Leaving) => None,
    };
    counts(&items.iter().map(of).collect::<Vec<_>>(), members.len())
}

fn is_unread(item: &Item) -> bool {
    !matches!(item.standing, Standing::Held(_))
}

/// Free and leaving leases get a member while one has room, and only then.
fn complete(size: Size) {
    let Problem { members, items, .. } = problem(size, Kind::Full);
    let plan = assign(&members, &items, rules(0));
    let bound = bound(&members, &items);
    let room = open(&members).map(|m| members[m].capacity.saturating_sub(bound[m])).fold(0, usize::saturating_add);
    let wanted = items.iter().filter(|item| is_unread(item) && item.promised.is_none()).count();
    let left = items.iter().zip(&plan).filter(|(item, to)| is_unread(item) && to.is_none()).count();
    assert_eq!(left, wanted.saturating_sub(room));
}

fn balanced(size: Size) {
    let Problem { members, items, .. } = problem(size, Kind::Plain);
    let counts = counts(&carried_out(&items, &assign(&members, &items, rules(usize::MAX))), members.len());
    assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1, "{counts:?}");
}

/// Whoever could give one of its leases to a member with room differs from it by one at most, and is not over its
/// capacity.
fn balanced_as_far_as_there_is_room(size: Size) {
    let Problem { members, items, .. } = problem(size, Kind::Full);
    let plan = assign(&members, &items, rules(usize::MAX));
    let counts = counts(&carried_out(&items, &plan), members.len());
    let mut yields = vec![false; members.len()];
    for (item, to) in items.iter().zip(&plan) {
        if let (Standing::Held(by), None, None) = (item.standing, item.promised, to) {
            yields[by] = true;
        }
    }
    let Some(lightest) = open(&members).filter(|m| counts[*m] < members[*m].capacity).min_by_key(|m| counts[*m]) else {
        return;
    };
    for from in (0..members.len()).filter(|from| yields[*from] && *from != lightest) {
        assert!(counts[from] <= counts[lightest] + 1, "{from} has {}, {lightest} {}", counts[from], counts[lightest]);
        assert!(counts[from] <= members[from].capacity, "{from} is over its capacity");
    }
}

fn needs_no_other_when_carried_out(size: Size) {
    for kind in [Kind::Plain, Kind::Full] {
        let Problem { members, items, .. } = problem(size, kind);
        let settled = settled(&items, &assign(&members, &items, rules(usize::MAX)));
        let again = assign(&members, &settled, rules(usize::MAX));
        if kind == Kind::Plain {
            assert!(again.iter().all(Option::is_none));
        } else {
            // PendingMoves may have gone beyond what is even: what they left uneven is evened out once, and then no more.
            let settled = super::problem::settled(&settled, &again);
            assert!(assign(&members, &settled, rules(usize::MAX)).iter().all(Option::is_none));
        }
    }
}

/// What members hold above the higher of the two balanced sizes must move; at most that plus one each may.
fn minimal(size: Size) {
    let Problem { members, items, .. } = problem(size, Kind::Plain);
    let moved = moves(&items, &assign(&members, &items, rules(usize::MAX)));
    let held = bound(&members, &items);
    let floor = items.len() / members.len();
    let above = |size: usize| held.iter().map(|h| h.saturating_sub(size)).sum::<usize>();
    assert!(above(floor + 1) <= moved && moved <= above(floor), "{moved}");
}

fn bounded(size: Size) {
    let Problem { members, items, mut rng } = problem(size, Kind::Full);
    let most = rng.usize(0..=size.leases / 4 + 1);
    let on_the_move = items.iter().filter(|item| !is_unread(item) && item.promised.is_some()).count();
    let moved = moves(&items, &assign(&members, &items, rules(most)));
    assert!(moved <= most.max(on_the_move), "{moved} of {most}");
}

fn within_capacity(size: Size) {
    let Problem { members, items, .. } = problem(size, Kind::Full);
    let counts = counts(&carried_out(&items, &assign(&members, &items, rules(usize::MAX))), members.len());
    for (worker, before) in bound(&members, &items).into_iter().enumerate() {
        assert!(counts[worker] <= members[worker].capacity.max(before), "{worker}");
    }
}

fn unfit_get_nothing_new(size: Size) {
    let Problem { members, items, .. } = problem(size, Kind::Full);
    let plan = assign(&members, &items, rules(usize::MAX));
    if members.iter().all(|member| member.unfit) {
        return;
    }
    for (item, to) in items.iter().zip(plan) {
        assert!(to.is_none() || to == item.promised || to.is_some_and(|to| !members[to].unfit));
    }
}

fn promises_are_kept(size: Size) {
    let Problem { members, items, .. } = problem(size, Kind::Full);
    let plan = assign(&members, &items, rules(usize::MAX));
    assert!(items.iter().zip(plan).all(|(item, to)| item.promised.is_none() || to == item.promised));
}

/// A balanced fleet, and one worker more: it gets what balance asks for, from others' surplus, and nothing else moves.
fn a_joiner_gets_its_share(size: Size) {
    let fleet = problem(size, Kind::Plain);
    let settled = settled(&fleet.items, &assign(&fleet.members, &fleet.items, rules(usize::MAX)));
    let joined = members(size.workers + 1);
    let plan = assign(&joined, &settled, rules(usize::MAX));
    assert!(plan.iter().flatten().all(|to| *to == size.workers), "only the new one is given any");
    assert!(moves(&settled, &plan) <= size.leases.div_ceil(size.workers + 1));
}

/// What leases weigh is nobody's business here.
fn weights_are_ignored(size: Size) {
    let Problem { members, mut items, mut rng } = problem(size, Kind::Full);
    let before = assign(&members, &items, rules(usize::MAX));
    items.iter_mut().for_each(|item| item.weight = rng.u64(0..1 << 30));
    assert_eq!(assign(&members, &items, rules(usize::MAX)), before);
}

for_every_size! {
    every_lease_gets_a_reader_while_anybody_has_room: complete;
    workers_differ_by_one_at_most: balanced;
    workers_differ_by_one_at_most_as_far_as_there_is_room: balanced_as_far_as_there_is_room;
    a_plan_that_was_carried_out_needs_no_other: needs_no_other_when_carried_out;
    no_more_moves_than_balance_asks_for: minimal;
    moves_in_flight_are_bounded: bounded;
    nobody_is_given_more_than_it_has_room_for: within_capacity;
    an_unfit_worker_is_given_nothing_while_there_is_another: unfit_get_nothing_new;
    what_was_promised_stays_promised: promises_are_kept;
    a_worker_that_joins_gets_its_share_and_nothing_else_moves: a_joiner_gets_its_share;
    where_leases_are_counted_their_weights_move_nothing: weights_are_ignored;
}
