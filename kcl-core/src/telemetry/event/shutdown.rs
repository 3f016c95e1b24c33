//! Events of a worker that was asked to stop.

use std::time::Duration;
use tracing::{info, warn};

/// The worker was asked to stop in an orderly way.
pub(crate) struct ShutdownBegun<'a> {
    pub(crate) worker: &'a str,
    pub(crate) deadline: Duration,
    /// Whether a second signal would be heard.
    pub(crate) by_signal: bool,
}

impl ShutdownBegun<'_> {
    pub(crate) fn emit(self) {
        let ShutdownBegun { worker, deadline, by_signal } = self;
        let seconds = deadline.as_secs_f64();
        let hint = if by_signal { "; a second signal ends delivery at once" } else { "" };
        info!(target: "kcl::worker", worker, deadline_seconds = seconds, "shutdown began: waiting for handlers to finish their records{hint}");
    }
}

/// It was asked again while handlers were still busy.
pub(crate) struct ShutdownHurried<'a> {
    pub(crate) worker: &'a str,
}

impl ShutdownHurried<'_> {
    pub(crate) fn emit(self) {
        warn!(
            target: "kcl::worker",
            worker = self.worker,
            "shutdown hurried by a second signal: delivery ends, unfinished records come again"
        );
    }
}
