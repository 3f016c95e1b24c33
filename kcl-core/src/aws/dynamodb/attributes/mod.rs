//! Encodes and decodes rows as items: leases with KCL's attributes, our other rows with an
//! `entityType` that KCL 3.5 skips.

mod assignment;
mod checkpoint_extras;
mod damaged;
mod field;
mod fleet;
mod lease;
pub(super) mod name;
mod session;
mod settings;
mod stream;
#[cfg(test)]
mod tests;

pub(super) use checkpoint_extras::{completed_bytes, pending_checkpoint, quarantined_list, unreadable_list};
pub(super) use field::{flag, number, text, text_set};
pub(super) use lease::{checkpoint_text, stream_text};
pub(super) use session::{state_text, streams_text};
pub(super) use settings::{balance_text, millis};

use crate::lease::{Damaged, LeaseKey, Row, RowKey, WorkerId};
use aws_sdk_dynamodb::types::AttributeValue;
use field::{Damage, Fields};
use std::collections::HashMap;

/// An item of the SDK.
pub(super) type Item = HashMap<String, AttributeValue>;

/// Encodes a row.
pub(super) fn encode(row: &Row) -> Item {
    match row {
        Row::Lease(lease) => lease::encode(lease),
        Row::Session(session) => session::encode(session),
        Row::Fleet(fleet) => fleet::encode(fleet),
        Row::Assignment(assignment) => assignment::encode(assignment),
        Row::Stream(row) => stream::encode(row),
        // Damaged rows are never written; with only the key, every condition on the row would fail.
        Row::Damaged(damaged) => key(&damaged.key),
    }
}

/// Returns a row's primary key.
pub(super) fn key(key: &RowKey) -> Item {
    key_of_text(key.to_string())
}

/// Returns the primary key with this text.
pub(super) fn key_of_text(key: String) -> Item {
    HashMap::from([(name::KEY.to_owned(), text(key))])
}

/// Decodes an item; `None` for a row of a kind that is not ours (Java KCL 3.x has several).
pub(super) fn decode(item: &Item) -> Option<Row> {
    let fields = Fields(item);
    let key = fields.key();
    let row = match fields.text(name::ENTITY_TYPE) {
        Ok(None | Some(name::LEASE)) => lease::decode(key, fields).map(Row::Lease),
        Ok(Some(name::SESSION)) => session::decode(key, fields).map(Row::Session),
        Ok(Some(name::FLEET)) => fleet::decode(key, fields).map(Row::Fleet),
        Ok(Some(name::ASSIGNMENT)) => assignment::decode(key, fields).map(Row::Assignment),
        Ok(Some(name::STREAM)) => stream::decode(key, fields).map(Row::Stream),
        Ok(Some(_)) => return None,
        Err(damage) => Err(damage),
    };
    Some(row.unwrap_or_else(|damage| Row::Damaged(damaged::of(row_key(key), fields, damage))))
}

/// Decodes the item with this key: one of another kind than the key requires is damaged.
pub(super) fn decode_as(wanted: &RowKey, item: &Item) -> Row {
    let fields = Fields(item);
    match decode(item) {
        Some(Row::Damaged(damaged)) => Row::Damaged(Damaged { key: wanted.clone(), ..damaged }),
        Some(row) if row.key() == *wanted => row,
        Some(_) | None => {
            let kind = fields.text(name::ENTITY_TYPE).ok().flatten().unwrap_or("a lease");
            let why = format!("`{}` is `{kind}`: a row of another kind has this key", name::ENTITY_TYPE);
            Row::Damaged(damaged::of(wanted.clone(), fields, Damage(why)))
        }
    }
}

/// Returns the row key of an item. No shard id resembles the keys of our other rows.
fn row_key(key: &str) -> RowKey {
    if key == "fleet" {
        return RowKey::Fleet;
    }
    let of_worker =
        session::worker(key).map(RowKey::Session).or_else(|_| assignment::worker(key).map(RowKey::Assignment));
    let of_stream = |_| stream::id(key).map(RowKey::Stream);
    of_worker.or_else(of_stream).unwrap_or_else(|_| RowKey::Lease(LeaseKey::new(key)))
}

/// Returns the worker in a key such as `session/<worker>`.
fn worker_after(prefix: &str, key: &str) -> Result<WorkerId, Damage> {
    key.strip_prefix(prefix)
        .map(WorkerId::from_row)
        .ok_or_else(|| Damage(format!("`{}` does not begin with `{prefix}`", name::KEY)))
}
