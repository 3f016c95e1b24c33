//! **I8** At most one consumer per shard in a process, created and dropped with its lease; a claim
//! waits until the former one is gone. (The processing mode says how many processors a consumer
//! has.)

use super::{Facts, seconds};
use crate::world::history::{Fact, Name};
use std::collections::{BTreeSet, HashMap};

pub(crate) fn check(facts: &Facts) -> Vec<String> {
    let mut alive: HashMap<(&Name, &str), u32> = HashMap::new();
    let mut dead: BTreeSet<&Name> = BTreeSet::new();
    let mut broken = Vec::new();
    for event in &facts.events {
        match &event.fact {
            Fact::Killed { process } => drop(dead.insert(process)),
            Fact::ProcessorMade { process, shard } => {
                let count = alive.entry((process, shard)).or_default();
                *count += 1;
                if *count > facts.manner.lanes() && !dead.contains(process) {
                    broken.push(format!("at {} {process} has {count} processors for {shard}", seconds(event.at)));
                }
            }
            Fact::ProcessorDropped { process, shard } => {
                let count = alive.entry((process, shard)).or_default();
                *count = count.saturating_sub(1);
            }
            _ => {}
        }
    }
    broken
}
