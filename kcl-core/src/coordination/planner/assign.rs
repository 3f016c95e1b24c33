//! The plan as an abstract problem: items, holders, a few numbers. See the README beside this file for what it keeps.

use std::collections::BTreeMap;

/// A worker, by its place in the list.
pub(crate) type WorkerNo = usize;

/// A worker that may be given leases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    /// The most leases it takes.
    pub(crate) capacity: usize,
    /// It did not take what it was given last: only if there is no other.
    pub(crate) unfit: bool,
}

/// Where a lease stands that needs a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nobody reads it.
    Free,
    /// A member reads it.
    Held(WorkerNo),
    /// A worker that leaves reads it.
    Leaving,
}

/// A lease that needs a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) standing: Standing,
    /// Whom an earlier plan promised it to, if that promise stands.
    pub(crate) promised: Option<WorkerNo>,
}

/// For each item, who is to take it; `None`: it stays where it is.
pub(crate) type Assignment = Vec<Option<WorkerNo>>;

/// Assigns what needs a reader, keeps promises, and moves as little as balance within one asks for: at most
/// `moves_in_flight` leases are taken from members at a time.
pub(crate) fn assign(members: &[Member], items: &[Item], moves_in_flight: usize) -> Assignment {
    let mut assignment: Assignment = vec![None; items.len()];
    if members.is_empty() {
        return assignment;
    }
    let mut loads = Loads::new(members);
    let mut moving = 0;
    for (n, item) in items.iter().enumerate() {
        match (item.standing, item.promised) {
            (Standing::Held(holder), Some(to)) if to != holder => {
                moving += 1;
                assignment[n] = Some(to);
                loads.add(to);
            }
            (Standing::Held(holder), _) => loads.add(holder),
            (Standing::Free | Standing::Leaving, Some(to)) => {
                assignment[n] = Some(to);
                loads.add(to);
            }
            (Standing::Free | Standing::Leaving, None) => {}
        }
    }
    for (n, item) in items.iter().enumerate() {
        if assignment[n].is_none() && !matches!(item.standing, Standing::Held(_)) {
            let Some(to) = loads.lightest() else { break };
            assignment[n] = Some(to);
            loads.add(to);
        }
    }
    balance(items, &mut assignment, &mut loads, moves_in_flight.saturating_sub(moving));
    assignment
}

/// Moves leases from the most to the least loaded member while they differ by two or more, or while a member is over
/// its capacity and another has room.
fn balance(items: &[Item], assignment: &mut Assignment, loads: &mut Loads<'_>, mut moves: usize) {
    let mut settled: BTreeMap<WorkerNo, Vec<usize>> = BTreeMap::new();
    for (n, item) in items.iter().enumerate() {
        if let (Standing::Held(holder), None) = (item.standing, assignment[n]) {
            settled.entry(holder).or_default().push(n);
        }
    }
    while moves > 0 {
        let Some(to) = loads.lightest() else { return };
        let from = settled
            .iter()
            .filter(|(holder, held)| !held.is_empty() && **holder != to)
            .max_by_key(|(holder, _)| (loads.excess(**holder), loads.count[**holder], std::cmp::Reverse(**holder)))
            .map(|(holder, _)| *holder);
        let Some(from) = from else { return };
        let worth_it = loads.count[from] >= loads.count[to] + 2 || loads.excess(from) > 0;
        if !worth_it {
            return;
        }
        let Some(n) = settled.get_mut(&from).and_then(Vec::pop) else { return };
        assignment[n] = Some(to);
        loads.count[from] -= 1;
        loads.add(to);
        moves -= 1;
    }
}

/// How many leases each member has or is promised.
struct Loads<'a> {
    members: &'a [Member],
    count: Vec<usize>,
    any_fit: bool,
    /// Members with room, by load: the first is the lightest.
    lightest: std::collections::BTreeSet<(usize, WorkerNo)>,
}

impl<'a> Loads<'a> {
    fn new(members: &'a [Member]) -> Self {
        let any_fit = members.iter().any(|member| !member.unfit);
        let mut loads = Loads { members, count: vec![0; members.len()], any_fit, lightest: Default::default() };
        for worker in 0..members.len() {
            loads.place(worker);
        }
        loads
    }

    fn place(&mut self, worker: WorkerNo) {
        let member = &self.members[worker];
        if self.count[worker] < member.capacity && !(member.unfit && self.any_fit) {
            self.lightest.insert((self.count[worker], worker));
        }
    }

    fn add(&mut self, worker: WorkerNo) {
        self.lightest.remove(&(self.count[worker], worker));
        self.count[worker] += 1;
        self.place(worker);
    }

    fn lightest(&self) -> Option<WorkerNo> {
        self.lightest.first().map(|(_, worker)| *worker)
    }

    fn excess(&self, worker: WorkerNo) -> usize {
        self.count[worker].saturating_sub(self.members[worker].capacity)
    }
}

#[cfg(test)]
mod tests;
