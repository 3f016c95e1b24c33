//! Encodes lease rows in the format of KCL's `DynamoDBLeaseSerializer`, with additional attributes
//! that KCL ignores.

use super::checkpoint_extras::{self, completed_bytes, pending_checkpoint, quarantined_list};
use super::field::{Damage, Fields, required};
use super::{Item, name, number, text, text_set};
use crate::lease::row::HashKeyRange;
use crate::lease::{Lease, LeaseKey, Owner, WorkerId};
use crate::record::{Checkpoint, ShardId, StreamId, StreamIdentity};
use aws_sdk_dynamodb::types::AttributeValue;

/// Returns the item of a new lease. Absent values are left out, never empty.
pub(super) fn encode(lease: &Lease) -> Item {
    let owner = lease.owner.as_ref();
    let several_streams = lease.stream_name.is_some();
    let [pending, pending_sub, pending_state] = pending_checkpoint(&lease.extras);
    let attributes: [(&str, Option<AttributeValue>); 23] = [
        (name::KEY, Some(text(lease.key.as_str()))),
        (name::ENTITY_TYPE, Some(text(name::LEASE))),
        (name::COUNTER, Some(number(lease.counter))),
        (name::CHECKPOINT, Some(checkpoint_text(&lease.checkpoint))),
        (name::CHECKPOINT_SUB, Some(number(lease.checkpoint.sub_sequence_number()))),
        (name::PENDING, pending),
        (name::PENDING_SUB, pending_sub),
        (name::PENDING_STATE, pending_state),
        (name::KCL_COMPLETED, completed_bytes(&lease.extras)),
        (name::KCL_QUARANTINED, quarantined_list(&lease.extras.parked)),
        (name::OWNER_SWITCHES, Some(number(lease.owner_switches))),
        (name::OWNER, owner.map(|owner| text(owner.worker.as_str()))),
        (name::KCL_SESSION, owner.and_then(|owner| owner.session).map(number)),
        (name::KCL_COUNTER, lease.kcl_counter.map(number)),
        (name::KCL_STREAM, lease.stream.as_ref().map(stream_text)),
        (name::KCL_START, lease.start_ms.map(number)),
        (name::KCL_UNTIL, lease.until_ms.map(number)),
        (name::PARENTS, text_set(&lease.parents)),
        (name::CHILDREN, text_set(&lease.children)),
        (name::HASH_START, lease.hash_range.map(|range| text(range.start.to_string()))),
        (name::HASH_END, lease.hash_range.map(|range| text(range.end.to_string()))),
        (name::STREAM_NAME, lease.stream_name.as_ref().map(|stream| text(stream.as_str()))),
        (name::SHARD, several_streams.then(|| text(lease.shard.as_str()))),
    ];
    attributes.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

pub(super) fn decode(key: &str, fields: Fields<'_>) -> Result<Lease, Damage> {
    let owner = match fields.text(name::OWNER)? {
        Some(worker) => Some(Owner { worker: WorkerId::from_row(worker), session: fields.counter(name::KCL_SESSION)? }),
        None => None,
    };
    Ok(Lease {
        key: LeaseKey::new(key),
        shard: ShardId::new(fields.text(name::SHARD)?.unwrap_or(key)),
        owner,
        counter: required(name::COUNTER, fields.counter(name::COUNTER)?)?,
        kcl_counter: fields.counter(name::KCL_COUNTER)?,
        checkpoint: checkpoint(fields)?,
        extras: checkpoint_extras::decode(fields)?,
        // Informational in KCL, which always writes it; rows of its first versions may lack it.
        owner_switches: fields.counter(name::OWNER_SWITCHES)?.unwrap_or(0),
        parents: shards(fields, name::PARENTS)?,
        children: shards(fields, name::CHILDREN)?,
        hash_range: hash_range(fields)?,
        stream: fields.text(name::KCL_STREAM)?.map(stream).transpose()?,
        start_ms: fields.number(name::KCL_START)?,
        until_ms: fields.number(name::KCL_UNTIL)?,
        stream_name: fields.text(name::STREAM_NAME)?.map(StreamId::new),
    })
}

/// The `checkpoint` attribute.
pub(in super::super) fn checkpoint_text(checkpoint: &Checkpoint) -> AttributeValue {
    text(checkpoint.as_str())
}

/// The `kclStream` attribute: the ARN, `@`, and the stream's creation time in seconds since the
/// Unix epoch. (An ARN contains no `@`.)
pub(in super::super) fn stream_text(stream: &StreamIdentity) -> AttributeValue {
    text(format!("{}@{}", stream.arn, stream.created_at))
}

fn stream(written: &str) -> Result<StreamIdentity, Damage> {
    let (arn, created_at) = written
        .rsplit_once('@')
        .and_then(|(arn, created_at)| Some((arn.to_owned(), created_at.parse().ok()?)))
        .ok_or_else(|| Damage(format!("`{}` is `{written}`: not an ARN, `@` and seconds", name::KCL_STREAM)))?;
    Ok(StreamIdentity { arn, created_at })
}

fn checkpoint(fields: Fields<'_>) -> Result<Checkpoint, Damage> {
    let written = required(name::CHECKPOINT, fields.text(name::CHECKPOINT)?)?;
    // Absent in tables of KCL before 1.5, which did not support aggregated records.
    let sub = fields.number(name::CHECKPOINT_SUB)?.unwrap_or(0);
    Checkpoint::parse(written, sub).map_err(|why| Damage(format!("`{}`: {why}", name::CHECKPOINT)))
}

fn shards(fields: Fields<'_>, name: &str) -> Result<Vec<ShardId>, Damage> {
    Ok(fields.text_set(name)?.into_iter().map(ShardId::new).collect())
}

/// Decodes the range as KCL does: a range with only one end is absent.
fn hash_range(fields: Fields<'_>) -> Result<Option<HashKeyRange>, Damage> {
    let key = |name: &str| -> Result<Option<u128>, Damage> {
        let Some(digits) = fields.text(name)?.filter(|digits| !digits.is_empty()) else { return Ok(None) };
        digits.parse().map(Some).map_err(|why| Damage(format!("`{name}` is `{digits}`: {why}")))
    };
    Ok(key(name::HASH_START)?.zip(key(name::HASH_END)?).map(|(start, end)| HashKeyRange { start, end }))
}
