use super::*;
use proptest::prelude::*;

fn members(n: usize) -> Vec<Member> {
    vec![Member { capacity: usize::MAX, unfit: false }; n]
}

fn free() -> Item {
    Item { standing: Standing::Free, promised: None }
}

fn held(by: WorkerNo) -> Item {
    Item { standing: Standing::Held(by), promised: None }
}

/// Who reads each item once the plan is carried out.
fn carried_out(items: &[Item], assignment: &Assignment) -> Vec<Option<WorkerNo>> {
    let after = |(item, to): (&Item, &Option<WorkerNo>)| match (to, item.standing) {
        (Some(to), _) => Some(*to),
        (None, Standing::Held(by)) => Some(by),
        (None, Standing::Free | Standing::Leaving) => None,
    };
    items.iter().zip(assignment).map(after).collect()
}

fn counts(readers: &[Option<WorkerNo>], members: usize) -> Vec<usize> {
    (0..members).map(|m| readers.iter().filter(|reader| **reader == Some(m)).count()).collect()
}

#[test]
fn without_members_nothing_moves() {
    assert_eq!(assign(&[], &[free()], 16), [None]);
}

#[test]
fn free_leases_are_spread() {
    let items = [free(), free(), free(), free()];
    let plan = assign(&members(2), &items, 16);
    assert_eq!(counts(&carried_out(&items, &plan), 2), [2, 2]);
}

#[test]
fn a_balanced_fleet_is_left_alone() {
    let items = [held(0), held(0), held(1)];
    assert_eq!(assign(&members(2), &items, 16), [None, None, None]);
}

#[test]
fn a_joining_worker_gets_its_share_and_no_more() {
    let items = [held(0); 8];
    let plan = assign(&members(2), &items, 16);
    assert_eq!(plan.iter().flatten().count(), 4);
}

#[test]
fn promises_stand() {
    let items = [Item { standing: Standing::Free, promised: Some(1) }, free()];
    assert_eq!(assign(&members(2), &items, 16), [Some(1), Some(0)]);
}

#[test]
fn an_unfit_worker_gets_nothing_unless_it_is_the_only_one() {
    let mut two = members(2);
    two[0].unfit = true;
    assert_eq!(assign(&two, &[free(), free()], 16), [Some(1), Some(1)]);
    two[1].unfit = true;
    assert_eq!(assign(&two, &[free(), free()], 16), [Some(0), Some(1)]);
}

#[test]
fn capacity_bounds_a_worker_and_what_is_over_it_moves() {
    let mut two = members(2);
    two[0].capacity = 1;
    assert_eq!(counts(&carried_out(&[free(); 4], &assign(&two, &[free(); 4], 16)), 2), [1, 3]);
    two[1].capacity = 2;
    assert_eq!(assign(&two, &[free(); 4], 16).iter().flatten().count(), 3, "the fourth finds no room");
    two[1].capacity = 9;
    let items = [held(0), held(0), held(1), held(1), held(1)];
    assert_eq!(assign(&two, &items, 16).iter().flatten().collect::<Vec<_>>(), [&1]);
}

fn problem() -> impl Strategy<Value = (Vec<Member>, Vec<Item>)> {
    (1usize..40).prop_flat_map(|workers| {
        let item = (0usize..5, 0..workers).prop_map(|(kind, worker)| match kind {
            0 => free(),
            1 => Item { standing: Standing::Leaving, promised: None },
            _ => held(worker),
        });
        (Just(members(workers)), prop::collection::vec(item, 0..400))
    })
}

proptest! {
    #[test]
    fn everything_is_read_and_balanced_within_one((members, items) in problem()) {
        let plan = assign(&members, &items, usize::MAX);
        let readers = carried_out(&items, &plan);
        prop_assert!(readers.iter().all(Option::is_some));
        let counts = counts(&readers, members.len());
        prop_assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1, "{:?}", counts);
    }

    #[test]
    fn a_plan_that_was_carried_out_needs_no_other((members, items) in problem()) {
        let plan = assign(&members, &items, usize::MAX);
        let settled: Vec<Item> = carried_out(&items, &plan).into_iter().flatten().map(held).collect();
        prop_assert!(assign(&members, &settled, usize::MAX).iter().all(Option::is_none));
    }

    #[test]
    fn no_more_moves_than_balance_asks_for((members, items) in problem()) {
        let plan = assign(&members, &items, usize::MAX);
        let moved = items.iter().zip(&plan).filter(|(i, to)| matches!(i.standing, Standing::Held(_)) && to.is_some()).count();
        // What members hold above the higher of the two balanced sizes must move; at most that plus one each may.
        let mut held_by = vec![0usize; members.len()];
        for item in &items {
            if let Standing::Held(by) = item.standing { held_by[by] += 1; }
        }
        let floor = items.len() / members.len();
        let most: usize = held_by.iter().map(|h| h.saturating_sub(floor)).sum();
        let least: usize = held_by.iter().map(|h| h.saturating_sub(floor + 1)).sum();
        prop_assert!(least <= moved && moved <= most, "{} <= {} <= {}", least, moved, most);
    }

    #[test]
    fn moves_in_flight_are_bounded((members, items) in problem(), bound in 0usize..20) {
        let plan = assign(&members, &items, bound);
        let moved = items.iter().zip(&plan).filter(|(i, to)| matches!(i.standing, Standing::Held(_)) && to.is_some()).count();
        prop_assert!(moved <= bound);
    }
}
