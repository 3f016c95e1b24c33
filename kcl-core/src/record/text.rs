//! Defines a short text that belongs to one record or is shared by many.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// The text of a record that is not aggregated is stored as received, without another allocation.
/// The records of an aggregate share one text.
#[derive(Clone)]
pub(super) enum Text {
    Own(String),
    Shared(Arc<str>),
}

impl Text {
    pub(super) fn as_str(&self) -> &str {
        match self {
            Text::Own(text) => text,
            Text::Shared(text) => text,
        }
    }

    /// The same text, cheap to clone.
    pub(super) fn shared(&self) -> Text {
        match self {
            Text::Own(text) => Text::Shared(text.as_str().into()),
            Text::Shared(text) => Text::Shared(Arc::clone(text)),
        }
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Text {}

impl Hash for Text {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}
