//! Decides which children of ended shards this worker claims without waiting for an assignment.
//!
//! A child with one parent is claimed at once. A child with two parents is claimed when both have SHARD_END. Of the two
//! owners that end the parents, at least one reads the other's SHARD_END, because each reads after its own write. See
//! docs/protocol/resharding.md.

use super::backoff::RetryPolicy;
use super::call::{CallId, LeaseCall, LeaseTimer, Op, Reply, Rows, TimerId};
use super::effects::Effects;
use super::streams::Streams;
use crate::lease::Consistency;
use crate::lease::row::{LeaseKey, RowKey};
use crate::record::ShardId;
use crate::shard::Shard;
use std::collections::BTreeMap;

/// The children with two parents whose parents are being read, by the lease that ended here.
#[derive(Debug, Default)]
pub(super) struct Reshards {
    of_two: BTreeMap<LeaseKey, Vec<Shard>>,
}

impl Reshards {
    /// This worker ended a lease. Returns the children to claim now.
    pub(super) fn on_ended(
        &mut self,
        ended: &LeaseKey,
        children: Vec<Shard>,
        streams: &Streams,
        effects: &mut Effects,
    ) -> Vec<Shard> {
        let (of_one, of_two): (Vec<Shard>, Vec<Shard>) =
            children.into_iter().partition(|child| child.parents.len() < 2);
        if !of_two.is_empty() {
            self.of_two.insert(ended.clone(), of_two);
            self.read_parents(ended, streams, effects);
        }
        of_one
    }

    pub(super) fn read_parents(&self, ended: &LeaseKey, streams: &Streams, effects: &mut Effects) {
        if let Some(children) = self.of_two.get(ended) {
            let parents = children.iter().flat_map(|child| &child.parents);
            let keys = parents.map(|id| RowKey::Lease(streams.sibling_key(ended, id)));
            let read = Op::Read(keys.collect(), Consistency::Strong);
            effects.call(CallId::Lease(ended.clone(), LeaseCall::ChildrensParents), read);
        }
    }

    /// Returns the children to claim.
    pub(super) fn on_parents(&mut self, ended: &LeaseKey, answer: Reply<Rows>, effects: &mut Effects) -> Vec<Shard> {
        let Ok(rows) = answer else {
            effects.retry(TimerId::Lease(ended.clone(), LeaseTimer::ChildrensParents), RetryPolicy::CALL);
            return Vec::new();
        };
        let has_ended: Vec<ShardId> = rows
            .into_iter()
            .flatten()
            .filter_map(|row| row.as_lease().filter(|lease| lease.checkpoint.is_shard_end()).map(|l| l.shard.clone()))
            .collect();
        let mut children = self.of_two.remove(ended).unwrap_or_default();
        // A parent without a row may be one that is yet to be created: the leader assigns that child.
        let all_have_ended = |child: &Shard| child.parents.iter().all(|parent| has_ended.contains(parent));
        children.retain(|child| all_have_ended(child) || mutated!(MergesAlone));
        children
    }
}
