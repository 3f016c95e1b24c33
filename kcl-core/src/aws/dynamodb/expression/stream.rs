//! Writes of streams' rows.

use super::attributes::{checkpoint_text, flag, number, text};
use super::{Expression, Request, name};
use crate::lease::{RowKey, StreamRow};
use crate::record::StreamId;

/// The row is there, and is a stream's.
fn exists() -> Expression {
    Expression::default().equals(name::ENTITY_TYPE, text(name::STREAM))
}

pub(super) fn filled(stream: &StreamId) -> Request {
    exists().set(name::FILLED, flag(true)).update(&RowKey::Stream(stream.clone()))
}

pub(super) fn delete(seen: &StreamRow) -> Request {
    exists()
        .equals(name::START, checkpoint_text(&seen.start.checkpoint))
        .equals_or_absent(name::START_AT, seen.start.at_ms.map(number))
        .equals(name::FILLED, flag(seen.filled))
        .delete(&RowKey::Stream(seen.id.clone()))
}
