//! Observes leases whose owner has no session to fence (external writers, orphaned leases). They
//! are free once they are stale.

use super::problem::StaleAfter;
use crate::clock::Time;
use crate::coordination::staleness::Contact;
use crate::lease::row::{Lease, LeaseKey, Owner};
use std::collections::BTreeMap;
use std::time::Duration;

/// The pause between two reads while a lease must be observed; shorter if `failover_time` is short.
const RESTING_READ: Duration = Duration::from_secs(2);
/// More leases than this are cheaper to read with the whole table than by their keys: a page of a
/// scan is billed by its bytes, a read by key costs at least half a read unit (AWS: "Read
/// consistency and capacity").
const MOST_BY_KEY: usize = 200;

pub(super) fn stale_owner_read_interval(failover_time: Duration) -> Duration {
    RESTING_READ.min(failover_time / 5)
}

/// The observations of such leases. Each read of a row is evidence by itself, however long the full
/// read took: a row is proven unchanged from the receipt of the answer that first showed it to the
/// sending of the call that last did.
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
    /// Whether the limit for external writers applies.
    foreign: bool,
}

impl StaleOwnerTracker {
    /// Records that a call, sent and answered at these times, showed the lease.
    pub(crate) fn observe(&mut self, lease: &Lease, sent: Time, received: Time, contact: &Contact) {
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

    /// Forgets all other leases: their owner has a session, or they have none.
    pub(crate) fn keep(&mut self, wanted: impl Fn(&LeaseKey) -> bool) {
        self.seen.retain(|key, _| wanted(key));
    }

    /// Whether the lease, as it is given, was unchanged for this long.
    pub(crate) fn is_stale_for(&self, lease: &Lease, long: Duration) -> bool {
        self.seen.get(&lease.key).is_some_and(|seen| {
            // The lease may have been read alone since.
            let same = seen.owner == lease.owner && seen.counter == lease.counter;
            same && seen.last.since(seen.first) >= long
        })
    }

    /// Whether the lease was seen to change, so its owner is active.
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

    /// When the next read could prove that a lease is stale.
    pub(crate) fn next_proof(&self, stale_after: StaleAfter) -> Option<Time> {
        let not_proven = self.seen.values().filter_map(|seen| {
            let long = if seen.foreign { stale_after.foreign } else { stale_after.orphan };
            (seen.last.since(seen.first) < long).then(|| seen.first + long)
        });
        not_proven.min()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }

    /// The leases to read by their keys, if they are few enough.
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

    /// A contact with answers every second until then.
    fn contact(until: u64) -> Contact {
        let mut contact = Contact::new(Duration::from_secs(3));
        (0..=until).for_each(|at| contact.answered(t(at)));
        contact
    }

    #[test]
    fn a_lease_is_stale_once_owner_and_counter_were_unchanged_long_enough() {
        let (mut stale_owners, mut lease, contact) = (StaleOwnerTracker::default(), lease(), contact(20));
        stale_owners.observe(&lease, t(0), t(0), &contact);
        stale_owners.observe(&lease, t(9), t(9), &contact);
        assert!(!stale_owners.is_stale_for(&lease, LONG));
        stale_owners.observe(&lease, t(10), t(10), &contact);
        assert!(stale_owners.is_stale_for(&lease, LONG));
        lease.counter += 1;
        assert!(!stale_owners.is_stale_for(&lease, LONG), "it changed since that read");
        stale_owners.observe(&lease, t(10), t(10), &contact);
        assert!(stale_owners.is_moving(&lease.key) && !stale_owners.is_stale_for(&lease, LONG));
        stale_owners.observe(&lease, t(20), t(20), &contact);
        assert!(stale_owners.is_stale_for(&lease, LONG));
    }

    #[test]
    fn slow_reads_are_evidence_from_the_first_receipt_to_the_last_sending() {
        for read in [3, 11, 100] {
            let (mut stale_owners, lease, contact) = (StaleOwnerTracker::default(), lease(), contact(1_000));
            stale_owners.observe(&lease, t(0), t(read), &contact);
            stale_owners.observe(&lease, t(read + 9), t(2 * read + 9), &contact);
            assert!(
                !stale_owners.is_stale_for(&lease, LONG),
                "{read}: it may have changed just before it was first shown"
            );
            stale_owners.observe(&lease, t(read + 10), t(2 * read + 10), &contact);
            assert!(stale_owners.is_stale_for(&lease, LONG), "{read}");
        }
    }

    #[test]
    fn time_during_which_the_table_was_unreachable_does_not_count() {
        let (mut stale_owners, lease, mut contact) = (StaleOwnerTracker::default(), lease(), contact(0));
        stale_owners.observe(&lease, t(0), t(0), &contact);
        contact.answered(t(30));
        stale_owners.observe(&lease, t(30), t(30), &contact);
        assert!(!stale_owners.is_stale_for(&lease, LONG), "the machine was suspended");
        for at in 31..=40 {
            contact.answered(t(at));
            stale_owners.observe(&lease, t(at), t(at), &contact);
        }
        assert!(stale_owners.is_stale_for(&lease, LONG));
    }
}
