//! Encodes session rows: `session/<worker>`, `entityType` KCL_SESSION.

use super::field::{Damage, Fields, required};
use super::{Item, name, number, settings, text, worker_after};
use crate::lease::{RowKey, Session, SessionState, Weights, WorkerId};
use crate::record::StreamId;
use aws_sdk_dynamodb::types::AttributeValue;
use std::collections::BTreeSet;

pub(super) fn encode(session: &Session) -> Item {
    let mut item = super::key(&RowKey::Session(session.worker.clone()));
    item.extend([
        (name::ENTITY_TYPE.to_owned(), text(name::SESSION)),
        (name::NUMBER.to_owned(), number(session.number)),
        (name::TAG.to_owned(), number(session.tag)),
        (name::HEARTBEAT.to_owned(), number(session.heartbeat)),
        (name::STATE.to_owned(), state_text(session.state)),
        (name::LOAD.to_owned(), number(session.load)),
    ]);
    item.extend(session.capacity.map(|capacity| (name::CAPACITY.to_owned(), number(capacity))));
    item.extend(session.streams.as_ref().map(|streams| (name::STREAMS.to_owned(), streams_text(streams))));
    item.extend(session.weights.as_ref().map(|weights| (name::WEIGHTS.to_owned(), text(weights.to_text()))));
    item.extend(settings::encode_profile(&session.profile));
    item
}

pub(super) fn decode(key: &str, fields: Fields<'_>) -> Result<Session, Damage> {
    Ok(Session {
        worker: worker(key)?,
        number: required(name::NUMBER, fields.counter(name::NUMBER)?)?,
        tag: fields.number(name::TAG)?.unwrap_or(0),
        heartbeat: required(name::HEARTBEAT, fields.counter(name::HEARTBEAT)?)?,
        state: state(required(name::STATE, fields.text(name::STATE)?)?)?,
        capacity: fields.number(name::CAPACITY)?,
        load: fields.number(name::LOAD)?.unwrap_or(0),
        // Weights are advice: invalid ones are ignored, and the session stays valid.
        weights: fields.text(name::WEIGHTS).ok().flatten().and_then(Weights::from_text),
        streams: fields.text(name::STREAMS).ok().flatten().map(|ids| streams(ids).collect()),
        profile: settings::profile(fields)?,
    })
}

pub(super) fn worker(key: &str) -> Result<WorkerId, Damage> {
    worker_after("session/", key)
}

/// Encodes ids separated by spaces.
pub(in super::super) fn streams_text(streams: &BTreeSet<StreamId>) -> AttributeValue {
    let ids: Vec<&str> = streams.iter().map(StreamId::as_str).collect();
    text(ids.join(" "))
}

/// Decodes ids.
fn streams(ids: &str) -> impl Iterator<Item = StreamId> {
    ids.split(' ').filter(|id| !id.is_empty()).map(StreamId::new)
}

/// The `state` attribute.
pub(in super::super) fn state_text(state: SessionState) -> AttributeValue {
    text(match state {
        SessionState::Active => "active",
        SessionState::Draining => "draining",
        SessionState::Left => "left",
        SessionState::Fenced => "fenced",
    })
}

fn state(written: &str) -> Result<SessionState, Damage> {
    match written {
        "active" => Ok(SessionState::Active),
        "draining" => Ok(SessionState::Draining),
        "left" => Ok(SessionState::Left),
        "fenced" => Ok(SessionState::Fenced),
        other => Err(Damage(format!("`{}` is `{other}`, which is not a session state", name::STATE))),
    }
}
