//! Reads and writes the table's items by rules of the tests' own, so that the code under test does
//! not check itself.

use aws_sdk_dynamodb::types::AttributeValue;
use kcl_core::lease::row::{Damaged, SeenValue};
use kcl_core::lease::{
    Acquire, AcquireMode, Assignment, CheckpointExtras, Fleet, FleetSettings, FleetStart, Lease, LeaseKey, Owner,
    QuarantinedKey, Row, RowKey, Session, SessionState, SharedSettings, StreamRow, WorkerId, WorkerProfile, Yield,
};
use kcl_core::record::{Checkpoint, Position, ShardId, StreamId, StreamIdentity};
use kcl_core::settings::BalanceBy;
use serde_json::Value;
use std::collections::HashMap;
use std::time::{Duration, UNIX_EPOCH};

/// The kind of an item's row.
pub(super) fn key(item: &Value) -> Option<RowKey> {
    let key = item["leaseKey"]["S"].as_str()?;
    Some(match key.split_once('/') {
        Some(("session", worker)) => RowKey::Session(WorkerId::from_row(worker)),
        Some(("assignment", worker)) => RowKey::Assignment(WorkerId::from_row(worker)),
        Some(("stream", id)) => RowKey::Stream(StreamId::new(id)),
        _ if key == "fleet" => RowKey::Fleet,
        _ => RowKey::Lease(LeaseKey::new(key)),
    })
}

/// The name of an item's row.
pub(super) fn name(key: &RowKey) -> String {
    match key {
        RowKey::Session(worker) => format!("session/{worker}"),
        RowKey::Assignment(worker) => format!("assignment/{worker}"),
        RowKey::Stream(id) => format!("stream/{id}"),
        RowKey::Fleet => "fleet".to_owned(),
        RowKey::Lease(lease) => lease.to_string(),
    }
}

pub(super) fn row(item: &Value) -> Option<Row> {
    let key = key(item)?;
    let read = match &key {
        RowKey::Session(worker) => session(worker.clone(), item).map(Row::Session),
        RowKey::Assignment(worker) => plan(worker.clone(), item).map(Row::Assignment),
        RowKey::Fleet => fleet(item).map(Row::Fleet),
        RowKey::Stream(id) => stream(id.clone(), item).map(Row::Stream),
        RowKey::Lease(lease_key) => lease(lease_key.clone(), item).map(Row::Lease),
    };
    Some(read.unwrap_or_else(|| Row::Damaged(Damaged { key, why: item.to_string(), fingerprint: Vec::new() })))
}

fn string(item: &Value, name: &str) -> Option<String> {
    item[name]["S"].as_str().map(str::to_owned)
}

fn count(item: &Value, name: &str) -> Option<u64> {
    item[name]["N"].as_str()?.parse().ok()
}

fn strings(item: &Value, name: &str) -> Vec<String> {
    let set = item[name]["SS"].as_array().into_iter().flatten();
    set.filter_map(|value| value.as_str().map(str::to_owned)).collect()
}

fn session(worker: WorkerId, item: &Value) -> Option<Session> {
    let state = match string(item, "state")?.as_str() {
        "active" => SessionState::Active,
        "draining" => SessionState::Draining,
        "left" => SessionState::Left,
        "fenced" => SessionState::Fenced,
        _ => return None,
    };
    let capacity = count(item, "capacity").and_then(|most| u32::try_from(most).ok());
    let load = u32::try_from(count(item, "load")?).ok()?;
    Some(Session {
        worker,
        number: count(item, "number")?,
        tag: count(item, "tag")?,
        heartbeat: count(item, "heartbeat")?,
        state,
        capacity,
        load,
        weights: None,
        streams: string(item, "streams").map(|ids| ids.split(' ').map(StreamId::new).collect()),
        profile: WorkerProfile {
            settings: shared(item),
            adopted: item["adopted"]["BOOL"].as_bool().unwrap_or(false),
            process: None,
        },
    })
}

