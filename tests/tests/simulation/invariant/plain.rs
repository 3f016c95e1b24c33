//! **Promise 6**, its end: a fleet that stopped cleanly leaves a table that any KCL reads: leases
//! only, without owners.

use super::Facts;
use super::state::State;
use crate::world::history::Fact;
use kcl_core::lease::{Lease, Row, RowKey};
use std::collections::BTreeSet;

pub(crate) fn check(facts: &Facts) -> Vec<String> {
    if !facts.stopped {
        return Vec::new();
    }
    let mut state = State::default();
    facts.events.iter().for_each(|event| state.apply(&event.fact));
    // If a session's row was removed by hand, no worker knows that it ended; for a stream that no
    // worker serves, none needs to.
    let by_hand: BTreeSet<&str> = facts.events.iter().filter_map(|event| removed_by_hand(&event.fact)).collect();
    let is_unknown = |lease: &Lease| lease.owner.as_ref().is_some_and(|owner| by_hand.contains(owner.worker.as_str()));
    let left = |row: &Row| match row {
        Row::Lease(lease) if lease.owner.is_none() => None,
        Row::Lease(lease) if lease.stream_name.is_some() && is_unknown(lease) => None,
        Row::Lease(lease) => Some(format!("{} is left to {:?}", lease.key, lease.owner)),
        Row::Session(_) | Row::Fleet(_) | Row::Assignment(_) | Row::Stream(_) | Row::Damaged(_) => {
            Some(format!("left behind: {:?}", row.key()))
        }
    };
    state.rows().filter_map(left).collect()
}

fn removed_by_hand(fact: &Fact) -> Option<&str> {
    if let Fact::Changed { by: None, key: RowKey::Session(worker), .. } = fact { Some(worker.as_str()) } else { None }
}
