//! Events of the parser of answers.

use crate::telemetry::metric::{Metric, count};
use std::fmt::Display;
use std::time::Duration;
use tracing::warn;

/// The fast parser did not understand an answer; the SDK's parser reads the next ones.
pub(crate) struct ParserSuspended<'a> {
    pub(crate) error: &'a dyn Display,
    pub(crate) pause: Duration,
}

impl ParserSuspended<'_> {
    pub(crate) fn emit(self) {
        let ParserSuspended { error, pause } = self;
        let seconds = pause.as_secs();
        warn!(%error, seconds, "fast parser suspended: it does not understand an answer; the SDK's parser is used meanwhile");
        count(Metric::ParserSuspensions, 1, &[]);
    }
}
