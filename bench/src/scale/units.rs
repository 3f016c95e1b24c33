//! Computes the size of a row and the units of a call by DynamoDB's rules.
//!
//! - Size: names and values in UTF-8, numbers by their digits
//!   (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html>).
//! - A read costs a unit per 4 KB, half of that if it is eventually consistent. A write costs a
//!   unit per 1 KB.

use kcl_core::lease::{AcquireMode, Assignment, Consistency, Fleet, Lease, Row, Session, SessionState, Written};

const KB: usize = 1_024;
/// Bytes of a list or map, and of each of its entries, in addition to the content.
const NESTED: usize = 3;

/// Units of reading one row. A missing row costs as much as the smallest row.
pub(crate) fn of_read(row: Option<&Row>, consistency: Consistency) -> f64 {
    of_pages(row.map_or(0, size), consistency)
}

/// Units of reading one page of a scan.
#[allow(clippy::cast_precision_loss, reason = "at most a page")]
pub(crate) fn of_pages(bytes: usize, consistency: Consistency) -> f64 {
    let units = bytes.div_ceil(4 * KB).max(1) as f64;
    match consistency {
        Consistency::Strong => units,
        Consistency::Eventual => units / 2.0,
    }
}

/// Units of a write: by the size of the row before or after it, whichever is larger. A refused
/// write costs the same.
#[allow(clippy::cast_precision_loss, reason = "at most 400 KB")]
pub(crate) fn of_write(before: Option<&Row>, written: &Written) -> f64 {
    let (Written::Applied(after) | Written::Refused(after)) = written;
    let larger = before.map_or(0, size).max(after.as_ref().map_or(0, size));
    larger.div_ceil(KB).max(1) as f64
}

/// Size of a row in bytes.
pub(crate) fn size(row: &Row) -> usize {
    let key = "leaseKey".len() + row.key().to_string().len() + "entityType".len();
    key + match row {
        Row::Lease(lease) => "LEASE".len() + of_lease(lease),
        Row::Session(session) => "KCL_SESSION".len() + of_session(session),
        Row::Fleet(fleet) => "KCL_FLEET".len() + of_fleet(fleet),
        Row::Assignment(assignment) => "KCL_ASSIGNMENT".len() + of_assignment(assignment),
        // Only tables of several streams have these rows; the benchmark has one stream.
        Row::Stream(_) | Row::Damaged(_) => 0,
    }
}

fn text(name: &str, value: &str) -> usize {
    name.len() + value.len()
}

/// A number has about one byte per two digits, and one byte more.
fn number(name: &str, value: u64) -> usize {
    let digits = value.checked_ilog10().map_or(1, |log| log as usize + 1);
    name.len() + digits.div_ceil(2) + 1
}

fn of_lease(lease: &Lease) -> usize {
    let mut bytes = number("leaseCounter", lease.counter)
        + text("checkpoint", lease.checkpoint.as_str())
        + number("checkpointSubSequenceNumber", lease.checkpoint.sub_sequence_number())
        + number("ownerSwitchesSinceCheckpoint", lease.owner_switches);
    if let Some(owner) = &lease.owner {
        bytes += text("leaseOwner", owner.worker.as_str());
        bytes += owner.session.map_or(0, |session| number("kclSession", session));
    }
    bytes += lease.kcl_counter.map_or(0, |counter| number("kclCounter", counter));
    bytes += lease.until_ms.map_or(0, |ms| number("kclUntil", ms.unsigned_abs()));
    bytes += lease.start_ms.map_or(0, |ms| number("kclStart", ms.unsigned_abs()));
    if let Some(stream) = &lease.stream {
        bytes += text("kclStream", &stream.arn) + "@1234567890".len();
    }
    for (name, shards) in [("parentShardId", &lease.parents), ("childShardIds", &lease.children)] {
        bytes += shards.iter().map(|shard| shard.as_str().len()).sum::<usize>();
        bytes += if shards.is_empty() { 0 } else { name.len() };
    }
    if let Some(range) = lease.hash_range {
        bytes += text("startingHashKey", &range.start.to_string()) + text("endingHashKey", &range.end.to_string());
    }
    bytes
}

