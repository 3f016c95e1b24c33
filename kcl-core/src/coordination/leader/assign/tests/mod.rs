/// Tests each property on problems of any size, and all of them on the largest ones.
macro_rules! for_every_size {
    ($($name:ident: $check:ident;)*) => {
        proptest! {
            #![proptest_config(ProptestConfig::with_cases(64))]
            $(#[test] fn $name(size in sizes()) { $check(size); })*
        }

        #[test]
        fn all_properties_hold_for_ten_thousand_leases_and_five_hundred_workers() {
            for size in full_sizes() {
                $($check(size);)*
            }
        }
    };
}

mod balanced;
mod problem;
mod served;
mod weighed;

use super::*;
use problem::{carried_out, counts, free, held, members, options};

fn plan(members: &[Member], items: &[Item]) -> Placement {
    assign(members, items, options(16))
}

#[test]
fn without_members_nothing_moves() {
    assert_eq!(plan(&[], &[free()]), [None]);
}

#[test]
fn free_leases_are_spread() {
    let items = [free(), free(), free(), free()];
    assert_eq!(counts(&carried_out(&items, &plan(&members(2), &items)), 2), [2, 2]);
}

#[test]
fn a_balanced_fleet_is_left_alone() {
    assert_eq!(plan(&members(2), &[held(0), held(0), held(1)]), [None, None, None]);
}

#[test]
fn a_joining_worker_gets_its_share_and_no_more() {
    assert_eq!(plan(&members(2), &[held(0); 8]).iter().flatten().count(), 4);
}

#[test]
fn reservations_are_kept_by_an_assignment() {
    let items = [Item { reserved_for: Some(1), ..free() }, free()];
    assert_eq!(plan(&members(2), &items), [Some(1), Some(0)]);
}

#[test]
fn an_avoided_worker_gets_no_leases_unless_it_is_the_only_one() {
    let mut two = members(2);
    two[0].avoided = true;
    assert_eq!(plan(&two, &[free(), free()]), [Some(1), Some(1)]);
    two[1].avoided = true;
    assert_eq!(plan(&two, &[free(), free()]), [Some(0), Some(1)]);
}

#[test]
fn leases_above_a_workers_capacity_move_away() {
    let mut two = members(2);
    two[0].capacity = 1;
    assert_eq!(counts(&carried_out(&[free(); 4], &plan(&two, &[free(); 4])), 2), [1, 3]);
    two[1].capacity = 2;
    assert_eq!(plan(&two, &[free(); 4]).iter().flatten().count(), 3, "the fourth lease finds no room");
    two[1].capacity = 9;
    let items = [held(0), held(0), held(1), held(1), held(1)];
    assert_eq!(plan(&two, &items).iter().flatten().collect::<Vec<_>>(), [&1]);
}