fn shared(item: &Value) -> Option<SharedSettings> {
    let failover_time = Duration::from_millis(count(item, "failoverTime")?);
    let balance_by = if string(item, "balanceBy")? == "bytes" { BalanceBy::Bytes } else { BalanceBy::Leases };
    Some(SharedSettings { failover_time, balance_by })
}

fn settings(item: &Value) -> Option<FleetSettings> {
    let until_ms = item["until"]["N"].as_str().and_then(|ms| ms.parse().ok());
    Some(FleetSettings { shared: shared(item)?, until_ms, set_by: string(item, "settingsBy")? })
}

fn fleet(item: &Value) -> Option<Fleet> {
    let leader = string(item, "leader").map(|worker| WorkerId::from_row(&worker)).zip(count(item, "leaderSession"));
    Some(Fleet {
        term: count(item, "term")?,
        leader,
        leader_failover_time: count(item, "leaderFailoverTime").map(Duration::from_millis),
        heartbeat: count(item, "heartbeat")?,
        leader_session_heartbeat: count(item, "leaderSessionHeartbeat"),
        assignment_version: count(item, "assignmentVersion")?,
        wake: count(item, "wake")?,
        sessions: count(item, "sessions")?,
        format: count(item, "format")?,
        writer: string(item, "writer"),
        start: start(item),
        filled: item["filled"]["BOOL"].as_bool()?,
        settings: settings(item),
    })
}

fn start(item: &Value) -> Option<FleetStart> {
    let at_ms = item["startAt"]["N"].as_str().and_then(|ms| ms.parse().ok());
    Some(FleetStart { checkpoint: Checkpoint::parse(&string(item, "start")?, 0).ok()?, at_ms })
}

fn stream(id: StreamId, item: &Value) -> Option<StreamRow> {
    Some(StreamRow { id, start: start(item)?, filled: item["filled"]["BOOL"].as_bool()? })
}

fn plan(worker: WorkerId, item: &Value) -> Option<Assignment> {
    let entries = |name: &str| item[name]["L"].as_array().cloned().unwrap_or_default();
    let take = |entry: &Value| {
        let entry = &entry["M"];
        let session = count(entry, "session");
        let owner = string(entry, "owner").map(|worker| Owner { worker: WorkerId::from_row(&worker), session });
        let mode = if entry["after"]["BOOL"] == true { AcquireMode::After } else { AcquireMode::Now };
        Some(Acquire { lease: LeaseKey::new(string(entry, "lease")?), owner, counter: count(entry, "counter")?, mode })
    };
    let give = |entry: &Value| {
        let entry = &entry["M"];
        Some(Yield { lease: LeaseKey::new(string(entry, "lease")?), counter: count(entry, "counter")? })
    };
    Some(Assignment {
        worker,
        term: count(item, "term")?,
        version: count(item, "version")?,
        acquires: entries("acquires").iter().map(take).collect::<Option<_>>()?,
        yields: entries("yields").iter().map(give).collect::<Option<_>>()?,
        lists: strings(item, "lists").into_iter().map(StreamId::new).collect(),
    })
}

