//! Checks the properties of assignments with members that serve different streams.

use super::super::*;
use super::problem::*;
use proptest::prelude::*;

/// Members that each serve some streams; leases are held only by members that serve them.
fn with_streams(size: Size, kind: Kind) -> Problem {
    let Problem { mut members, mut items, mut rng } = problem(size, kind);
    let streams = rng.usize(1..6);
    for member in &mut members {
        member.serves = rng.bool().then(|| (0..streams).filter(|_| rng.bool()).collect());
    }
    for item in &mut items {
        item.stream = rng.usize(0..streams);
        let serves = |by: &WorkerNo| members[*by].serves(item.stream);
        item.reserved_for = item.reserved_for.filter(serves);
        if let Ownership::Held(by) = item.ownership
            && !serves(&by)
        {
            item.ownership = Ownership::Leaving;
        }
    }
    Problem { members, items, rng }
}

fn no_member_gets_a_lease_it_does_not_serve(size: Size) {
    for balance_by in [BalanceBy::Leases, BalanceBy::Bytes] {
        let Problem { members, items, .. } = with_streams(size, Kind::Full);
        let plan = assign(&members, &items, Options { balance_by, ..options(usize::MAX) });
        for (item, to) in items.iter().zip(plan) {
            assert!(to.is_none_or(|to| members[to].serves(item.stream)));
        }
    }
}

/// A lease has no reader only while no member that serves its stream has room.
fn complete(size: Size) {
    for balance_by in [BalanceBy::Leases, BalanceBy::Bytes] {
        let Problem { members, items, .. } = with_streams(size, Kind::Full);
        let plan = assign(&members, &items, Options { balance_by, ..options(0) });
        let counts = counts(&carried_out(&items, &plan), members.len());
        for (item, to) in items.iter().zip(&plan) {
            if to.is_none() && !matches!(item.ownership, Ownership::Held(_)) {
                let has_room = |n: &usize| members[*n].serves(item.stream) && counts[*n] < members[*n].capacity;
                let fit = members.iter().any(|member| !member.avoided && member.serves(item.stream));
                let idle = (0..members.len()).filter(has_room).find(|n| !(fit && members[*n].avoided));
                assert_eq!(idle, None);
            }
        }
    }
}

/// No lease could move to a member that has two fewer.
fn balanced_as_far_as_streams_allow(size: Size) {
    let Problem { members, items, .. } = with_streams(size, Kind::Plain);
    let plan = assign(&members, &items, options(usize::MAX));
    let counts = counts(&carried_out(&items, &plan), members.len());
    for (item, to) in items.iter().zip(&plan) {
        if let (Ownership::Held(by), None) = (item.ownership, to) {
            let lightest = (0..members.len()).filter(|n| members[*n].serves(item.stream)).map(|n| counts[n]).min();
            assert!(counts[by] <= lightest.unwrap_or(0) + 1);
        }
    }
}

/// A few hundred at most, because every pair may have to be compared.
fn small() -> impl Strategy<Value = Size> {
    (1usize..40, 1usize..400, any::<u64>()).prop_map(|(workers, leases, seed)| Size { workers, leases, seed })
}

proptest! {
    #[test]
    fn a_lease_goes_only_to_a_member_that_serves_its_stream(size in small()) {
        no_member_gets_a_lease_it_does_not_serve(size);
    }

    #[test]
    fn a_lease_waits_only_while_no_member_that_serves_its_stream_has_room(size in small()) {
        complete(size);
    }

    #[test]
    fn leases_are_balanced_as_far_as_streams_allow(size in small()) {
        balanced_as_far_as_streams_allow(size);
    }
}

#[test]
fn all_properties_hold_at_the_full_size() {
    let size = Size { workers: 500, leases: 10_000, seed: 1 };
    no_member_gets_a_lease_it_does_not_serve(size);
    complete(size);
}
