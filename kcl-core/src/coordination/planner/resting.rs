//! Leases whose owner cannot be asked: another hand's, or one without a session. They are free once they stood still.

use crate::clock::Time;
use crate::config::{Settings, timing};
use crate::lease::row::{Lease, LeaseKey, Owner};
use std::collections::BTreeMap;
use std::time::Duration;

/// Between two reads while some lease must be seen to stand still, or to move; less where `failover_time` is short.
const RESTING_READ: Duration = Duration::from_secs(2);

pub(super) fn resting_read(failover_time: Duration) -> Duration {
    RESTING_READ.min(failover_time / 5)
}

/// What full reads showed of such leases.
#[derive(Debug)]
pub(crate) struct Resting {
    /// Looking stopped for longer than this: what stood still meanwhile proves nothing.
    longest_gap: Duration,
    seen: BTreeMap<LeaseKey, Seen>,
}

#[derive(Debug)]
struct Seen {
    owner: Option<Owner>,
    counter: u64,
    first: Time,
    last: Time,
    moved: bool,
}

impl Resting {
    /// For the reads of a planner, or of a start.
    pub(crate) fn of(settings: &Settings) -> Self {
        let f = settings.failover_time;
        Resting::new(timing::longest_gap(f, resting_read(f)))
    }

    fn new(longest_gap: Duration) -> Self {
        Resting { longest_gap, seen: BTreeMap::new() }
    }

    /// A full read, asked for at `asked`, showed the lease.
    pub(crate) fn look(&mut self, lease: &Lease, asked: Time) {
        let fresh =
            |moved| Seen { owner: lease.owner.clone(), counter: lease.counter, first: asked, last: asked, moved };
        match self.seen.get_mut(&lease.key) {
            Some(seen) if seen.owner == lease.owner && seen.counter == lease.counter => {
                if asked.since(seen.last) > self.longest_gap {
                    seen.first = asked;
                }
                seen.last = asked;
            }
            Some(seen) => *seen = fresh(true),
            None => {
                self.seen.insert(lease.key.clone(), fresh(false));
            }
        }
    }

    /// Forgets all but these: the others have an owner that can be asked, or none.
    pub(crate) fn keep(&mut self, wanted: impl Fn(&LeaseKey) -> bool) {
        self.seen.retain(|key, _| wanted(key));
    }

    /// Whether it stood still for so long, just as it is given.
    pub(crate) fn rested(&self, lease: &Lease, long: Duration) -> bool {
        self.seen.get(&lease.key).is_some_and(|seen| {
            // It may have been read since, alone.
            let same = seen.owner == lease.owner && seen.counter == lease.counter;
            same && seen.last.since(seen.first) >= long
        })
    }

    /// Whether it was seen to move: somebody else is at work.
    pub(crate) fn is_moving(&self, key: &LeaseKey) -> bool {
        self.seen.get(key).is_some_and(|seen| seen.moved)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Checkpoint, ShardId};

    fn t(seconds: u64) -> Time {
        Time::from_origin(Duration::from_secs(seconds))
    }

    #[test]
    fn a_lease_is_free_once_owner_and_counter_stood_still() {
        let mut resting = Resting::new(Duration::from_secs(10));
        let mut lease = Lease::unowned(ShardId::from("shardId-000000000000"), Checkpoint::TrimHorizon);
        let long = Duration::from_secs(10);
        resting.look(&lease, t(0));
        resting.look(&lease, t(9));
        assert!(!resting.rested(&lease, long));
        resting.look(&lease, t(10));
        assert!(resting.rested(&lease, long));
        lease.counter += 1;
        assert!(!resting.rested(&lease, long), "it moved since that read");
        resting.look(&lease, t(10));
        assert!(resting.is_moving(&lease.key) && !resting.rested(&lease, long));
        resting.look(&lease, t(20));
        assert!(resting.rested(&lease, long));
    }

    #[test]
    fn time_in_which_nobody_looked_does_not_count() {
        let mut resting = Resting::new(Duration::from_secs(5));
        let lease = Lease::unowned(ShardId::from("shardId-000000000000"), Checkpoint::TrimHorizon);
        let long = Duration::from_secs(10);
        resting.look(&lease, t(0));
        resting.look(&lease, t(30));
        assert!(!resting.rested(&lease, long), "the machine was suspended");
        (31..=40).for_each(|at| resting.look(&lease, t(at)));
        assert!(resting.rested(&lease, long));
    }
}
