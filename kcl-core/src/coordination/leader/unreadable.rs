//! Decides who reads leases that workers have given up as unreadable, and which workers get no
//! leases for a while. Pure.

use super::assign::Ownership;
use super::problem::Problem;
use crate::lease::row::{Lease, WorkerId};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long a worker that could read none of its leases is given no others, unless no other worker
/// is left.
pub(super) const EXCLUDED_FOR: Duration = Duration::from_secs(300);

/// Chooses the member for each such lease: of those that have not given it up before, the one with
/// the fewest leases. A lease that is held stays with its holder, also if balance would move it,
/// because a move does not make it readable.
///
/// `reserved_for` returns the target of a lease's pending move. Leases without an entry in the
/// result are assigned like any other.
pub(super) fn takers(
    problem: &Problem<'_>,
    reserved_for: impl Fn(&Lease) -> Option<usize>,
    avoided: impl Fn(&WorkerId) -> bool,
) -> BTreeMap<usize, usize> {
    let mut takers = BTreeMap::new();
    if problem.leases.iter().all(|lease| lease.extras.unreadable_by.is_empty()) {
        return takers;
    }
    let mut loads = vec![0_usize; problem.members.len()];
    for (n, lease) in problem.leases.iter().enumerate() {
        let holder = if let Ownership::Held(holder) = problem.ownerships[n] { Some(holder) } else { None };
        if let Some(load) = reserved_for(lease).or(holder).and_then(|member| loads.get_mut(member)) {
            *load += 1;
        }
    }
    for (n, lease) in problem.leases.iter().enumerate() {
        let tried = &lease.extras.unreadable_by;
        if tried.is_empty() || reserved_for(lease).is_some() {
            continue;
        }
        match problem.ownerships[n] {
            Ownership::Held(holder) => drop(takers.insert(n, holder)),
            Ownership::Free | Ownership::Leaving => {
                let (stream, members) = (problem.streams[n], problem.members.iter().zip(&problem.names).enumerate());
                let may = members.filter(|(no, (member, name))| {
                    member.serves(stream) && loads[*no] < member.capacity && !tried.contains(*name)
                });
                if let Some((to, _)) = may.min_by_key(|(no, (_, name))| (avoided(name), loads[*no], *no)) {
                    loads[to] += 1;
                    takers.insert(n, to);
                }
            }
        }
    }
    takers
}

/// The members that gave a lease up and hold none, so they could read none of theirs.
pub(super) fn excluded(problem: &Problem<'_>) -> BTreeSet<WorkerId> {
    let free = problem.leases.iter().enumerate().filter(|(n, _)| problem.ownerships[*n] == Ownership::Free);
    let gave_up: BTreeSet<&WorkerId> = free.flat_map(|(_, lease)| &lease.extras.unreadable_by).collect();
    let holds = |no: usize| problem.ownerships.contains(&Ownership::Held(no));
    let members = problem.names.iter().enumerate();
    members.filter(|(no, name)| gave_up.contains(name) && !holds(*no)).map(|(_, name)| name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::assign::Member;
    use super::*;
    use crate::record::{Checkpoint, ShardId};

    fn worker(id: &str) -> WorkerId {
        WorkerId::parse(id).unwrap()
    }

    fn lease(n: usize, tried: &[&str]) -> Lease {
        let mut lease = Lease::unowned(ShardId::new(format!("shardId-{n:012}")), Checkpoint::TrimHorizon);
        lease.extras.unreadable_by = tried.iter().map(|id| worker(id)).collect();
        lease
    }

    fn problem<'a>(leases: &'a [Lease], ownerships: Vec<Ownership>) -> Problem<'a> {
        Problem {
            names: ["a", "b", "c"].map(worker).to_vec(),
            members: vec![Member { capacity: usize::MAX, avoided: false, serves: None }; 3],
            leases: leases.iter().collect(),
            streams: vec![0; leases.len()],
            ownerships,
            trespassed: vec![],
            unclaimed_ownership: vec![],
            weights: vec![],
        }
    }

    #[test]
    fn an_unreadable_lease_goes_to_a_worker_that_has_not_tried_it() {
        for (tried, next) in
            [(&["a"][..], Some(&1)), (&["a", "b"][..], Some(&2)), (&["a", "b", "c"][..], None), (&[][..], None)]
        {
            let leases = [lease(0, tried)];
            let takers = takers(&problem(&leases, vec![Ownership::Free]), |_| None, |_| false);
            assert_eq!(takers.get(&0), next, "{tried:?}");
        }
        let leases = [lease(0, &["a"])];
        assert_eq!(takers(&problem(&leases, vec![Ownership::Free]), |_| None, |name| *name == worker("b"))[&0], 2);
    }

    #[test]
    fn among_those_the_worker_with_the_fewest_leases_gets_it() {
        let leases = [lease(0, &["a"]), lease(1, &[]), lease(2, &[])];
        let ownerships = vec![Ownership::Free, Ownership::Held(1), Ownership::Held(0)];
        assert_eq!(takers(&problem(&leases, ownerships), |_| None, |_| false), BTreeMap::from([(0, 2)]));
    }

    #[test]
    fn whoever_holds_it_keeps_it() {
        let leases = [lease(0, &["a", "b"])];
        assert_eq!(takers(&problem(&leases, vec![Ownership::Held(2)]), |_| None, |_| false), BTreeMap::from([(0, 2)]));
    }

    #[test]
    fn a_worker_that_can_read_none_of_its_leases_is_excluded_and_others_are_not() {
        let leases = [lease(0, &["a", "b"]), lease(1, &[])];
        assert_eq!(
            excluded(&problem(&leases, vec![Ownership::Free, Ownership::Held(1)])),
            BTreeSet::from([worker("a")])
        );
        assert_eq!(excluded(&problem(&leases, vec![Ownership::Held(2), Ownership::Held(1)])), BTreeSet::new());
    }
}
