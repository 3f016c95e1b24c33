//! How rows are written as items: leases with KCL's own attributes, our other rows with an `entityType` that KCL 3.5
//! skips.

mod field;
mod fleet;
mod lease;
pub(super) mod name;
mod plan;
mod session;
#[cfg(test)]
mod tests;

pub(super) use field::{flag, number, text, text_set};
pub(super) use lease::{checkpoint_text, stream_text};
pub(super) use session::state_text;

use crate::lease::{Damaged, LeaseKey, Row, RowKey, WorkerId};
use aws_sdk_dynamodb::types::AttributeValue;
use field::{Damage, Fields};
use std::collections::HashMap;

/// An item as the SDK has it.
pub(super) type Item = HashMap<String, AttributeValue>;

/// The item that a new row is.
pub(super) fn encode(row: &Row) -> Item {
    match row {
        Row::Lease(lease) => lease::encode(lease),
        Row::Session(session) => session::encode(session),
        Row::Fleet(fleet) => fleet::encode(fleet),
        Row::Plan(plan) => plan::encode(plan),
        // Damaged rows are never written: what is left is the key, which any condition on the row will refuse.
        Row::Damaged(damaged) => key(&damaged.key),
    }
}

/// A row's primary key.
pub(super) fn key(key: &RowKey) -> Item {
    HashMap::from([(name::KEY.to_owned(), text(key.to_string()))])
}

/// Reads an item; `None` when it is a row of a kind that is not ours (Java KCL 3.x keeps several).
pub(super) fn decode(item: &Item) -> Option<Row> {
    let fields = Fields(item);
    let key = fields.key();
    let row = match fields.text(name::ENTITY_TYPE) {
        Ok(None | Some(name::LEASE)) => lease::decode(key, fields).map(Row::Lease),
        Ok(Some(name::SESSION)) => session::decode(key, fields).map(Row::Session),
        Ok(Some(name::FLEET)) => fleet::decode(key, fields).map(Row::Fleet),
        Ok(Some(name::PLAN)) => plan::decode(key, fields).map(Row::Plan),
        Ok(Some(_)) => return None,
        Err(damage) => Err(damage),
    };
    Some(row.unwrap_or_else(|Damage(why)| Row::Damaged(Damaged { key: row_key(key, fields), why })))
}

/// Reads the item that was asked for by its key: one of another kind than the key's is damaged.
pub(super) fn decode_as(wanted: &RowKey, item: &Item) -> Row {
    let damaged = |why: String| Row::Damaged(Damaged { key: wanted.clone(), why });
    match decode(item) {
        Some(Row::Damaged(Damaged { why, .. })) => damaged(why),
        Some(row) if row.key() == *wanted => row,
        Some(_) | None => {
            let kind = Fields(item).text(name::ENTITY_TYPE).ok().flatten().unwrap_or("a lease").to_owned();
            damaged(format!("`{}` is `{kind}`: another kind of row stands at this key", name::ENTITY_TYPE))
        }
    }
}

/// Which row a damaged item was meant to be.
fn row_key(key: &str, fields: Fields<'_>) -> RowKey {
    match fields.text(name::ENTITY_TYPE) {
        Ok(Some(name::FLEET)) => RowKey::Fleet,
        Ok(Some(name::SESSION)) => session::worker(key).map_or_else(|_| lease_key(key), RowKey::Session),
        Ok(Some(name::PLAN)) => plan::worker(key).map_or_else(|_| lease_key(key), RowKey::Plan),
        Ok(_) | Err(_) => lease_key(key),
    }
}

fn lease_key(key: &str) -> RowKey {
    RowKey::Lease(LeaseKey::new(key))
}

/// The worker in a key such as `session/<worker>`.
fn worker_after(prefix: &str, key: &str) -> Result<WorkerId, Damage> {
    key.strip_prefix(prefix)
        .map(WorkerId::from_row)
        .ok_or_else(|| Damage(format!("`{}` does not begin with `{prefix}`", name::KEY)))
}
