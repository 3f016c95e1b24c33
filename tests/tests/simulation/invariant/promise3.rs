//! **Promise 3** Order: the records of a key are first given to a handler in the order in which they were put, across
//! reshards too.

use super::{Facts, seconds};
use crate::world::history::Fact;
use std::collections::{BTreeSet, HashMap};

pub(crate) fn check(facts: &Facts) -> Vec<String> {
    let mut last: HashMap<&str, u32> = HashMap::new();
    let mut seen: BTreeSet<u32> = BTreeSet::new();
    let mut broken = Vec::new();
    for event in &facts.events {
        let Fact::Handed { process, shard, records, .. } = &event.fact else { continue };
        for record in records.iter().filter(|record| seen.insert(record.number)) {
            let before = last.insert(&record.key, record.number);
            if let Some(before) = before.filter(|before| *before > record.number) {
                let (at, key, number) = (seconds(event.at), &record.key, record.number);
                broken.push(format!("at {at} {process} was given {number} of {key} in {shard} after {before}"));
            }
        }
    }
    broken
}
