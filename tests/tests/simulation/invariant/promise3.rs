//! **Promise 3** Order: the records of a key are first delivered in the order in which they were
//! put, across reshards too, and none before its predecessors are done.

use super::done::Done;
use super::{Facts, seconds};
use crate::world::history::Fact;
use std::collections::{BTreeMap, BTreeSet, HashMap};

pub(crate) fn check(facts: &Facts) -> Vec<String> {
    if !facts.manner.keeps_order() {
        return Vec::new();
    }
    let mut last: HashMap<&str, u32> = HashMap::new();
    let mut seen: BTreeSet<u32> = BTreeSet::new();
    // Records of each key that are not done.
    let (mut open, mut keys): (BTreeMap<&str, BTreeSet<u32>>, HashMap<u32, &str>) = Default::default();
    let (mut done, mut broken) = (Done::default(), Vec::new());
    for event in &facts.events {
        for number in done.by(&event.fact) {
            if let Some(open) = keys.get(&number).and_then(|key| open.get_mut(key)) {
                open.remove(&number);
            }
        }
        if let Fact::Put { number, key, .. } = &event.fact {
            keys.insert(*number, key);
            open.entry(key).or_default().insert(*number);
        }
        let Fact::Handed { process, shard, records, .. } = &event.fact else { continue };
        let together: BTreeSet<u32> = records.iter().map(|record| record.number).collect();
        for record in records.iter().filter(|record| seen.insert(record.number)) {
            let (at, key, number) = (seconds(event.at), &record.key, record.number);
            let before = last.insert(&record.key, record.number);
            if let Some(before) = before.filter(|before| *before > record.number) {
                broken.push(format!("at {at} {process} was given {number} of {key} in {shard} after {before}"));
            }
            let open = open.get(key.as_str()).and_then(|open| open.range(..number).find(|n| !together.contains(n)));
            if let Some(before) = open {
                broken
                    .push(format!("at {at} {process} was given {number} of {key} in {shard} before {before} was done"));
            }
        }
    }
    broken
}
