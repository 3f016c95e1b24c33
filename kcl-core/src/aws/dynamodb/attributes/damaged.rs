//! Rows that cannot be read: what they show all the same.

use super::field::{Damage, Fields};
use super::name;
use crate::lease::RowKey;
use crate::lease::row::{Damaged, Mark, Shows};

/// The row, with what tells it from those after it.
pub(super) fn of(key: RowKey, fields: Fields<'_>, Damage(why): Damage) -> Damaged {
    let marks = if is_of_its_kind(&key, fields) { marks(&key, fields) } else { Vec::new() };
    Damaged { key, why, marks }
}

/// Whether the row says that it is what its key stands for, or nothing that can be read.
fn is_of_its_kind(key: &RowKey, fields: Fields<'_>) -> bool {
    let kind = match key {
        RowKey::Lease(_) => return false,
        RowKey::Session(_) => name::SESSION,
        RowKey::Fleet => name::FLEET,
        RowKey::Assignment(_) => name::ASSIGNMENT,
        RowKey::Stream(_) => name::STREAM,
    };
    fields.text(name::ENTITY_TYPE).is_ok_and(|written| written.is_none_or(|written| written == kind))
        || matches!(fields.shows(name::ENTITY_TYPE), Shows::Number(_) | Shows::Other(_))
}

fn marks(key: &RowKey, fields: Fields<'_>) -> Vec<Mark> {
    // What orders it among those that will stand in its place, and what of it may be unreadable.
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
    attributes.iter().map(|attribute| Mark { attribute, shows: fields.shows(attribute) }).collect()
}