fn of_session(session: &Session) -> usize {
    let state = match session.state {
        SessionState::Active => "active",
        SessionState::Draining => "draining",
        SessionState::Left => "left",
        SessionState::Fenced => "fenced",
    };
    number("number", session.number)
        + number("heartbeat", session.heartbeat)
        + text("state", state)
        + number("load", session.load.into())
        + session.capacity.map_or(0, |capacity| number("capacity", capacity.into()))
        + session.weights.as_ref().map_or(0, |weights| text("weights", &weights.to_text()))
}

fn of_fleet(fleet: &Fleet) -> usize {
    let numbers = [
        ("term", Some(fleet.term)),
        ("heartbeat", Some(fleet.heartbeat)),
        ("leaderSessionHeartbeat", fleet.leader_session_heartbeat),
        ("assignmentVersion", Some(fleet.assignment_version)),
        ("wake", Some(fleet.wake)),
        ("sessions", Some(fleet.sessions)),
        ("format", Some(fleet.format)),
        ("startAt", fleet.start.as_ref().and_then(|start| start.at_ms).map(i64::unsigned_abs)),
        ("leaderSession", fleet.leader.as_ref().map(|(_, session)| *session)),
    ];
    numbers.iter().filter_map(|(name, value)| Some(number(name, (*value)?))).sum::<usize>()
        + fleet.leader.as_ref().map_or(0, |(worker, _)| text("leader", worker.as_str()))
        + fleet.start.as_ref().map_or(0, |start| text("start", start.checkpoint.as_str()))
        + "filled".len()
        + 1
}

fn of_assignment(assignment: &Assignment) -> usize {
    let acquires = assignment.acquires.iter().map(|acquire| {
        let owner = acquire.owner.as_ref();
        NESTED
            + text("lease", acquire.lease.as_str())
            + number("counter", acquire.counter)
            + owner.map_or(0, |owner| text("owner", owner.worker.as_str()))
            + owner.and_then(|owner| owner.session).map_or(0, |session| number("session", session))
            + if acquire.mode == AcquireMode::After { "after".len() + 1 } else { 0 }
    });
    let yields = assignment
        .yields
        .iter()
        .map(|release| NESTED + text("lease", release.lease.as_str()) + number("counter", release.counter));
    number("term", assignment.term)
        + number("version", assignment.version)
        + "acquires".len()
        + "yields".len()
        + 2 * NESTED
        + acquires.chain(yields).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kcl_core::lease::{Acquire, LeaseKey, WorkerId};
    use kcl_core::record::{Checkpoint, ShardId};

    fn lease() -> Row {
        Row::Lease(Lease::unowned(ShardId::from("shardId-000000000042"), Checkpoint::TrimHorizon))
    }

    #[test]
    fn the_size_of_a_row_is_the_size_of_its_names_and_values() {
        let key = "leaseKey".len() + "shardId-000000000042".len() + "entityType".len() + "LEASE".len();
        let numbers = ["leaseCounter", "checkpointSubSequenceNumber", "ownerSwitchesSinceCheckpoint", "kclCounter"];
        let zeros: usize = numbers.iter().map(|name| name.len() + 2).sum();
        assert_eq!(size(&lease()), key + zeros + "checkpoint".len() + "TRIM_HORIZON".len());
    }

    #[test]
    fn reads_cost_a_unit_per_4_kb_and_writes_per_1_kb() {
        assert_eq!(of_read(None, Consistency::Strong), 1.0);
        assert_eq!(of_read(Some(&lease()), Consistency::Eventual), 0.5);
        assert_eq!(of_pages(4 * KB + 1, Consistency::Strong), 2.0);
        assert_eq!(of_write(None, &Written::Applied(Some(lease()))), 1.0);
        let acquire = |n| Acquire {
            lease: LeaseKey::new(format!("shardId-{n:012}")),
            owner: None,
            counter: 0,
            mode: AcquireMode::Now,
        };
        let (acquires, worker) = ((0..100).map(acquire).collect(), WorkerId::from_row("w"));
        let row = Row::Assignment(Assignment { worker, term: 1, version: 1, acquires, yields: vec![], lists: vec![] });
        assert_eq!(of_write(Some(&row), &Written::Applied(None)), 4.0, "100 acquires of 37 bytes");
    }
}
