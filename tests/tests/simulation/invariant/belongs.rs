//! **Streams do not mix.** A record is delivered under the lease of the shard that it was put into,
//! to a processor of its stream.

use super::{Facts, seconds};
use crate::world::history::Fact;
use std::collections::HashMap;

pub(crate) fn check(facts: &Facts) -> Vec<String> {
    let mut of: HashMap<u32, &str> = HashMap::new();
    let mut broken = Vec::new();
    for event in &facts.events {
        let at = seconds(event.at);
        match &event.fact {
            Fact::Put { number, shard, .. } => drop(of.insert(*number, shard)),
            Fact::Handed { process, shard, records, .. } => {
                let strays = records.iter().filter_map(|record| Some((record.number, *of.get(&record.number)?)));
                if let Some((number, of)) = strays.into_iter().find(|(_, of)| of != shard) {
                    broken.push(format!("at {at} {process} was given {number} of {of} as one of {shard}"));
                }
            }
            Fact::Strayed { process, shard, of } => {
                broken.push(format!("at {at} {process} was given {shard} in a handler that was made for {of}"));
            }
            _ => {}
        }
    }
    broken
}
