//! **Promise 6**, its end: a fleet that stopped cleanly leaves a table that any KCL reads: leases only, nobody's.

use super::Facts;
use super::state::State;
use kcl_core::lease::Row;

pub(crate) fn check(facts: &Facts) -> Vec<String> {
    if !facts.stopped {
        return Vec::new();
    }
    let mut state = State::default();
    facts.events.iter().for_each(|event| state.apply(&event.fact));
    let left = |row: &Row| match row {
        Row::Lease(lease) if lease.owner.is_none() => None,
        Row::Lease(lease) => Some(format!("{} is left to {:?}", lease.key, lease.owner)),
        Row::Session(_) | Row::Fleet(_) | Row::Plan(_) | Row::Stream(_) | Row::Damaged(_) => {
            Some(format!("left behind: {:?}", row.key()))
        }
    };
    state.rows().filter_map(left).collect()
}
