//! Events of the parser of answers.

use crate::telemetry::metric::{Metric, count};
use crate::telemetry::text::Cut;
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
        let seconds = pause.as_secs_f64();
        let error = Cut(error);
        warn!(target: "kcl::read", %error, pause_seconds = seconds, "fast parser suspended: it does not understand an answer; the SDK's parser is used meanwhile");
        count(Metric::ParserSuspensions, 1, &[]);
    }
}
