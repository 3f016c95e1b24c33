//! Encodes the data stored with a checkpoint: KCL's attributes of a prepared one, and three of
//! ours.

use super::field::{Damage, Fields, required};
use super::{Item, name, number, text};
use crate::lease::{CheckpointExtras, Pending, QuarantineRequest, QuarantinedKey, WorkerId};
use crate::record::{Checkpoint, Position, SequenceNumber};
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;

/// Returns three attributes: checkpoint, sub-sequence number, the application's state.
pub(in super::super) fn pending_checkpoint(extras: &CheckpointExtras) -> [Option<AttributeValue>; 3] {
    let pending = extras.pending.as_ref();
    [
        pending.map(|pending| text(pending.checkpoint.as_str())),
        pending.map(|pending| number(pending.checkpoint.sub_sequence_number())),
        pending.and_then(|pending| pending.state.clone()).map(|state| AttributeValue::B(Blob::new(state))),
    ]
}

pub(in super::super) fn completed_bytes(extras: &CheckpointExtras) -> Option<AttributeValue> {
    extras.done.clone().map(|bytes| AttributeValue::B(Blob::new(bytes)))
}

/// Returns a list of maps; `None` if no key is quarantined.
pub(in super::super) fn quarantined_list(parked: &[QuarantinedKey]) -> Option<AttributeValue> {
    (!parked.is_empty()).then(|| AttributeValue::L(parked.iter().map(encode_key).collect()))
}

/// Returns a list of worker ids; `None` if it is empty.
pub(in super::super) fn unreadable_list(extras: &CheckpointExtras) -> Option<AttributeValue> {
    let workers = || extras.unreadable_by.iter().map(|worker| text(worker.as_str())).collect();
    (!extras.unreadable_by.is_empty()).then(|| AttributeValue::L(workers()))
}

fn encode_key(parked: &QuarantinedKey) -> AttributeValue {
    let positions = parked.positions.iter().map(|position| text(position.to_string())).collect();
    let attributes: [(&str, Option<AttributeValue>); 7] = [
        (name::QUARANTINED_KEY, parked.key.as_deref().map(text)),
        (name::QUARANTINED_AT, Some(AttributeValue::L(positions))),
        (name::QUARANTINED_ATTEMPTS, Some(number(parked.attempts))),
        (name::QUARANTINED_ERROR, Some(text(parked.error.as_str()))),
        (name::QUARANTINED_ARRIVED, Some(number(parked.arrived_at_ms))),
        (name::QUARANTINED_REQUEST, parked.wish.map(|wish| text(request_text(wish)))),
        (name::QUARANTINED_REFUSED, parked.refused.as_deref().map(text)),
    ];
    AttributeValue::M(
        attributes.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect::<Item>(),
    )
}

fn request_text(wish: QuarantineRequest) -> &'static str {
    match wish {
        QuarantineRequest::Resume => "resume",
        QuarantineRequest::DeadLetter => "dead-letter",
    }
}

pub(super) fn decode(fields: Fields<'_>) -> Result<CheckpointExtras, Damage> {
    Ok(CheckpointExtras {
        pending: pending(fields),
        done: fields.bytes(name::KCL_COMPLETED),
        parked: fields.maps(name::KCL_QUARANTINED)?.into_iter().map(decode_key).collect::<Result<_, _>>()?,
        // The list is a hint: invalid entries are dropped.
        unreadable_by: (fields.texts(name::KCL_UNREADABLE_BY).unwrap_or_default().into_iter())
            .filter_map(|worker| WorkerId::parse(worker).ok())
            .collect(),
    })
}

/// An invalid pending checkpoint is ignored: no decision depends on it.
fn pending(fields: Fields<'_>) -> Option<Pending> {
    let written = fields.text(name::PENDING).ok()??;
    let sub = fields.number(name::PENDING_SUB).ok()?.unwrap_or(0);
    Some(Pending { checkpoint: Checkpoint::parse(written, sub).ok()?, state: fields.bytes(name::PENDING_STATE) })
}

fn decode_key(entry: Fields<'_>) -> Result<QuarantinedKey, Damage> {
    let refused = entry.text(name::QUARANTINED_REFUSED)?.map(str::to_owned);
    let (wish, refused) = match entry.text(name::QUARANTINED_REQUEST)? {
        None => (None, refused),
        Some("resume") => (Some(QuarantineRequest::Resume), refused),
        Some("dead-letter") => (Some(QuarantineRequest::DeadLetter), refused),
        // A typing error of an operator who edits the row must not make the whole lease unreadable.
        Some(_) => (None, Some(format!("`{}` is neither `resume` nor `dead-letter`", name::QUARANTINED_REQUEST))),
    };
    Ok(QuarantinedKey {
        key: entry.text(name::QUARANTINED_KEY)?.map(str::to_owned),
        positions: entry.texts(name::QUARANTINED_AT)?.into_iter().map(position).collect::<Result<_, _>>()?,
        attempts: required(name::QUARANTINED_ATTEMPTS, entry.number(name::QUARANTINED_ATTEMPTS)?)?,
        error: entry.text(name::QUARANTINED_ERROR)?.unwrap_or_default().to_owned(),
        arrived_at_ms: required(name::QUARANTINED_ARRIVED, entry.number(name::QUARANTINED_ARRIVED)?)?,
        wish,
        refused,
    })
}

/// Digits, and the sub-sequence number after a point, if any.
fn position(written: &str) -> Result<Position, Damage> {
    let (digits, sub) = written.split_once('.').unwrap_or((written, "0"));
    let sequence_number =
        SequenceNumber::parse(digits).map_err(|why| Damage(format!("`{}`: {why}", name::QUARANTINED_AT)))?;
    let sub_sequence_number =
        sub.parse().map_err(|why| Damage(format!("`{}`: `{sub}`: {why}", name::QUARANTINED_AT)))?;
    Ok(Position { sequence_number, sub_sequence_number })
}
