//! Leases that one read of the table cannot tell the readiness of. The table is read page by page: a child may be on a later
//! page than its parent, and both made in between, so that the read shows the child alone. A parent is made before its child:
//! whoever reads the table again, once the child is known, sees both.

use crate::lease::row::{Lease, LeaseKey};
use std::collections::{BTreeMap, BTreeSet};

/// Leases never claimed and seen for the first time, in a read that shows no lease of one of their parents.
#[derive(Debug, Default)]
pub(crate) struct UnconfirmedChildren(BTreeSet<LeaseKey>);

impl UnconfirmedChildren {
    /// Among what a read shows, given what was known before it began.
    pub(crate) fn of(known: &BTreeMap<LeaseKey, Lease>, read: &BTreeMap<LeaseKey, Lease>) -> Self {
        // What was claimed once had its parents done: a lease that is done may be gone.
        let unclaimed = read.values().filter(|lease| lease.owner.is_none() && lease.counter == 0);
        let alone =
            unclaimed.filter(|lease| lease.parents.iter().any(|parent| !read.contains_key(&lease.sibling(parent))));
        UnconfirmedChildren(alone.map(|lease| &lease.key).filter(|key| !known.contains_key(key)).cloned().collect())
    }

    pub(crate) fn contains(&self, lease: &LeaseKey) -> bool {
        self.0.contains(lease)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Checkpoint, ShardId};

    fn leases(of: &[(&str, &[&str])]) -> BTreeMap<LeaseKey, Lease> {
        let lease = |(shard, parents): &(&str, &[&str])| {
            let parents = parents.iter().map(|parent| ShardId::from(*parent)).collect();
            let lease = Lease { parents, ..Lease::unowned(ShardId::from(*shard), Checkpoint::TrimHorizon) };
            (lease.key.clone(), lease)
        };
        of.iter().map(lease).collect()
    }

    #[test]
    fn a_child_whose_parents_row_may_have_been_made_behind_the_read_waits_for_another_read() {
        let child = LeaseKey::new("c");
        let torn = leases(&[("a", &[]), ("c", &["a", "b"])]);
        assert!(UnconfirmedChildren::of(&leases(&[("a", &[])]), &torn).contains(&child));
        assert!(
            UnconfirmedChildren::of(&torn, &torn).is_empty(),
            "the second read is as good as it gets: the parent is long gone"
        );
        let whole = leases(&[("a", &[]), ("b", &[]), ("c", &["a", "b"])]);
        assert!(UnconfirmedChildren::of(&leases(&[]), &whole).is_empty());
    }

    #[test]
    fn what_was_claimed_once_is_no_child_in_waiting() {
        let mut read = leases(&[("c", &["b"])]);
        read.values_mut().for_each(|lease| lease.counter = 1);
        assert!(UnconfirmedChildren::of(&leases(&[]), &read).is_empty());
    }
}