fn lease(key: LeaseKey, item: &Value) -> Option<Lease> {
    let shard = ShardId::new(string(item, "shardId").unwrap_or_else(|| key.to_string()));
    let stream_name = string(item, "streamName").map(StreamId::new);
    let sub = count(item, "checkpointSubSequenceNumber").unwrap_or(0);
    let owner = string(item, "leaseOwner")
        .map(|worker| Owner { worker: WorkerId::from_row(&worker), session: count(item, "kclSession") });
    let stream = string(item, "kclStream").and_then(|text| {
        let (arn, created_at) = text.rsplit_once('@')?;
        Some(StreamIdentity::new(arn, UNIX_EPOCH + Duration::from_secs(created_at.parse().ok()?)))
    });
    let shards = |name| strings(item, name).into_iter().map(ShardId::new).collect();
    Some(Lease {
        owner,
        counter: count(item, "leaseCounter")?,
        kcl_counter: count(item, "kclCounter"),
        owner_switches: count(item, "ownerSwitchesSinceCheckpoint").unwrap_or(0),
        parents: shards("parentShardId"),
        children: shards("childShardIds"),
        stream,
        key,
        stream_name,
        extras: CheckpointExtras { parked: parked(item)?, ..CheckpointExtras::default() },
        start_ms: item["kclStart"]["N"].as_str().and_then(|ms| ms.parse().ok()),
        until_ms: item["kclUntil"]["N"].as_str().and_then(|ms| ms.parse().ok()),
        ..Lease::unowned(shard, Checkpoint::parse(&string(item, "checkpoint")?, sub).ok()?)
    })
}

/// The keys in quarantine.
fn parked(item: &Value) -> Option<Vec<QuarantinedKey>> {
    let keys = item["kclQuarantined"]["L"].as_array().cloned().unwrap_or_default();
    let position = |written: &Value| {
        let (digits, sub) = written["S"].as_str()?.split_once('.').unwrap_or((written["S"].as_str()?, "0"));
        Some(Position { sequence_number: digits.parse().ok()?, sub_sequence_number: sub.parse().ok()? })
    };
    let key = |entry: &Value| {
        let entry = &entry["M"];
        Some(QuarantinedKey {
            key: string(entry, "key"),
            positions: entry["at"]["L"].as_array()?.iter().map(position).collect::<Option<_>>()?,
            attempts: u32::try_from(count(entry, "attempts")?).ok()?,
            error: string(entry, "error")?,
            arrived_at_ms: entry["arrived"]["N"].as_str()?.parse().ok()?,
            wish: None,
            refused: None,
        })
    };
    keys.iter().map(key).collect()
}

// --- the other way, for the one kind of row that a play restores

pub(super) fn text(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

fn number(number: u64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

/// # Panics
/// For rows other than assignments.
pub(super) fn item(row: &Row) -> HashMap<String, AttributeValue> {
    let named = |pairs: Vec<(&str, AttributeValue)>| -> HashMap<String, AttributeValue> {
        pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    };
    let plan = match row {
        Row::Assignment(plan) => plan,
        Row::Damaged(damaged) => {
            let shown = damaged.fingerprint.iter().map(|mark| match &mark.value {
                SeenValue::Text(shown) => (mark.attribute, text(shown)),
                shows => panic!("only texts: {shows:?}"),
            });
            return named(shown.chain([("leaseKey", text(name(&damaged.key)))]).collect());
        }
        Row::Session(_) | Row::Fleet(_) | Row::Stream(_) | Row::Lease(_) => panic!("not put back: {row:?}"),
    };
    let take = |take: &Acquire| {
        let mut entry = vec![("lease", text(take.lease.as_str())), ("counter", number(take.counter))];
        if let Some(owner) = &take.owner {
            entry.push(("owner", text(owner.worker.as_str())));
            entry.extend(owner.session.map(|session| ("session", number(session))));
        }
        if take.mode == AcquireMode::After {
            entry.push(("after", AttributeValue::Bool(true)));
        }
        AttributeValue::M(named(entry))
    };
    let give = |give: &Yield| {
        AttributeValue::M(named(vec![("lease", text(give.lease.as_str())), ("counter", number(give.counter))]))
    };
    named(vec![
        ("leaseKey", text(name(&row.key()))),
        ("entityType", text("KCL_ASSIGNMENT")),
        ("term", number(plan.term)),
        ("version", number(plan.version)),
        ("acquires", AttributeValue::L(plan.acquires.iter().map(take).collect())),
        ("yields", AttributeValue::L(plan.yields.iter().map(give).collect())),
    ])
}
