//! Leases whose owner cannot be asked: an external writer's, or one without a session. They are free once they are stale.

use super::problem::StaleAfter;
use crate::clock::Time;
use crate::coordination::staleness::Contact;
use crate::lease::row::{Lease, LeaseKey, Owner};
use std::collections::BTreeMap;
use std::time::Duration;

/// Between two reads while some lease must be seen to be stale, or to change; less where `failover_time` is short.
const RESTING_READ: Duration = Duration::from_secs(2);
/// More leases than this are cheaper to read with the whole table than by their keys: a page of a full read pays for
/// bytes, a key for at least half a unit.
const MOST_BY_KEY: usize = 200;

pub(super) fn resting_read(failover_time: Duration) -> Duration {
    RESTING_READ.min(failover_time / 5)
}

/// What reads showed of such leases. Each read of a row is evidence by itself, however long the read of the whole table
/// took: from the receipt of the answer that first showed the row to the sending of the call that last did.
#[derive(Debug, Default)]
pub(crate) struct StaleOwnerTracker {
    seen: BTreeMap<LeaseKey, Seen>,
}

#[derive(Debug)]
struct Seen {
    owner: Option<Owner>,
    counter: u64,
    first: Time,
    last: Time,
    moved: bool,
    /// Whether it must be stale for as long as an external writer's lease.
    foreign: bool,
}

impl StaleOwnerTracker {
    /// A call that was sent and answered at these times showed the lease.
    pub(crate) fn look(&mut self, lease: &Lease, sent: Time, received: Time, contact: &Contact) {
        let fresh = |moved| Seen {
            owner: lease.owner.clone(),
            counter: lease.counter,
            first: received,
            last: received,
            moved,
            foreign: lease.was_written_externally() || lease.owner.as_ref().is_none_or(|owner| owner.session.is_none()),
        };
        match self.seen.get_mut(&lease.key) {
            Some(seen) if seen.owner == lease.owner && seen.counter == lease.counter => {
                seen.first = seen.first.max(contact.since());
                seen.last = seen.last.max(sent);
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

    /// Whether it was stale for so long, just as it is given.
    pub(crate) fn rested(&self, lease: &Lease, long: Duration) -> bool {
        self.seen.get(&lease.key).is_some_and(|seen| {
            // It may have been read since, alone.
            let same = seen.owner == lease.owner && seen.counter == lease.counter;
            same && seen.last.since(seen.first) >= long
        })
    }

    /// Whether it was seen to change: somebody else is at work.
    pub(crate) fn is_moving(&self, key: &LeaseKey) -> bool {
        self.seen.get(key).is_some_and(|seen| seen.moved)
    }

    /// The leases that were seen to change.
    pub(crate) fn moving(&self) -> impl Iterator<Item = &LeaseKey> {
        self.seen.iter().filter(|(_, seen)| seen.moved).map(|(key, _)| key)
    }

    pub(crate) fn contains(&self, key: &LeaseKey) -> bool {
        self.seen.contains_key(key)
    }

    /// When the next read could prove that one of them is stale.
    pub(crate) fn next_proof(&self, patience: StaleAfter) -> Option<Time> {
        let not_proven = self.seen.values().filter_map(|seen| {
            let long = if seen.foreign { patience.foreign } else { patience.orphan };
            (seen.last.since(seen.first) < long).then(|| seen.first + long)
        });
        not_proven.min()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }

    /// The leases to read by their keys, where they are few.
    pub(crate) fn by_key(&self) -> Option<impl Iterator<Item = &LeaseKey>> {
        (self.seen.len() <= MOST_BY_KEY).then(|| self.seen.keys())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Checkpoint, ShardId};

    const LONG: Duration = Duration::from_secs(10);

    fn t(seconds: u64) -> Time {
        Time::from_origin(Duration::from_secs(seconds))
    }

    fn lease() -> Lease {
        Lease::unowned(ShardId::from("shardId-000000000000"), Checkpoint::TrimHorizon)
    }

    /// Answers every second until then.
    fn contact(until: u64) -> Contact {
        let mut contact = Contact::new(Duration::from_secs(3));
        (0..=until).for_each(|at| contact.answered(t(at)));
        contact
    }

    #[test]
    fn a_lease_is_free_once_owner_and_counter_stood_still() {
        let (mut resting, mut lease, contact) = (StaleOwnerTracker::default(), lease(), contact(20));
        resting.look(&lease, t(0), t(0), &contact);
        resting.look(&lease, t(9), t(9), &contact);
        assert!(!resting.rested(&lease, LONG));
        resting.look(&lease, t(10), t(10), &contact);
        assert!(resting.rested(&lease, LONG));
        lease.counter += 1;
        assert!(!resting.rested(&lease, LONG), "it moved since that read");
        resting.look(&lease, t(10), t(10), &contact);
        assert!(resting.is_moving(&lease.key) && !resting.rested(&lease, LONG));
        resting.look(&lease, t(20), t(20), &contact);
        assert!(resting.rested(&lease, LONG));
    }

    #[test]
    fn reads_that_take_minutes_are_evidence_from_the_first_receipt_to_the_last_sending() {
        for read in [3, 11, 100] {
            let (mut resting, lease, contact) = (StaleOwnerTracker::default(), lease(), contact(1_000));
            resting.look(&lease, t(0), t(read), &contact);
            resting.look(&lease, t(read + 9), t(2 * read + 9), &contact);
            assert!(!resting.rested(&lease, LONG), "{read}: it may have changed just before it was first shown");
            resting.look(&lease, t(read + 10), t(2 * read + 10), &contact);
            assert!(resting.rested(&lease, LONG), "{read}");
        }
    }

    #[test]
    fn time_in_which_the_table_was_out_of_reach_does_not_count() {
        let (mut resting, lease, mut contact) = (StaleOwnerTracker::default(), lease(), contact(0));
        resting.look(&lease, t(0), t(0), &contact);
        contact.answered(t(30));
        resting.look(&lease, t(30), t(30), &contact);
        assert!(!resting.rested(&lease, LONG), "the machine was suspended");
        for at in 31..=40 {
            contact.answered(t(at));
            resting.look(&lease, t(at), t(at), &contact);
        }
        assert!(resting.rested(&lease, LONG));
    }
}
