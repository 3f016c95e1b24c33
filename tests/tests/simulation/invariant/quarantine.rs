//! **Quarantine loses nothing.** A record that a row names as quarantined is named until it is
//! done.

use super::done::Done;
use super::state::lease_change;
use super::{Facts, place, seconds};
use crate::world::history::Fact;
use kcl_core::lease::Lease;
use std::collections::{BTreeSet, HashMap, HashSet};

pub(crate) fn check(facts: &Facts) -> Vec<String> {
    let mut numbers: HashMap<(&str, (&str, u64)), u32> = HashMap::new();
    let (mut done, mut is_done, mut broken) = (Done::default(), HashSet::new(), Vec::new());
    for event in &facts.events {
        is_done.extend(done.by(&event.fact));
        if let Fact::Put { number, shard, sequence, part, .. } = &event.fact {
            numbers.insert((shard, (sequence, *part)), *number);
        }
        let Some((by, Some(before), Some(after))) = lease_change(&event.fact) else { continue };
        let [before, after] = [before, after].map(|lease| parked(lease, &numbers));
        let lost: Vec<&u32> = before.difference(&after).filter(|number| !is_done.contains(*number)).collect();
        if !lost.is_empty() {
            broken.push(format!("at {} {by} forgot {lost:?}, which were parked", seconds(event.at)));
        }
    }
    broken
}

/// The records that the row names as quarantined.
pub(super) fn parked(lease: &Lease, numbers: &HashMap<(&str, (&str, u64)), u32>) -> BTreeSet<u32> {
    let positions = lease.extras.parked.iter().flat_map(|key| &key.positions);
    positions.filter_map(|position| numbers.get(&(lease.key.as_str(), place(position))).copied()).collect()
}
