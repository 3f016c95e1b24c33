//! Where an application starts to read shards that it has no checkpoint for.

use crate::record::{Checkpoint, unix_millis};
use std::time::SystemTime;

/// Where an application starts to read shards that it has no checkpoint for.
///
/// ```
/// use kcl_core::Start;
/// use std::time::{Duration, UNIX_EPOCH};
///
/// let new_year_2026 = UNIX_EPOCH + Duration::from_secs(1_767_225_600);
/// assert_eq!(Start::at(new_year_2026), Start::AtTimestamp(new_year_2026));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Start {
    /// At the oldest record that the stream keeps. Skips nothing.
    #[default]
    TrimHorizon,
    /// At the records that arrive after the application's first start. The lease table keeps that
    /// moment, so a restart does not skip what arrived while no worker ran.
    Latest,
    /// At the first record that arrived at this time or later. Kinesis compares whole milliseconds.
    AtTimestamp(SystemTime),
}

impl Start {
    /// At the first record that arrived at this time or later: a `SystemTime`, or the time of a
    /// crate that converts to it.
    pub fn at(time: impl Into<SystemTime>) -> Self {
        Start::AtTimestamp(time.into())
    }

    /// The time in milliseconds since 1970, for `AtTimestamp`.
    pub(crate) fn at_ms(self) -> Option<i64> {
        match self {
            Start::AtTimestamp(time) => Some(unix_millis(time)),
            Start::TrimHorizon | Start::Latest => None,
        }
    }

    #[cfg(test)]
    pub(crate) fn of_millis(millis: i64) -> Self {
        Start::AtTimestamp(crate::record::system_time(millis))
    }

    /// The checkpoint of a new lease.
    pub(crate) fn sentinel(self) -> Checkpoint {
        match self {
            Start::TrimHorizon => Checkpoint::TrimHorizon,
            Start::Latest => Checkpoint::Latest,
            Start::AtTimestamp(_) => Checkpoint::AtTimestamp,
        }
    }
}
