//! **I2** A lease changes owner only from nobody, from an ended session, or from an owner without a
//! session that was stale; always by compare-and-swap on `leaseCounter`.
//!
//! An owner whose row has been gone for that long has confirmed no heartbeat since, and delivers
//! nothing any more. A later change of its lease is a checkpoint of records that were handled
//! before.

use super::state::{State, lease_change};
use super::{Facts, seconds};
use crate::world::history::Fact;
use kcl_core::lease::{Lease, LeaseKey, Owner, Row, RowKey, WorkerId};
use std::collections::BTreeMap;
use std::time::Duration;

/// Staleness is timed by the leader's clock, which may be off by 2.5 %.
const DRIFT: f64 = 0.975;

pub(crate) fn check(facts: &Facts) -> Vec<String> {
    let mut state = State::default();
    let mut moved: BTreeMap<LeaseKey, Duration> = BTreeMap::new();
    let mut gone: BTreeMap<WorkerId, Duration> = BTreeMap::new();
    let mut broken = Vec::new();
    for event in &facts.events {
        if let Some((by, Some(before), Some(after))) = lease_change(&event.fact)
            && before.owner != after.owner
            && !state.is_tampered(before.key.as_str())
        {
            let stood = event.at.saturating_sub(moved.get(&before.key).copied().unwrap_or_default());
            let free = match (&before.owner, &after.owner) {
                (None, _) => true,
                // Released; or freed because its owner no longer exists.
                (Some(owner), None) => owner
                    .session
                    .is_some_and(|session| state.is_its(by, session) || state.has_ended(&owner.worker, session)),
                (Some(owner), Some(_)) => {
                    let gone = gone.get(&owner.worker).map(|since| event.at.saturating_sub(*since));
                    is_free(&state, before, owner, stood.max(gone.unwrap_or_default()), facts)
                }
            };
            if !free {
                let (from, to) = (&before.owner, &after.owner);
                broken.push(format!("at {} {by} moved {} from {from:?} to {to:?}", seconds(event.at), before.key));
            }
            if after.counter != before.counter + 1 {
                broken.push(format!("at {} {by} took {} over a counter it did not see", seconds(event.at), before.key));
            }
        }
        match &event.fact {
            Fact::Changed { key: RowKey::Lease(key), .. } => drop(moved.insert(key.clone(), event.at)),
            Fact::Changed { key: RowKey::Session(worker), after, .. } => {
                if after.as_ref().and_then(Row::as_session).is_some() {
                    gone.remove(worker);
                } else {
                    gone.entry(worker.clone()).or_insert(event.at);
                }
            }
            _ => {}
        }
        state.apply(&event.fact);
    }
    broken
}

fn is_free(state: &State, lease: &Lease, owner: &Owner, stood: Duration, facts: &Facts) -> bool {
    let ours = owner.session.filter(|_| !lease.was_written_externally());
    let Some(number) = ours else { return stood >= facts.java_failover_time.mul_f64(DRIFT) };
    let orphan = state.session(&owner.worker).is_none_or(|session| session.number < number);
    state.has_ended(&owner.worker, number) || (orphan && stood >= facts.failover_time.mul_f64(DRIFT))
}
