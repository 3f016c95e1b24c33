//! What the writes of streams' rows mean.

use super::Write;
use crate::lease::row::StreamRow;

/// The row after the write (`None`: deleted), or no answer where the condition does not hold.
#[allow(clippy::wildcard_enum_match_arm, reason = "the caller dispatched by key; a write of another row is refused")]
pub(super) fn apply(write: &Write, old: Option<&StreamRow>) -> Option<Option<StreamRow>> {
    match (write, old) {
        (Write::PinStream(stream), None) => Some(Some(stream.clone())),
        (Write::StreamFilled(_), Some(old)) => Some(Some(StreamRow { filled: true, ..old.clone() })),
        (Write::DeleteStream(seen), Some(old)) if old == seen => Some(None),
        _ => None,
    }
}
