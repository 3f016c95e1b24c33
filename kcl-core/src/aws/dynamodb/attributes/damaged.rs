//! Describes rows that cannot be decoded by the attributes that can be read.

use super::field::{Damage, Fields};
use super::name;
use crate::lease::RowKey;
use crate::lease::row::{Damaged, SeenAttribute, SeenValue};

/// Returns the damaged row with its fingerprint.
pub(super) fn of(key: RowKey, fields: Fields<'_>, Damage(why): Damage) -> Damaged {
    let fingerprint = if is_of_its_kind(&key, fields) { fingerprint(&key, fields) } else { Vec::new() };
    Damaged { key, why, fingerprint }
}

/// True if the row has the kind that its key requires, or no readable kind.
fn is_of_its_kind(key: &RowKey, fields: Fields<'_>) -> bool {
    let kind = match key {
        RowKey::Lease(_) => return false,
        RowKey::Session(_) => name::SESSION,
        RowKey::Fleet => name::FLEET,
        RowKey::Assignment(_) => name::ASSIGNMENT,
        RowKey::Stream(_) => name::STREAM,
    };
    fields.text(name::ENTITY_TYPE).is_ok_and(|written| written.is_none_or(|written| written == kind))
        || matches!(fields.shows(name::ENTITY_TYPE), SeenValue::Number(_) | SeenValue::Other(_))
}

fn fingerprint(key: &RowKey, fields: Fields<'_>) -> Vec<SeenAttribute> {
    // The attributes that order versions of the row, and those that can be invalid.
    let attributes: &[&'static str] = match key {
        RowKey::Lease(_) => &[],
        RowKey::Session(_) => &[
            name::ENTITY_TYPE,
            name::NUMBER,
            name::HEARTBEAT,
            name::STATE,
            name::CAPACITY,
            name::LOAD,
            name::FAILOVER_TIME,
            name::BALANCE_BY,
        ],
        RowKey::Fleet => &[
            name::ENTITY_TYPE,
            name::TERM,
            name::HEARTBEAT,
            name::WAKE,
            name::SESSIONS,
            name::FORMAT,
            name::LEADER,
            name::LEADER_SESSION,
            name::LEADER_SESSION_HEARTBEAT,
            name::ASSIGNMENT_VERSION,
            name::START,
            name::START_AT,
            name::FILLED,
            name::LEADER_FAILOVER_TIME,
            name::FAILOVER_TIME,
            name::BALANCE_BY,
            name::UNTIL,
        ],
        RowKey::Stream(_) => &[name::ENTITY_TYPE, name::START, name::START_AT, name::FILLED],
        RowKey::Assignment(_) => &[name::ENTITY_TYPE, name::TERM, name::VERSION, name::ACQUIRES, name::YIELDS],
    };
    attributes.iter().map(|attribute| SeenAttribute { attribute, value: fields.shows(attribute) }).collect()
}
