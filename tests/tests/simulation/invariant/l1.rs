//! **L1** Once faults stop and what they delayed has landed, every open shard with finished parents is being read within
//! 2 F + 5 s. What only a full read can notice (rows changed by hand) adds its minute.

use super::{Facts, seconds};
use crate::world::history::Fact;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

const MORE: Duration = Duration::from_secs(5);
/// A batch that a slow handler began before the calm, and what had piled up behind it.
const HANDLERS: Duration = Duration::from_secs(5);
const FULL_READ: Duration = Duration::from_secs(60);

pub(crate) fn check(facts: &Facts) -> Vec<String> {
    let mut calm = None;
    let mut open: BTreeMap<u32, &str> = BTreeMap::new();
    let mut batches: HashMap<u64, Vec<u32>> = HashMap::new();
    let mut late = Vec::new();
    for event in &facts.events {
        match &event.fact {
            Fact::Calm { tampered } => {
                let bound =
                    facts.failover_time * 2 + MORE + HANDLERS + if *tampered { FULL_READ } else { Duration::ZERO };
                calm = Some((event.at, event.at + bound));
            }
            // What is put later is no measure: its shard may be read long before.
            Fact::Put { number, shard, .. } if calm.is_none_or(|(at, _)| event.at == at) => {
                open.insert(*number, shard);
            }
            Fact::Handed { batch, records, .. } => {
                batches.insert(*batch, records.iter().map(|record| record.number).collect());
            }
            Fact::Handled { batch, .. } => {
                for number in batches.remove(batch).into_iter().flatten() {
                    let shard = open.remove(&number);
                    if let (Some(shard), Some((at, bound))) = (shard, calm)
                        && event.at > bound
                    {
                        late.push((shard, event.at.saturating_sub(at)));
                    }
                }
            }
            _ => {}
        }
    }
    let Some((at, bound)) = calm else { return Vec::new() };
    let bound = seconds(bound.saturating_sub(at));
    let never = open.iter().map(|(number, shard)| format!("record {number} of {shard} was never handled"));
    let late =
        late.iter().map(|(shard, after)| format!("{shard} was read {} after the calm ({bound})", seconds(*after)));
    never.chain(late).collect()
}
