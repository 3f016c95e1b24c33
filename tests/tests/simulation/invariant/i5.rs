//! **I5** Child leases exist before their parent's SHARD_END; a child is read only when every
//! parent that has a lease is at SHARD_END. (The child of a merge exists before the end of the
//! parent that ends last.)

use super::state::{State, lease_change};
use super::{Facts, seconds};
use crate::world::history::Fact;
use std::collections::BTreeMap;

pub(crate) fn check(facts: &Facts) -> Vec<String> {
    let mut state = State::default();
    let mut parents: BTreeMap<&str, &[String]> = BTreeMap::new();
    let mut broken = Vec::new();
    for event in &facts.events {
        state.apply(&event.fact);
        match &event.fact {
            Fact::Resharded { parents: ended, children } => {
                parents.extend(children.iter().map(|child| (child.as_str(), ended.as_slice())));
            }
            Fact::Handed { process, shard, .. } => {
                for parent in parents.get(shard.as_str()).copied().unwrap_or_default() {
                    let open = state.lease(parent).filter(|lease| !lease.checkpoint.is_shard_end());
                    if let Some(open) = open.filter(|_| !state.is_tampered(parent)) {
                        let at = &open.checkpoint;
                        broken.push(format!(
                            "at {} {process} read {shard} while its parent {parent} is at {at:?}",
                            seconds(event.at)
                        ));
                    }
                }
            }
            fact => {
                let Some((by, Some(before), Some(after))) = lease_change(fact) else { continue };
                if before.checkpoint.is_shard_end() || !after.checkpoint.is_shard_end() {
                    continue;
                }
                let ended = after.key.as_str();
                for (child, of) in parents.iter().filter(|(_, of)| of.iter().any(|parent| parent == ended)) {
                    let over = |parent| state.lease(parent).is_some_and(|lease| lease.checkpoint.is_shard_end());
                    if state.lease(child).is_none() && of.iter().all(|parent| over(parent)) {
                        broken.push(format!("at {} {by} ended {ended} before {child} had a row", seconds(event.at)));
                    }
                }
            }
        }
    }
    broken
}
