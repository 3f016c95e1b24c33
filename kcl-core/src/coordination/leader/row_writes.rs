//! Creates and deletes many lease rows at the pace that the table grants: parents before children,
//! and after a failure only the rows that failed. Pure.

use crate::clock::Time;
use crate::lease::Write;
use crate::lease::row::{Lease, LeaseKey};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// The most writes in flight.
const MOST_IN_FLIGHT: usize = 64;
/// The pause between two writes after the first failure. It doubles with each failure and shrinks
/// by a tenth with each success, so that about one write in seven fails if the table grants less
/// than is requested.
const FIRST_GAP: Duration = Duration::from_millis(10);
const LONGEST_GAP: Duration = Duration::from_secs(4);
const SHORTEST_GAP: Duration = Duration::from_millis(1);

/// Paces the creation and deletion of lease rows.
#[derive(Debug)]
pub(crate) struct RowWrites {
    ready: VecDeque<(LeaseKey, Write)>,
    /// Rows whose parents' rows are not written yet. A child that is visible without its parent
    /// would be taken for one whose parent is finished and deleted, and would be read too early.
    blocked: BTreeMap<LeaseKey, (Write, usize)>,
    children: BTreeMap<LeaseKey, Vec<LeaseKey>>,
    /// Each with the value of `slowed` at which it was sent.
    in_flight: BTreeMap<LeaseKey, (Write, u64)>,
    gap: Duration,
    /// How often the pause has grown. Writes that were in flight together usually fail together,
    /// and count once.
    slowed: u64,
    not_before: Time,
}

impl RowWrites {
    pub(crate) fn new(create: Vec<Lease>, delete: Vec<(LeaseKey, u64)>) -> Self {
        let keys: BTreeSet<LeaseKey> = create.iter().map(|row| row.key.clone()).collect();
        let mut writes = RowWrites {
            ready: VecDeque::new(),
            blocked: BTreeMap::new(),
            children: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            gap: Duration::ZERO,
            slowed: 0,
            not_before: Time::ZERO,
        };
        for (lease, counter) in delete {
            writes.ready.push_back((lease.clone(), Write::DeleteLease { lease, counter }));
        }
        for row in create {
            let parents: BTreeSet<LeaseKey> =
                row.parents.iter().map(|parent| row.sibling(parent)).filter(|parent| keys.contains(parent)).collect();
            let (key, waits) = (row.key.clone(), parents.len());
            for parent in parents {
                writes.children.entry(parent).or_default().push(key.clone());
            }
            let write = Write::CreateLease(Box::new(row));
            if waits == 0 {
                writes.ready.push_back((key, write));
            } else {
                writes.blocked.insert(key, (write, waits));
            }
        }
        writes
    }

    /// Returns the writes to send now, and when to call this again.
    pub(crate) fn send(&mut self, now: Time) -> (Vec<Write>, Option<Time>) {
        if self.ready.is_empty() && self.in_flight.is_empty() {
            // The remaining rows name each other as parents. Write them anyway.
            self.ready.extend(std::mem::take(&mut self.blocked).into_iter().map(|(key, (write, _))| (key, write)));
        }
        let mut sent = Vec::new();
        while self.in_flight.len() < MOST_IN_FLIGHT && now >= self.not_before {
            let Some((key, write)) = self.ready.pop_front() else { break };
            self.in_flight.insert(key, (write.clone(), self.slowed));
            sent.push(write);
            self.not_before = now + self.gap;
        }
        let again = !self.ready.is_empty() && now < self.not_before;
        (sent, again.then_some(self.not_before))
    }

    /// Records that the row is written.
    pub(crate) fn on_written(&mut self, key: &LeaseKey) {
        self.gap = self.gap.mul_f64(0.9);
        if self.gap < SHORTEST_GAP {
            self.gap = Duration::ZERO;
        }
        self.in_flight.remove(key);
        for child in self.children.remove(key).unwrap_or_default() {
            let Some((_, waits)) = self.blocked.get_mut(&child) else { continue };
            *waits -= 1;
            if *waits == 0
                && let Some((write, _)) = self.blocked.remove(&child)
            {
                self.ready.push_back((child, write));
            }
        }
    }

    /// Records that the write failed or got no answer. It is sent again, and all writes are sent
    /// more slowly.
    pub(crate) fn on_failed(&mut self, key: &LeaseKey, now: Time) {
        let Some((write, sent_at)) = self.in_flight.remove(key) else { return };
        self.ready.push_front((key.clone(), write));
        if sent_at == self.slowed {
            self.slowed += 1;
            self.gap = (self.gap * 2).clamp(FIRST_GAP, LONGEST_GAP);
            self.not_before = self.not_before.max(now + self.gap);
        }
    }

    /// Stops sending. Writes in flight continue.
    pub(crate) fn stop(&mut self) {
        self.ready.clear();
        self.blocked.clear();
    }

    pub(crate) fn is_writing(&self) -> bool {
        !self.in_flight.is_empty()
    }

