//! A shard's consumer and the user's callbacks.

use crate::record::{ShardId, StartingPosition};
use crate::telemetry::{Line, Metric, Scope, Subject, Trouble};
use crate::text::Cut;
use std::fmt::Display;
use std::time::Duration;
use tracing::{debug, error, info, warn};

/// A consumer began to work for a shard.
pub(crate) struct ConsumerStarted<'a> {
    pub(crate) shard: &'a ShardId,
    pub(crate) lane: usize,
    pub(crate) fencing_token: u64,
    pub(crate) from: &'a StartingPosition,
}

impl ConsumerStarted<'_> {
    pub(crate) fn emit(self) {
        let ConsumerStarted { shard, lane, fencing_token, from } = self;
        let from = match from {
            StartingPosition::TrimHorizon => "TRIM_HORIZON".to_owned(),
            StartingPosition::AtTimestamp(ms) => format!("AT_TIMESTAMP({ms})"),
            StartingPosition::At(number) => format!("at {number}"),
            StartingPosition::After(position) => format!("after {position}"),
        };
        debug!(target: "kcl::handler", %shard, lane, fencing_token, from, "consumer started");
    }
}

/// A consumer stopped; its processor is about to be dropped.
pub(crate) struct ConsumerStopped<'a> {
    pub(crate) shard: &'a ShardId,
    pub(crate) lane: usize,
    pub(crate) fencing_token: u64,
    pub(crate) why: &'static str,
}

impl ConsumerStopped<'_> {
    pub(crate) fn emit(self) {
        let ConsumerStopped { shard, lane, fencing_token, why } = self;
        debug!(target: "kcl::handler", %shard, lane, fencing_token, why, "consumer stopped");
        Scope::current().left(shard);
    }
}

/// A batch was handled and acknowledged.
pub(crate) struct BatchProcessed<'a> {
    pub(crate) shard: &'a ShardId,
    pub(crate) records: usize,
    pub(crate) bytes: usize,
    pub(crate) took: Duration,
}

impl BatchProcessed<'_> {
    pub(crate) fn emit(self) {
        let BatchProcessed { shard, records, bytes, took } = self;
        let (scope, took_seconds) = (Scope::current(), took.as_secs_f64());
        debug!(target: "kcl::handler", %shard, records, bytes, took_seconds, "batch processed");
        scope.count(Metric::Records, records as u64, &[]);
        scope.count(Metric::Bytes, bytes as u64, &[]);
        scope.observe(Metric::HandlerSeconds, took_seconds, &[]);
        if let Some(Line::Ended(trouble)) = scope.recovered_at(Subject::Handler, shard) {
            let Trouble { total: failures, lasting, .. } = trouble;
            let lasted_seconds = lasting.as_secs_f64();
            info!(target: "kcl::handler", %shard, failures, lasted_seconds, "handler succeeds again");
        }
        if let Some(Line::Ended(trouble)) = scope.recovered(Subject::ShardDelivery, shard.as_str()) {
            let lasted_seconds = trouble.lasting.as_secs_f64();
            info!(target: "kcl::handler", lasted_seconds, "records are delivered again");
        }
    }
}

/// What follows a failure, as log lines say it.
pub(crate) struct NextStep {
    /// In words.
    pub(crate) what: &'static str,
    /// When the same is tried again, if it is.
    pub(crate) retry_after: Option<Duration>,
    /// Whether it ends the lease or the worker: then there is always a line.
    pub(crate) ends: bool,
}

/// A callback of the user's processor failed or panicked.
pub(crate) struct HandlerFailed<'a> {
    pub(crate) shard: &'a ShardId,
    pub(crate) callback: &'static str,
    pub(crate) error: &'a dyn Display,
    /// `error`, `panic`, `timeout` or `dropped`.
    pub(crate) cause: &'static str,
    pub(crate) attempt: u32,
    pub(crate) age: Duration,
    pub(crate) next: NextStep,
}

impl HandlerFailed<'_> {
    pub(crate) fn emit(self) {
        let HandlerFailed { shard, callback, error, cause, attempt, age, next } = self;
        let NextStep { what, retry_after, ends } = next;
        let (scope, error, age_seconds) = (Scope::current(), Cut(error), age.as_secs_f64());
        let retry_seconds = retry_after.map(|after| after.as_secs_f64());
        scope.count(Metric::HandlerFailures, 1, &[("cause", cause)]);
        match scope.failed_at(Subject::Handler, shard) {
            Some(Line::Continues(Trouble { failures, lasting, .. })) => {
                let lasting_seconds = lasting.as_secs_f64();
                error!(
                    target: "kcl::handler", %shard, callback, cause, %error, attempt, age_seconds, retry_seconds, failures,
                    lasting_seconds, "handler still failing; {what}"
                );
            }
            line if ends || matches!(line, Some(Line::Began(_))) => {
                error!(
                    target: "kcl::handler", %shard, callback, cause, %error, attempt, age_seconds, retry_seconds,
                    "handler failed; {what}"
                );
            }
            Some(Line::Began(_) | Line::Ended(_)) | None => {
                debug!(
                    target: "kcl::handler", %shard, callback, cause, %error, attempt, age_seconds, retry_seconds,
                    "handler failed; {what}"
                );
            }
        }
    }
}

/// Records were due while the session was late: they wait until it is confirmed again, or lost.
pub(crate) struct DeliveryHeld<'a> {
    pub(crate) shard: &'a ShardId,
    pub(crate) fencing_token: u64,
}

impl DeliveryHeld<'_> {
    pub(crate) fn emit(self) {
        let DeliveryHeld { shard, fencing_token } = self;
        let scope = Scope::current();
        match scope.failed(Subject::ShardDelivery, shard.as_str()) {
            // The table's trouble is why the session is not confirmed.
            Some(Line::Began(_) | Line::Continues(_)) if !scope.is_in_trouble(Subject::Table) => {
                warn!(
                    target: "kcl::handler", %shard, fencing_token,
                    "delivery paused: the worker's session is not confirmed by a heartbeat"
                );
            }
            Some(_) | None => debug!(target: "kcl::handler", %shard, fencing_token, "delivery paused"),
        }
    }
}

/// The end of a shard was reached, and every record that was delivered is acknowledged.
pub(crate) struct ShardEndReached<'a> {
    pub(crate) shard: &'a ShardId,
    pub(crate) children: usize,
}

impl ShardEndReached<'_> {
    pub(crate) fn emit(self) {
        let ShardEndReached { shard, children } = self;
        debug!(target: "kcl::handler", %shard, children, "shard end reached");
    }
}
