//! Tracks the load of each member, pending moves included, and finds the lightest member.

use super::{Member, StreamNo, WorkerNo};
use crate::config::BalanceBy;
use std::collections::BTreeSet;

/// By bytes, a member gets at most this many even shares of the leases while others have fewer,
/// because idle leases are work, too.
const MOST_SHARES: usize = 2;

/// The load of each member.
#[derive(Debug)]
pub(super) struct Loads<'a> {
    members: &'a [Member],
    any_preferred: bool,
    /// Whether every member can hold any lease.
    pub(super) alike: bool,
    /// More leases than this are too many for a member while another one has fewer.
    many: usize,
    cost: Vec<u64>,
    count: Vec<usize>,
    /// Members with room, ordered by whether they have many leases, by cost, and by number of
    /// leases. The first one is the lightest.
    lightest: BTreeSet<(bool, u64, usize, WorkerNo)>,
}

impl<'a> Loads<'a> {
    pub(super) fn new(members: &'a [Member], items: usize, by: BalanceBy) -> Self {
        let any_preferred = members.iter().any(|member| !member.avoided);
        let alike = members.iter().all(|member| member.serves.is_none());
        let many = match by {
            BalanceBy::Leases => usize::MAX,
            BalanceBy::Bytes => items.div_ceil(members.len()).saturating_mul(MOST_SHARES),
        };
        let (cost, count) = (vec![0; members.len()], vec![0; members.len()]);
        let mut loads = Loads { members, any_preferred, alike, many, cost, count, lightest: BTreeSet::new() };
        (0..members.len()).for_each(|worker| loads.place(worker));
        loads
    }

    /// The number of members.
    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    pub(super) fn cost(&self, worker: WorkerNo) -> u64 {
        self.cost[worker]
    }

    pub(super) fn count(&self, worker: WorkerNo) -> usize {
        self.count[worker]
    }

    /// The number of leases above its capacity.
    pub(super) fn excess(&self, worker: WorkerNo) -> usize {
        self.count[worker].saturating_sub(self.members[worker].capacity)
    }

    /// Whether it has more leases than it should while others have few.
    pub(super) fn has_too_many(&self, worker: WorkerNo) -> bool {
        self.count[worker] > self.many
    }

    /// Members with room, the lightest first.
    pub(super) fn lightest_first(&self) -> impl Iterator<Item = WorkerNo> {
        self.lightest.iter().map(|(.., worker)| *worker)
    }

    /// Those members with room that have few enough leases to get leases of others.
    pub(super) fn lightest_of_few(&self) -> impl Iterator<Item = WorkerNo> {
        self.lightest.iter().take_while(|(many, ..)| !many).map(|(.., worker)| *worker)
    }

    /// The member that gets the next lease of this stream, if any has room.
    pub(super) fn lightest_for(&self, stream: StreamNo) -> Option<WorkerNo> {
        let fit = self.lightest_first().find(|worker| self.serves(*worker, stream));
        if fit.is_some() || self.alike {
            return fit;
        }
        // Only avoided members are left among those that serve the stream.
        let avoided = (0..self.len()).filter(|worker| self.members[*worker].avoided && self.serves(*worker, stream));
        avoided.filter(|worker| self.count[*worker] < self.members[*worker].capacity).min_by_key(|n| self.key(*n))
    }

    /// Whether a member can hold leases of this stream.
    pub(super) fn serves(&self, worker: WorkerNo, stream: StreamNo) -> bool {
        self.members[worker].serves(stream)
    }

    pub(super) fn add(&mut self, worker: WorkerNo, cost: u64) {
        self.lightest.remove(&self.key(worker));
        self.cost[worker] += cost;
        self.count[worker] += 1;
        self.place(worker);
    }

    pub(super) fn remove(&mut self, worker: WorkerNo, cost: u64) {
        self.lightest.remove(&self.key(worker));
        self.cost[worker] -= cost;
        self.count[worker] -= 1;
        self.place(worker);
    }

    fn place(&mut self, worker: WorkerNo) {
        let member = &self.members[worker];
        if self.count[worker] < member.capacity && !(member.avoided && self.any_preferred) {
            self.lightest.insert(self.key(worker));
        }
    }

    fn key(&self, worker: WorkerNo) -> (bool, u64, usize, WorkerNo) {
        (self.count[worker] >= self.many, self.cost[worker], self.count[worker], worker)
    }
}
