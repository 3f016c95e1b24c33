//! A worker's beginning and end.

use crate::config::Settings;
use crate::error::Error;
use crate::telemetry::scope::Scope;
use crate::telemetry::text::Cut;
use std::time::Duration;
use tracing::{error, info};

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
