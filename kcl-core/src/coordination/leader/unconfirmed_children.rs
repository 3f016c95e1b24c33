//! Finds child leases whose parents one read of the table does not show, and that need a second
//! read.

use crate::lease::row::{Lease, LeaseKey};
use std::collections::{BTreeMap, BTreeSet};

/// Leases that were never claimed, are seen for the first time, and miss the row of a parent.
#[derive(Debug, Default)]
pub(crate) struct UnconfirmedChildren(BTreeSet<LeaseKey>);

impl UnconfirmedChildren {
    /// Selects them among the leases of a read, given the leases that were known before. A full
    /// read is no snapshot: a child may be on a later page than its parent, and both may have been
    /// created in between. A parent is created before its child, so the next read shows both
    /// (docs/protocol/resharding.md).
    pub(crate) fn of(known: &BTreeMap<LeaseKey, Lease>, read: &BTreeMap<LeaseKey, Lease>) -> Self {
        // A lease is claimed only after its parents are finished, and rows of finished parents are
        // deleted after a while.
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
    fn a_child_whose_parent_may_have_been_created_during_the_read_waits_for_another_read() {
        let child = LeaseKey::new("c");
        let torn = leases(&[("a", &[]), ("c", &["a", "b"])]);
        assert!(UnconfirmedChildren::of(&leases(&[("a", &[])]), &torn).contains(&child));
        assert!(
            UnconfirmedChildren::of(&torn, &torn).is_empty(),
            "the second read decides: the parent was deleted long ago"
        );
        let whole = leases(&[("a", &[]), ("b", &[]), ("c", &["a", "b"])]);
        assert!(UnconfirmedChildren::of(&leases(&[]), &whole).is_empty());
    }

    #[test]
    fn a_lease_that_was_claimed_before_needs_no_confirmation() {
        let mut read = leases(&[("c", &["b"])]);
        read.values_mut().for_each(|lease| lease.counter = 1);
        assert!(UnconfirmedChildren::of(&leases(&[]), &read).is_empty());
    }
}
