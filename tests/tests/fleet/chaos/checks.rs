//! What must hold, each under its invariant's name. Every check returns what is broken.

use super::handler::Called;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use tokio::time::Instant;

/// One record that was put.
#[derive(Clone, Debug)]
pub(super) struct Put {
    pub(super) shard: String,
    pub(super) sequence: String,
    pub(super) number: u32,
}

/// Nothing lost: every record was handled with success.
pub(super) fn missing(put: &[Put], calls: &[Called]) -> Vec<String> {
    let handled: BTreeSet<&str> = calls
        .iter()
        .filter(|call| call.done.is_some())
        .flat_map(|call| call.records.iter().map(|record| record.sequence.as_str()))
        .collect();
    put.iter()
        .filter(|record| !handled.contains(record.sequence.as_str()))
        .map(|record| format!("lost: record {} of {}", record.number, record.shard))
        .collect()
}

/// Order: the records of a key are first handed over in the order in which they were put.
pub(super) fn order(calls: &[Called]) -> Vec<String> {
    let mut last: HashMap<&str, u32> = HashMap::new();
    let mut seen: BTreeSet<u32> = BTreeSet::new();
    let mut broken = Vec::new();
    for call in calls {
        for record in &call.records {
            if !seen.insert(record.number) {
                continue;
            }
            let before = last.insert(&record.key, record.number);
            if before.is_some_and(|before| before > record.number) {
                let (key, number) = (&record.key, record.number);
                broken.push(format!("order: {key} had {before:?} before {number} ({} {})", call.worker, call.shard));
            }
        }
    }
    broken
}

/// I1, I2: once a newer hold of a shard has delivered, an older one never begins a call; a hold has one worker.
pub(super) fn one_owner(calls: &[Called]) -> Vec<String> {
    let mut newest: HashMap<&str, (u64, &str)> = HashMap::new();
    let mut broken = Vec::new();
    for call in calls {
        let now = (call.token, call.worker.as_str());
        let before = *newest.entry(&call.shard).or_insert(now);
        if before.0 > now.0 || (before.0 == now.0 && before.1 != now.1) {
            broken.push(format!("I1: {} was handed to {now:?} after {before:?}", call.shard));
        }
        newest.insert(&call.shard, before.max(now));
    }
    broken
}

/// I5, I6: when a child is first read, every record of its parents was handled, and none is handed over afterwards.
pub(super) fn parents_first(calls: &[Called], put: &[Put], parents: &BTreeMap<String, Vec<String>>) -> Vec<String> {
    let mut first: BTreeMap<&str, Instant> = BTreeMap::new();
    let mut handled: HashMap<&str, Instant> = HashMap::new();
    for call in calls {
        first.entry(&call.shard).or_insert(call.began);
        for record in &call.records {
            if let Some(done) = call.done {
                let at = handled.entry(&record.sequence).or_insert(done);
                *at = done.min(*at);
            }
        }
    }
    let mut broken = Vec::new();
    for (child, began) in first {
        for parent in parents.get(child).into_iter().flatten() {
            let late = calls.iter().any(|call| call.shard == *parent && call.began > began);
            if late {
                broken.push(format!("I5: {parent} was still read after its child {child} had begun"));
            }
            let open = put.iter().filter(|record| record.shard == *parent);
            for record in open.filter(|r| handled.get(r.sequence.as_str()).is_none_or(|done| *done > began)) {
                broken.push(format!("I6: {child} began before record {} of {parent} was done", record.number));
            }
        }
    }
    broken
}

/// Nothing is handed over twice, where nothing failed.
pub(super) fn repeated(calls: &[Called]) -> Vec<String> {
    let mut seen: HashMap<u32, &Called> = HashMap::new();
    let mut broken = Vec::new();
    for call in calls {
        for record in &call.records {
            if let Some(before) = seen.insert(record.number, call) {
                let (number, shard) = (record.number, &call.shard);
                broken.push(format!("repeated: {number} of {shard} by {} after {}", call.worker, before.worker));
            }
        }
    }
    broken
}

/// A lease row, as a look at the table showed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LeaseSeen {
    pub(super) counter: u64,
    pub(super) checkpoint: String,
    pub(super) owner: Option<(String, u64)>,
}

/// A session row: number, and whether it has ended.
pub(super) type SessionSeen = (u64, bool);

/// One look at the table.
#[derive(Clone, Debug, Default)]
pub(super) struct Look {
    pub(super) leases: BTreeMap<String, LeaseSeen>,
    pub(super) sessions: BTreeMap<String, SessionSeen>,
}

/// I2, I4: between two looks counters and checkpoints only grow, and no owner is replaced that has not ended.
pub(super) fn went_on(before: &Look, now: &Look) -> Vec<String> {
    let mut broken = Vec::new();
    for (key, new) in &now.leases {
        let Some(old) = before.leases.get(key) else { continue };
        if new == old {
            continue;
        }
        if new.counter <= old.counter {
            broken.push(format!("I4: {key} changed without its counter: {old:?} {new:?}"));
        }
        if rank(&new.checkpoint) < rank(&old.checkpoint) {
            broken.push(format!("I4: the checkpoint of {key} went back: {old:?} {new:?}"));
        }
        if let (Some((worker, number)), Some(_)) = (&old.owner, &new.owner)
            && new.owner != old.owner
            && new.counter == old.counter + 1
            && now.sessions.get(worker).is_some_and(|(live, ended)| live == number && !ended)
        {
            broken.push(format!("I2: {key} was taken from a live session: {old:?} {new:?}"));
        }
    }
    broken
}

fn rank(checkpoint: &str) -> (u8, usize, &str) {
    match checkpoint {
        "SHARD_END" => (2, 0, ""),
        number if number.starts_with(|first: char| first.is_ascii_digit()) => (1, number.len(), number),
        _ => (0, 0, ""),
    }
}
