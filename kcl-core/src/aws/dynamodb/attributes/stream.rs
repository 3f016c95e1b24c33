//! Encodes stream rows of tables with several streams: `stream/<id>`, `entityType` KCL_STREAM.
//! Attributes as in the fleet row.

use super::field::{Damage, Fields, required};
use super::fleet::start;
use super::{Item, checkpoint_text, flag, name, number, text};
use crate::lease::{RowKey, StreamRow};
use crate::record::StreamId;

pub(super) fn encode(row: &StreamRow) -> Item {
    let mut item = super::key(&RowKey::Stream(row.id.clone()));
    item.extend([
        (name::ENTITY_TYPE.to_owned(), text(name::STREAM)),
        (name::START.to_owned(), checkpoint_text(&row.start.checkpoint)),
        (name::FILLED.to_owned(), flag(row.filled)),
    ]);
    item.extend(row.start.at_ms.map(|at_ms| (name::START_AT.to_owned(), number(at_ms))));
    item
}

pub(super) fn decode(key: &str, fields: Fields<'_>) -> Result<StreamRow, Damage> {
    Ok(StreamRow { id: id(key)?, start: required(name::START, start(fields)?)?, filled: fields.flag(name::FILLED)? })
}

pub(super) fn id(key: &str) -> Result<StreamId, Damage> {
    key.strip_prefix("stream/")
        .map(StreamId::new)
        .ok_or_else(|| Damage(format!("`{}` does not begin with `stream/`", name::KEY)))
}
