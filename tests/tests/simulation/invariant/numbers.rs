//! Numbers of a row only grow while the row exists: a session's number and heartbeat, the fleet row's term, heartbeat, wakes and
//! drawn sessions, an assignment's term and version. (I4 has those of leases.) What another hand put back may go back.

use super::{Facts, seconds};
use crate::world::history::Fact;
use kcl_core::lease::Row;

pub(crate) fn check(facts: &Facts) -> Vec<String> {
    let mut broken = Vec::new();
    for event in &facts.events {
        let Fact::Changed { by: Some(by), key, before: Some(before), after: Some(after), .. } = &event.fact else {
            continue;
        };
        let (was, is) = (numbers(before), numbers(after));
        if was.iter().zip(&is).any(|(was, is)| was > is) {
            broken.push(format!("at {} {by} set {key} back from {was:?} to {is:?}", seconds(event.at)));
        }
    }
    broken
}

/// What only grows. Each pair counts from 0 again where its first number grows.
fn numbers(row: &Row) -> Vec<(u64, u64)> {
    match row {
        Row::Session(session) => vec![(session.number, session.heartbeat)],
        Row::Fleet(fleet) => vec![(fleet.term, fleet.heartbeat), (fleet.wake, 0), (fleet.sessions, 0)],
        Row::Assignment(plan) => vec![(plan.term, plan.version)],
        Row::Lease(_) | Row::Stream(_) | Row::Damaged(_) => Vec::new(),
    }
}
