//! **I1** A record is delivered only while the worker's own clock is before (time its last
//! confirmed heartbeat was sent) + 0.95 F and it holds the lease. After a newer owner of a shard
//! has delivered, an older one never delivers again.

use super::state::State;
use super::{Facts, seconds};
use crate::world::history::{Fact, Name};
use kcl_core::lease::{Row, RowKey, Write};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// The part of `failover_time` that an owner counts.
const OWNERS_SHARE: f64 = 0.95;

pub(crate) fn check(facts: &Facts) -> Vec<String> {
    let mut state = State::default();
    let mut sent: HashMap<u64, Duration> = HashMap::new();
    let mut deadlines: BTreeMap<Name, Duration> = BTreeMap::new();
    let mut newest: HashMap<&str, (u64, &Name)> = HashMap::new();
    let mut broken = Vec::new();
    for event in &facts.events {
        state.apply(&event.fact);
        match &event.fact {
            Fact::Sent { process, call, write: Write::Heartbeat { .. } | Write::Register { .. } } => {
                sent.insert(*call, facts.clock(process, event.at));
            }
            Fact::Changed {
                by: Some(process),
                call,
                key: RowKey::Session(_),
                after: Some(Row::Session(session)),
                ..
            } => {
                let of_own = call.and_then(|call| sent.get(&call).copied());
                // Over the wire the sending time of a request is unknown; it is no later than its
                // effect.
                let sent = of_own.or_else(|| call.is_none().then(|| facts.clock(process, event.at)));
                if let Some(sent) = sent {
                    let deadline = sent + session.failover_time(facts.failover_time).mul_f64(OWNERS_SHARE);
                    let known = deadlines.entry(process.clone()).or_default();
                    *known = deadline.max(*known);
                }
            }
            Fact::Handed { process, shard, token, .. } => {
                let now = facts.clock(process, event.at);
                let deadline = deadlines.get(process).copied().unwrap_or_default();
                if now >= deadline {
                    let late = seconds(now.saturating_sub(deadline));
                    broken.push(format!(
                        "at {} {process} was given records of {shard} {late} too late",
                        seconds(event.at)
                    ));
                }
                let held = state.lease(shard).and_then(|lease| lease.owner.as_ref()?.session);
                if !state.is_tampered(shard) && !held.is_some_and(|session| state.is_its(process, session)) {
                    let owner = state.lease(shard).map(|lease| &lease.owner);
                    broken.push(format!(
                        "at {} {process} was given records of {shard}, which {owner:?} holds",
                        seconds(event.at)
                    ));
                }
                let hold = (*token, process);
                let before = *newest.entry(shard).or_insert(hold);
                let older = before.0 > *token || (before.0 == *token && before.1 != process);
                if older && !state.is_tampered(shard) {
                    broken.push(format!(
                        "at {} {hold:?} was given records of {shard} after {before:?}",
                        seconds(event.at)
                    ));
                }
                newest.insert(shard, before.max(hold));
            }
            _ => {}
        }
    }
    broken
}
