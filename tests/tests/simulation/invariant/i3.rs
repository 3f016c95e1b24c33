//! **I3** A session is fenced only by a worker that saw its heartbeat unchanged for F (that of the
//! session's own worker) on its own clock, by compare-and-swap on number and heartbeat.

use super::{Facts, seconds};
use crate::world::history::Fact;
use kcl_core::lease::{Row, RowKey, SessionState, WorkerId};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

pub(crate) fn check(facts: &Facts) -> Vec<String> {
    let mut sent: HashMap<u64, Duration> = HashMap::new();
    // The first time of each heartbeat. A session row that an external writer removed may reappear
    // because of a late request; that is not a sign of life.
    let mut beaten: BTreeMap<(&WorkerId, u64, u64), Duration> = BTreeMap::new();
    let mut broken = Vec::new();
    for event in &facts.events {
        match &event.fact {
            Fact::Sent { call, .. } => drop(sent.insert(*call, event.at)),
            Fact::Changed { by, call, key: RowKey::Session(worker), before, after } => {
                let before = before.as_ref().and_then(Row::as_session);
                let after = after.as_ref().and_then(Row::as_session);
                let fenced = |session: &kcl_core::lease::Session| session.state == SessionState::Fenced;
                if let (Some(by), Some(before), Some(after)) = (by, before, after)
                    && fenced(after)
                    && !fenced(before)
                {
                    let decided = call.and_then(|call| sent.get(&call).copied()).unwrap_or(event.at);
                    let heartbeat = beaten.get(&(worker, before.number, before.heartbeat)).copied().unwrap_or_default();
                    let silent = facts.clock(by, decided).saturating_sub(facts.clock(by, heartbeat));
                    let same = (before.number, before.heartbeat) == (after.number, after.heartbeat);
                    if !same || heartbeat > decided || silent < before.failover_time(facts.failover_time) {
                        let silent = seconds(silent);
                        broken.push(format!("at {} {by} fenced {worker} after {silent} of silence", seconds(event.at)));
                    }
                }
                if let Some(after) = after {
                    beaten.entry((worker, after.number, after.heartbeat)).or_insert(event.at);
                }
            }
            _ => {}
        }
    }
    broken
}
