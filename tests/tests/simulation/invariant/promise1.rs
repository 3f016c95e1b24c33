//! **Promise 1** No record is skipped: a checkpoint moves only past records that are done, or that
//! the row names as quarantined.

use super::done::Done;
use super::state::lease_change;
use super::{Facts, place, seconds};
use crate::world::history::Fact;
use kcl_core::record::Checkpoint;
use std::collections::{BTreeMap, BTreeSet, HashMap};

#[derive(Debug, Default)]
struct Shard<'a> {
    /// Records by their sequence numbers and indexes in aggregates.
    numbers: HashMap<(&'a str, u64), u32>,
    open: BTreeSet<u32>,
}

pub(crate) fn check(facts: &Facts) -> Vec<String> {
    let mut shards: BTreeMap<&str, Shard<'_>> = BTreeMap::new();
    let (mut done, mut of) = (Done::default(), HashMap::new());
    let mut broken = Vec::new();
    for event in &facts.events {
        for number in done.by(&event.fact) {
            if let Some(shard) = of.get(&number).and_then(|shard: &&str| shards.get_mut(shard)) {
                shard.open.remove(&number);
            }
        }
        match &event.fact {
            Fact::Put { number, shard, sequence, part, .. } => {
                of.insert(*number, shard);
                let shard = shards.entry(shard).or_default();
                shard.numbers.insert((sequence, *part), *number);
                shard.open.insert(*number);
            }
            fact => {
                let Some((by, Some(before), Some(after))) = lease_change(fact) else { continue };
                let Checkpoint::At(position) = &after.checkpoint else { continue };
                if before.checkpoint == after.checkpoint && before.extras.parked == after.extras.parked {
                    continue;
                }
                let shard = shards.entry(after.key.as_str()).or_default();
                match shard.numbers.get(&place(position)) {
                    None => broken.push(format!("at {} {by} put {} at no record", seconds(event.at), after.key)),
                    Some(to) => {
                        let parked = after.extras.parked.iter().flat_map(|key| &key.positions);
                        let parked: BTreeSet<&u32> =
                            parked.filter_map(|position| shard.numbers.get(&place(position))).collect();
                        let skipped: Vec<&u32> =
                            shard.open.range(..=*to).filter(|number| !parked.contains(number)).collect();
                        if !skipped.is_empty() {
                            let (at, key) = (seconds(event.at), &after.key);
                            broken.push(format!("at {at} {by} moved {key} past {skipped:?}, which nobody has handled"));
                        }
                    }
                }
            }
        }
    }
    broken
}