    pub(crate) fn is_done(&self) -> bool {
        self.in_flight.is_empty() && self.ready.is_empty() && self.blocked.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::row::RowKey;
    use crate::record::{Checkpoint, ShardId};

    fn id(n: u32) -> ShardId {
        ShardId::new(format!("shardId-{n:012}"))
    }

    fn row(n: u32, parents: &[u32]) -> Lease {
        let parents = parents.iter().copied().map(id).collect();
        Lease { parents, ..Lease::unowned(id(n), Checkpoint::TrimHorizon) }
    }

    fn key(write: &Write) -> LeaseKey {
        let RowKey::Lease(key) = write.key() else { unreachable!() };
        key
    }

    /// Writes everything to a table that takes 5 ms per call. Returns the number of writes sent,
    /// and the time.
    fn write_all(rows: Vec<Lease>, mut acquires: impl FnMut(Time) -> bool) -> (usize, Duration) {
        let (mut writes, mut now, mut sent) = (RowWrites::new(rows, Vec::new()), Time::ZERO, 0);
        let mut flying: VecDeque<(Time, LeaseKey)> = VecDeque::new();
        while !writes.is_done() {
            let (send, again) = writes.send(now);
            sent += send.len();
            flying.extend(send.iter().map(|write| (now + Duration::from_millis(5), key(write))));
            let next = flying.front().map(|(at, _)| *at).into_iter().chain(again).min().unwrap();
            now = now.max(next);
            while let Some((_, key)) = flying.pop_front_if(|(at, _)| *at <= now) {
                if acquires(now) { writes.on_written(&key) } else { writes.on_failed(&key, now) }
            }
            assert!(now < Time::ZERO + Duration::from_secs(3_600), "does not end; {sent} writes");
        }
        (sent, now.since(Time::ZERO))
    }

    #[test]
    fn only_throttled_writes_are_repeated() {
        for (leases, throttled, seconds) in [(300, 0.01, 2), (1_000, 0.01, 4), (10_000, 0.001, 6)] {
            let mut rng = fastrand::Rng::with_seed(7);
            let rows = (0..leases).map(|n| row(n, &[])).collect();
            let (sent, took) = write_all(rows, |_| rng.f64() >= throttled);
            assert!(sent <= leases as usize * 103 / 100, "{sent} writes for {leases} leases");
            assert!(took < Duration::from_secs(seconds), "{took:?} for {leases} leases");
        }
    }

    #[test]
    fn writes_adapt_to_the_capacity_of_the_table() {
        let mut granted: u64 = 0;
        let (sent, took) = write_all((0..1_000).map(|n| row(n, &[])).collect(), |now| {
            let due = now.since(Time::ZERO).as_millis() as u64 / 20;
            let grants = granted < due;
            granted += u64::from(grants);
            // Capacity that is not used is lost.
            granted = granted.max(due.saturating_sub(50));
            grants
        });
        assert!(sent < 2_000, "{sent} writes");
        assert!(took < Duration::from_secs(40), "{took:?}");
    }

    #[test]
    fn a_table_that_refuses_all_writes_gets_fewer_and_fewer_calls() {
        let mut writes = RowWrites::new((0..200).map(|n| row(n, &[])).collect(), Vec::new());
        let (mut now, mut sent) = (Time::ZERO, 0);
        while now < Time::ZERO + Duration::from_secs(60) {
            let (send, again) = writes.send(now);
            sent += send.len();
            send.iter().for_each(|write| writes.on_failed(&key(write), now));
            now = writes.send(now).1.or(again).unwrap_or(now + Duration::from_millis(1));
        }
        assert!(sent < 64 + 40, "{sent}");
    }

    #[test]
    fn parents_are_written_before_children_and_a_cycle_is_written_anyway() {
        let mut writes = RowWrites::new(vec![row(3, &[1, 2]), row(1, &[0]), row(2, &[9]), row(0, &[])], Vec::new());
        let mut order = Vec::new();
        while !writes.is_done() {
            let (sent, _) = writes.send(Time::ZERO);
            order.push(sent.iter().map(|write| key(write).to_string()).collect::<Vec<_>>());
            sent.iter().for_each(|write| writes.on_written(&key(write)));
        }
        let names = |ids: &[u32]| ids.iter().map(|n| id(*n).to_string()).collect::<Vec<_>>();
        assert_eq!(order, [names(&[2, 0]), names(&[1]), names(&[3])]);
        let mut circle = RowWrites::new(vec![row(0, &[1]), row(1, &[0]), row(2, &[2])], Vec::new());
        assert_eq!(circle.send(Time::ZERO).0.len(), 3);
    }

    #[test]
    fn stopped_writes_send_nothing_more() {
        let mut writes = RowWrites::new((0..100).map(|n| row(n, &[])).collect(), Vec::new());
        let (sent, _) = writes.send(Time::ZERO);
        writes.stop();
        assert!(writes.is_writing() && !writes.is_done());
        sent.iter().for_each(|write| writes.on_written(&key(write)));
        assert!(writes.is_done() && writes.send(Time::ZERO).0.is_empty());
    }
}
