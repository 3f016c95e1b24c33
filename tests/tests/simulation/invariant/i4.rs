//! **I4** Every write of a lease row moves `leaseCounter` and is conditional on owner, session and
//! counter. A checkpoint never moves backwards and never overwrites SHARD_END.

use super::state::{State, lease_change};
use super::{Facts, seconds};
use crate::world::history::Fact;
use kcl_core::lease::Write;
use kcl_core::record::Checkpoint;
use std::collections::HashMap;

pub(crate) fn check(facts: &Facts) -> Vec<String> {
    let mut state = State::default();
    let mut sent: HashMap<u64, &Write> = HashMap::new();
    let mut broken = Vec::new();
    for event in &facts.events {
        if let Fact::Sent { call, write, .. } = &event.fact {
            sent.insert(*call, write);
        }
        if let Some((by, Some(before), after)) = lease_change(&event.fact)
            && !state.is_tampered(before.key.as_str())
        {
            let key = &before.key;
            let mut tell = |what: String| broken.push(format!("at {} {by} {what}", seconds(event.at)));
            let asked = call_of(&event.fact).and_then(|call| sent.get(&call)).copied();
            match after {
                None if before.checkpoint.is_shard_end() => {}
                // Before it is created again with a corrected start.
                None if deletes_unread(asked) && !matches!(before.checkpoint, Checkpoint::At(_)) => {}
                None => tell(format!("deleted {key}, which is not finished")),
                Some(after) => {
                    if after.counter <= before.counter {
                        tell(format!(
                            "wrote {key} without moving its counter: {} to {}",
                            before.counter, after.counter
                        ));
                    }
                    if before.checkpoint.is_shard_end() {
                        tell(format!("wrote {key} after its SHARD_END"));
                    } else if after.checkpoint.is_before(&before.checkpoint) {
                        tell(format!("moved {key} back: {:?} to {:?}", before.checkpoint, after.checkpoint));
                    }
                    let kept = after.owner == before.owner || after.owner.is_none();
                    let its = before.owner.as_ref().and_then(|owner| owner.session);
                    // The last worker frees leases that no worker could acquire.
                    let owner = before.owner.as_ref().filter(|_| after.owner.is_none());
                    let freed =
                        owner.is_some_and(|owner| owner.session.is_some_and(|n| state.has_ended(&owner.worker, n)));
                    if kept && !freed && !its.is_some_and(|session| state.is_its(by, session)) {
                        tell(format!("wrote {key}, which {:?} holds", before.owner));
                    }
                }
            }
            let meant = asked.and_then(counter);
            if meant.is_some_and(|counter| counter != before.counter) {
                tell(format!("wrote {key} at counter {}, and meant {meant:?}", before.counter));
            }
        }
        state.apply(&event.fact);
    }
    broken
}

fn call_of(fact: &Fact) -> Option<u64> {
    if let Fact::Changed { call, .. } = fact { *call } else { None }
}

fn deletes_unread(write: Option<&Write>) -> bool {
    matches!(write, Some(Write::DeleteUnread { .. }))
}

/// The counter that a write of a lease is conditional on.
fn counter(write: &Write) -> Option<u64> {
    match write {
        Write::Claim { counter, .. }
        | Write::Checkpoint { counter, .. }
        | Write::Release { counter, .. }
        | Write::ShardEnd { counter, .. }
        | Write::DeleteLease { counter, .. }
        | Write::DeleteUnread { counter, .. } => Some(*counter),
        _ => None,
    }
}
