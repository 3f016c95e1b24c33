//! **Promise 1** No record is skipped: a checkpoint moves only past records that were handled.

use super::state::lease_change;
use super::{Facts, seconds};
use crate::world::history::Fact;
use kcl_core::record::Checkpoint;
use std::collections::{BTreeMap, BTreeSet, HashMap};

#[derive(Debug, Default)]
struct Shard<'a> {
    /// Records by their sequence numbers.
    numbers: HashMap<&'a str, u32>,
    open: BTreeSet<u32>,
}

pub(crate) fn check(facts: &Facts) -> Vec<String> {
    let mut shards: BTreeMap<&str, Shard<'_>> = BTreeMap::new();
    let mut batches: HashMap<u64, (&str, Vec<u32>)> = HashMap::new();
    let mut broken = Vec::new();
    for event in &facts.events {
        match &event.fact {
            Fact::Put { number, shard, sequence, .. } => {
                let shard = shards.entry(shard).or_default();
                shard.numbers.insert(sequence, *number);
                shard.open.insert(*number);
            }
            Fact::Handed { shard, batch, records, .. } => {
                batches.insert(*batch, (shard, records.iter().map(|record| record.number).collect()));
            }
            Fact::Handled { batch, .. } => {
                let Some((shard, numbers)) = batches.remove(batch) else { continue };
                let open = &mut shards.entry(shard).or_default().open;
                open.retain(|number| !numbers.contains(number));
            }
            fact => {
                let Some((by, Some(before), Some(after))) = lease_change(fact) else { continue };
                let Checkpoint::At(position) = &after.checkpoint else { continue };
                if before.checkpoint == after.checkpoint {
                    continue;
                }
                let shard = shards.entry(after.key.as_str()).or_default();
                match shard.numbers.get(position.sequence_number.as_str()) {
                    None => broken.push(format!("at {} {by} put {} at no record", seconds(event.at), after.key)),
                    Some(to) => {
                        let skipped: Vec<&u32> = shard.open.range(..=*to).collect();
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
