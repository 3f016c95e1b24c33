//! Where shards start that nobody has read yet.

use crate::record::Checkpoint;

/// Where shards start that nobody has read yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Start {
    /// With the oldest record. Nothing is skipped.
    #[default]
    TrimHorizon,
    /// With what arrives after the application's first start; that instant is kept, so a restart never means "now" again.
    Latest,
    /// With what arrived at or after this instant, in milliseconds since the Unix epoch.
    AtTimestamp(i64),
}

impl Start {
    /// The instant, where it is one.
    pub(crate) fn at_ms(self) -> Option<i64> {
        match self {
            Start::AtTimestamp(millis) => Some(millis),
            Start::TrimHorizon | Start::Latest => None,
        }
    }

    /// The sentinel that a new lease gets.
    #[must_use]
    pub fn sentinel(self) -> Checkpoint {
        match self {
            Start::TrimHorizon => Checkpoint::TrimHorizon,
            Start::Latest => Checkpoint::Latest,
            Start::AtTimestamp(_) => Checkpoint::AtTimestamp,
        }
    }
}
