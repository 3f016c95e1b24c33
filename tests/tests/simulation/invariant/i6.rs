//! **I6** SHARD_END is written only when every delivered record of that shard was acknowledged. A
//! closed shard receives no records, so this is when all records that were ever put into it are
//! done.

use super::done::Done;
use super::state::lease_change;
use super::{Facts, seconds};
use crate::world::history::Fact;
use std::collections::{BTreeMap, BTreeSet, HashMap};

pub(crate) fn check(facts: &Facts) -> Vec<String> {
    let mut open: BTreeMap<&str, BTreeSet<u32>> = BTreeMap::new();
    let (mut done, mut of): (Done, HashMap<u32, &str>) = (Done::default(), HashMap::new());
    let mut broken = Vec::new();
    for event in &facts.events {
        for number in done.by(&event.fact) {
            if let Some(open) = of.get(&number).and_then(|shard| open.get_mut(shard)) {
                open.remove(&number);
            }
        }
        match &event.fact {
            Fact::Put { number, shard, .. } => {
                of.insert(*number, shard);
                open.entry(shard).or_default().insert(*number);
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
