//! A worker's beginning, shutdown and end.

use crate::config::Settings;
use crate::error::Error;
use crate::telemetry::Scope;
use crate::text::Cut;
use std::time::Duration;
use tracing::{error, info, warn};

/// A worker begins to run.
pub(crate) struct WorkerStarted<'a> {
    pub(crate) table: &'a str,
    pub(crate) settings: &'a Settings,
}

impl WorkerStarted<'_> {
    pub(crate) fn emit(self) {
        let WorkerStarted { table, settings } = self;
        let version = env!("CARGO_PKG_VERSION");
        let value = |(key, _)| Some(format!("{key}={}", settings.get(key).filter(|value| !value.is_empty())?));
        let settings: Vec<String> = Settings::keys().filter_map(value).collect();
        info!(target: "kcl::worker", version, table, settings = settings.join(" "), "worker started");
    }
}

/// A worker's `run` is about to return.
pub(crate) struct WorkerEnded<'a> {
    pub(crate) outcome: &'a Result<(), Error>,
    pub(crate) ran: Duration,
}

impl WorkerEnded<'_> {
    pub(crate) fn emit(self) {
        let ran_seconds = self.ran.as_secs_f64();
        match self.outcome {
            Ok(()) => info!(target: "kcl::worker", ran_seconds, "worker ended"),
            Err(error) => error!(target: "kcl::worker", ran_seconds, error = %Cut(error), "worker ended with an error"),
        }
        Scope::current().end_all_gauges();
    }
}

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

/// A handler waits for what waits for the handler; it is not let wait.
pub(crate) struct AwaitsItself {
    pub(crate) call: &'static str,
}

impl AwaitsItself {
    pub(crate) fn emit(self) {
        let AwaitsItself { call } = self;
        error!(
            target: "kcl::worker", call,
            "a handler awaits its own worker, which waits for the handler: not waited for; start a task that makes this call, and return"
        );
    }
}
