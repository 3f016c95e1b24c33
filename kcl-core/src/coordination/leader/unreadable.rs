//! Leases that workers have given up because they could not read them: who is to try next, and who is spared for a while.

use super::assign::Standing;
use super::problem::Problem;
use crate::lease::row::{Lease, WorkerId};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// So long a worker that could read none of its leases is given no others, unless no other worker is left.
pub(super) const SPARED: Duration = Duration::from_secs(300);

/// For each such lease the member that is to have it: nobody who gave it up before, the one with the fewest leases. One that is
/// held stays where it is, also where balance would move it: whoever holds it has been chosen, and moving it reads nothing.
///
/// `promised` has what was promised before; what is not here is assigned as any other lease.
pub(super) fn takers(
    problem: &Problem<'_>,
    promised: impl Fn(&Lease) -> Option<usize>,
    unfit: impl Fn(&WorkerId) -> bool,
) -> BTreeMap<usize, usize> {
    let mut takers = BTreeMap::new();
    if problem.leases.iter().all(|lease| lease.extras.unreadable_by.is_empty()) {
        return takers;
    }
    let mut loads = vec![0_usize; problem.members.len()];
    for (n, lease) in problem.leases.iter().enumerate() {
        let holder = if let Standing::Held(holder) = problem.standings[n] { Some(holder) } else { None };
        if let Some(load) = promised(lease).or(holder).and_then(|member| loads.get_mut(member)) {
            *load += 1;
        }
    }
    for (n, lease) in problem.leases.iter().enumerate() {
        let tried = &lease.extras.unreadable_by;
        if tried.is_empty() || promised(lease).is_some() {
            continue;
        }
        match problem.standings[n] {
            Standing::Held(holder) => drop(takers.insert(n, holder)),
            Standing::Free | Standing::Leaving => {
                let (stream, members) = (problem.streams[n], problem.members.iter().zip(&problem.names).enumerate());
                let may = members.filter(|(no, (member, name))| {
                    member.serves(stream) && loads[*no] < member.capacity && !tried.contains(*name)
                });
                if let Some((to, _)) = may.min_by_key(|(no, (_, name))| (unfit(name), loads[*no], *no)) {
                    loads[to] += 1;
                    takers.insert(n, to);
                }
            }
        }
    }
    takers
}

/// The members that gave a lease up and hold nothing: they could read none of theirs.
pub(super) fn spared(problem: &Problem<'_>) -> BTreeSet<WorkerId> {
    let free = problem.leases.iter().enumerate().filter(|(n, _)| problem.standings[*n] == Standing::Free);
    let gave_up: BTreeSet<&WorkerId> = free.flat_map(|(_, lease)| &lease.extras.unreadable_by).collect();
    let holds = |no: usize| problem.standings.contains(&Standing::Held(no));
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

    fn problem<'a>(leases: &'a [Lease], standings: Vec<Standing>) -> Problem<'a> {
        Problem {
            names: ["a", "b", "c"].map(worker).to_vec(),
            members: vec![Member { capacity: usize::MAX, unfit: false, serves: None }; 3],
            leases: leases.iter().collect(),
            streams: vec![0; leases.len()],
            standings,
            trespassed: vec![],
            unclaimed_ownership: vec![],
            weights: vec![],
        }
    }

    #[test]
    fn a_lease_that_could_not_be_read_goes_to_those_who_have_not_tried() {
        for (tried, next) in
            [(&["a"][..], Some(&1)), (&["a", "b"][..], Some(&2)), (&["a", "b", "c"][..], None), (&[][..], None)]
        {
            let leases = [lease(0, tried)];
            let takers = takers(&problem(&leases, vec![Standing::Free]), |_| None, |_| false);
            assert_eq!(takers.get(&0), next, "{tried:?}");
        }
        let leases = [lease(0, &["a"])];
        assert_eq!(takers(&problem(&leases, vec![Standing::Free]), |_| None, |name| *name == worker("b"))[&0], 2);
    }

    #[test]
    fn of_those_the_one_with_the_fewest_leases_takes_it() {
        let leases = [lease(0, &["a"]), lease(1, &[]), lease(2, &[])];
        let standings = vec![Standing::Free, Standing::Held(1), Standing::Held(0)];
        assert_eq!(takers(&problem(&leases, standings), |_| None, |_| false), BTreeMap::from([(0, 2)]));
    }

    #[test]
    fn whoever_holds_it_keeps_it() {
        let leases = [lease(0, &["a", "b"])];
        assert_eq!(takers(&problem(&leases, vec![Standing::Held(2)]), |_| None, |_| false), BTreeMap::from([(0, 2)]));
    }

    #[test]
    fn a_worker_that_can_read_none_of_its_leases_is_spared_and_one_that_reads_others_is_not() {
        let leases = [lease(0, &["a", "b"]), lease(1, &[])];
        assert_eq!(spared(&problem(&leases, vec![Standing::Free, Standing::Held(1)])), BTreeSet::from([worker("a")]));
        assert_eq!(spared(&problem(&leases, vec![Standing::Held(2), Standing::Held(1)])), BTreeSet::new());
    }
}
