//! **I6** SHARD_END is written only when every delivered record of that shard was acknowledged: as nothing is put into a
//! closed shard, when all that was ever put into it is handled.

use super::state::lease_change;
use super::{Facts, seconds};
use crate::world::history::Fact;
use std::collections::{BTreeMap, BTreeSet, HashMap};

pub(crate) fn check(facts: &Facts) -> Vec<String> {
    let mut open: BTreeMap<&str, BTreeSet<u32>> = BTreeMap::new();
    let mut batches: HashMap<u64, (&str, Vec<u32>)> = HashMap::new();
    let mut broken = Vec::new();
    for event in &facts.events {
        match &event.fact {
            Fact::Put { number, shard, .. } => drop(open.entry(shard).or_default().insert(*number)),
            Fact::Handed { shard, batch, records, .. } => {
                batches.insert(*batch, (shard, records.iter().map(|record| record.number).collect()));
            }
            Fact::Handled { batch, .. } => {
                let Some((shard, numbers)) = batches.remove(batch) else { continue };
                let open = open.entry(shard).or_default();
                open.retain(|number| !numbers.contains(number));
            }
            fact => {
                let Some((by, Some(before), Some(after))) = lease_change(fact) else { continue };
                let left = open.get(after.key.as_str()).filter(|left| !left.is_empty());
                if let (false, true, Some(left)) =
                    (before.checkpoint.is_shard_end(), after.checkpoint.is_shard_end(), left)
                {
                    broken.push(format!(
                        "at {} {by} ended {} before {left:?} were handled",
                        seconds(event.at),
                        after.key
                    ));
                }
            }
        }
    }
    broken
}
