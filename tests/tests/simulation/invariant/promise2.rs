//! **Promise 2** At least once, close to once: a planned move repeats nothing, and in no case does
//! a new owner receive records that the checkpoint had passed when it claimed the lease.

use super::state::lease_change;
use super::{Facts, place, quarantine, seconds};
use crate::world::history::{Fact, Name};
use kcl_core::lease::RowKey;
use kcl_core::record::Checkpoint;
use std::collections::{BTreeSet, HashMap, HashSet};

pub(crate) fn check(facts: &Facts) -> Vec<String> {
    let mut numbers: HashMap<(&str, (&str, u64)), u32> = HashMap::new();
    let mut taken_at: HashMap<(&str, u64), u32> = HashMap::new();
    let mut given: HashMap<u32, &Name> = HashMap::new();
    // Leases that an external writer changed may start over, or go back.
    let mut by_hand: HashSet<&str> = HashSet::new();
    // Records that any row ever named as quarantined.
    let mut parked: HashMap<&str, BTreeSet<u32>> = HashMap::new();
    let mut broken = Vec::new();
    for event in &facts.events {
        match &event.fact {
            Fact::Put { number, shard, sequence, part, .. } => {
                numbers.insert((shard, (sequence, *part)), *number);
            }
            Fact::Handed { process, shard, token, records, .. } => {
                let parked = parked.get(shard.as_str());
                let passed = taken_at.get(&(shard.as_str(), *token)).filter(|_| !by_hand.contains(shard.as_str()));
                for record in records {
                    let number = record.number;
                    let is_parked = parked.is_some_and(|parked| parked.contains(&number));
                    if passed.is_some_and(|passed| number <= *passed) && !is_parked {
                        broken.push(format!(
                            "at {} {process} was given {number} of {shard}, which its checkpoint had passed",
                            seconds(event.at)
                        ));
                    }
                    let before = given.insert(number, process);
                    if let (true, Some(before)) = (facts.planned, before) {
                        let at = seconds(event.at);
                        broken.push(format!("at {at} {process} was given {number} of {shard} after {before}"));
                    }
                }
            }
            Fact::Changed { by: None, key: RowKey::Lease(lease), .. } => drop(by_hand.insert(lease.as_str())),
            fact => {
                let Some((_, _, Some(after))) = lease_change(fact) else { continue };
                parked.entry(after.key.as_str()).or_default().extend(quarantine::parked(after, &numbers));
                if let (Some(_), Checkpoint::At(position)) = (&after.owner, &after.checkpoint) {
                    let key = after.key.as_str();
                    if let Some(number) = numbers.get(&(key, place(position))) {
                        // The counter after a claim is the fencing token.
                        taken_at.insert((key, after.counter), *number);
                    }
                }
            }
        }
    }
    broken
}
