//! **Who may have a lease.** With several streams, a worker is only assigned leases of streams that
//! it served at some time, claims no others, and receives no records of a stream that it does not
//! serve or has left.

use super::state::lease_change;
use super::{Facts, seconds};
use crate::world::history::{Fact, Name, is_of};
use kcl_core::lease::Row;
use std::collections::{BTreeMap, BTreeSet};

pub(crate) fn check(facts: &Facts) -> Vec<String> {
    let mut streams: BTreeSet<&str> = BTreeSet::new();
    let mut workers: BTreeMap<&Name, &str> = BTreeMap::new();
    // The streams that a worker serves now, and those that a worker of this name ever served.
    let mut serves: BTreeSet<(&Name, &str)> = BTreeSet::new();
    let mut served: BTreeSet<(&str, &str)> = BTreeSet::new();
    let mut broken = Vec::new();
    for event in &facts.events {
        let at = seconds(event.at);
        let stream_of = |lease: &str| streams.iter().copied().find(|stream| is_of(lease, stream));
        match &event.fact {
            Fact::Started { process, worker } => drop(workers.insert(process, worker)),
            Fact::Serves { process, stream } => {
                streams.insert(stream);
                serves.insert((process, stream));
                served.extend(workers.get(process).map(|worker| (*worker, stream.as_str())));
            }
            Fact::HasLeft { process, stream } => drop(serves.remove(&(process, stream.as_str()))),
            Fact::Handed { process, shard, .. } => {
                if stream_of(shard).is_some_and(|stream| !serves.contains(&(process, stream))) {
                    broken.push(format!(
                        "at {at} {process} was given records of {shard}, whose stream it does not serve"
                    ));
                }
            }
            Fact::Changed { by: Some(by), after: Some(Row::Assignment(plan)), .. } => {
                for take in &plan.acquires {
                    let stream = stream_of(take.lease.as_str());
                    if stream.is_some_and(|stream| !served.contains(&(plan.worker.as_str(), stream))) {
                        let (worker, lease) = (&plan.worker, &take.lease);
                        broken
                            .push(format!("at {at} {by} told {worker} to take {lease}, whose stream it never served"));
                    }
                }
            }
            fact => {
                let Some((by, Some(before), Some(after))) = lease_change(fact) else { continue };
                let (Some(owner), true) = (&after.owner, before.owner != after.owner) else { continue };
                let stream = stream_of(after.key.as_str());
                if stream.is_some_and(|stream| !served.contains(&(owner.worker.as_str(), stream))) {
                    broken.push(format!("at {at} {by} took {}, whose stream it never served", after.key));
                }
            }
        }
    }
    broken
}
