//! Encodes the fleet row: `fleet`, `entityType` KCL_FLEET.

use super::field::{Damage, Fields, required};
use super::{Item, checkpoint_text, flag, millis, name, number, settings, text};
use crate::lease::{Fleet, FleetStart, RowKey, WorkerId};
use crate::record::Checkpoint;
use aws_sdk_dynamodb::types::AttributeValue;

pub(super) fn encode(fleet: &Fleet) -> Item {
    let leader = fleet.leader.as_ref();
    let start = fleet.start.as_ref();
    let attributes: [(&str, Option<AttributeValue>); 15] = [
        (name::ENTITY_TYPE, Some(text(name::FLEET))),
        (name::TERM, Some(number(fleet.term))),
        (name::LEADER, leader.map(|(worker, _)| text(worker.as_str()))),
        (name::LEADER_SESSION, leader.map(|(_, session)| number(session))),
        (name::LEADER_FAILOVER_TIME, fleet.leader_failover_time.map(millis)),
        (name::HEARTBEAT, Some(number(fleet.heartbeat))),
        (name::LEADER_SESSION_HEARTBEAT, fleet.leader_session_heartbeat.map(number)),
        (name::ASSIGNMENT_VERSION, Some(number(fleet.assignment_version))),
        (name::WAKE, Some(number(fleet.wake))),
        (name::SESSIONS, Some(number(fleet.sessions))),
        (name::FORMAT, Some(number(fleet.format))),
        (name::WRITER, fleet.writer.as_deref().map(text)),
        (name::START, start.map(|start| checkpoint_text(&start.checkpoint))),
        (name::START_AT, start.and_then(|start| start.at_ms).map(number)),
        (name::FILLED, Some(flag(fleet.filled))),
    ];
    let mut item = super::key(&RowKey::Fleet);
    item.extend(fleet.settings.iter().flat_map(settings::encode_fleet));
    item.extend(attributes.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    item
}

pub(super) fn decode(key: &str, fields: Fields<'_>) -> Result<Fleet, Damage> {
    if key != "fleet" {
        return Err(Damage(format!("`{}` of a fleet row is `{key}`, not `fleet`", name::KEY)));
    }
    let format = required(name::FORMAT, fields.counter(name::FORMAT)?)?;
    if format > Fleet::FORMAT {
        return Ok(newer_format(format, fields));
    }
    let leader = match fields.text(name::LEADER)? {
        Some(worker) => {
            Some((WorkerId::from_row(worker), required(name::LEADER_SESSION, fields.counter(name::LEADER_SESSION)?)?))
        }
        None => None,
    };
    Ok(Fleet {
        term: required(name::TERM, fields.counter(name::TERM)?)?,
        leader,
        leader_failover_time: settings::failover_time(name::LEADER_FAILOVER_TIME, fields)?,
        heartbeat: required(name::HEARTBEAT, fields.counter(name::HEARTBEAT)?)?,
        leader_session_heartbeat: fields.counter(name::LEADER_SESSION_HEARTBEAT)?,
        assignment_version: required(name::ASSIGNMENT_VERSION, fields.counter(name::ASSIGNMENT_VERSION)?)?,
        wake: required(name::WAKE, fields.counter(name::WAKE)?)?,
        sessions: required(name::SESSIONS, fields.counter(name::SESSIONS)?)?,
        format,
        writer: fields.text(name::WRITER)?.map(str::to_owned),
        start: start(fields)?,
        filled: fields.flag(name::FILLED)?,
        settings: settings::fleet(fields)?,
    })
}

/// Decodes where first leases start.
pub(super) fn start(fields: Fields<'_>) -> Result<Option<FleetStart>, Damage> {
    let Some(written) = fields.text(name::START)? else { return Ok(None) };
    Ok(Some(FleetStart {
        checkpoint: Checkpoint::parse(written, 0).map_err(|why| Damage(format!("`{}`: {why}", name::START)))?,
        at_ms: fields.number(name::START_AT)?,
    }))
}

/// Decodes a row of a newer format as far as possible, so that the error can name its writer.
fn newer_format(format: u64, fields: Fields<'_>) -> Fleet {
    let number = |name: &str| fields.number(name).ok().flatten().unwrap_or(0);
    Fleet {
        term: number(name::TERM),
        leader: None,
        leader_failover_time: None,
        heartbeat: number(name::HEARTBEAT),
        leader_session_heartbeat: None,
        assignment_version: number(name::ASSIGNMENT_VERSION),
        wake: number(name::WAKE),
        sessions: number(name::SESSIONS),
        format,
        writer: fields.text(name::WRITER).ok().flatten().map(str::to_owned),
        start: None,
        filled: false,
        settings: None,
    }
}
