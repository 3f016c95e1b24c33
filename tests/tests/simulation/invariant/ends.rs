//! How processes end: no process ends without being asked to, and a shutdown takes no longer than
//! its deadline plus the time of the last writes.

use super::{Facts, seconds};
use crate::world::history::{Fact, Name};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// After the deadline: for a table that does not answer, and for the last handlers.
const FAREWELL: Duration = Duration::from_millis(6_500);

pub(crate) fn check(facts: &Facts) -> Vec<String> {
    let mut asked: BTreeMap<&Name, Duration> = BTreeMap::new();
    // A frozen process cannot stop, and a process whose id was started again is replaced.
    let mut excused: BTreeSet<&Name> = BTreeSet::new();
    let mut workers: BTreeMap<&str, &Name> = BTreeMap::new();
    let mut dead: BTreeSet<&Name> = BTreeSet::new();
    let mut broken = Vec::new();
    for event in &facts.events {
        match &event.fact {
            Fact::Started { process, worker } => {
                if let Some(before) = workers.insert(worker, process) {
                    excused.insert(before);
                }
            }
            Fact::StopAsked { process, within } => {
                let until = event.at + *within + FAREWELL;
                let known = asked.entry(process).or_insert(until);
                *known = until.min(*known);
            }
            Fact::Frozen { process } | Fact::Befell { process, .. } | Fact::ClockJumped { process, .. } => {
                let frozen = matches!(event.fact, Fact::Frozen { .. });
                excused.extend(Some(process).filter(|process| frozen || asked.contains_key(process)));
            }
            Fact::MayFail { process } => drop(excused.insert(process)),
            Fact::Killed { process } => drop(dead.insert(process)),
            Fact::Ended { process, error } if !excused.contains(process) && !dead.contains(process) => {
                let at = seconds(event.at);
                match (asked.get(process), error) {
                    // The last worker leaves a table with quarantined keys as it is, and reports
                    // that.
                    (Some(_), Some(error)) if error.contains("KCL-0020") => {}
                    (_, Some(error)) => broken.push(format!("at {at} {process} ended with: {error}")),
                    (None, None) => broken.push(format!("at {at} {process} ended, and nobody had asked it to")),
                    (Some(until), None) if event.at > *until => {
                        broken.push(format!("at {at} {process} ended {} too late", seconds(event.at - *until)));
                    }
                    (Some(_), None) => {}
                }
            }
            _ => {}
        }
    }
    broken
}
