//! What readers and consumers tell.

use crate::lease::LeaseKey;
use crate::record::{ShardId, StartingPosition, StreamId};
use crate::shard::ApiErrorKind;
use crate::telemetry::metric::{Metric, count, gauge, observe};
use std::time::Duration;
use tracing::{debug, error, info, warn};

/// Around all that is done for one of several streams, so that every log line of it says which.
pub(crate) fn of_stream(stream: Option<&StreamId>) -> tracing::Span {
    tracing::info_span!("stream", stream = stream.map(StreamId::as_str))
}

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
        info!(%shard, lane, fencing_token, ?from, "consumer started");
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
        info!(%shard, lane, fencing_token, why, "consumer stopped");
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
        debug!(%shard, records, bytes, ?took, "batch processed");
        count(Metric::Records, records as u64, &[]);
        count(Metric::Bytes, bytes as u64, &[]);
        observe(Metric::HandlerSeconds, took.as_secs_f64(), &[]);
    }
}

/// A chunk came, with or without records.
pub(crate) struct ChunkReceived<'a> {
    pub(crate) lease: &'a LeaseKey,
    pub(crate) records: usize,
    pub(crate) millis_behind_latest: Option<u64>,
}

impl ChunkReceived<'_> {
    pub(crate) fn emit(self) {
        let ChunkReceived { lease, records, millis_behind_latest } = self;
        tracing::trace!(%lease, records, millis_behind_latest, "chunk received");
        if let Some(millis) = millis_behind_latest {
            gauge(Metric::Behind, millis as f64, &[("shard", lease.as_str())]);
        }
    }
}

/// A callback of the user's processor failed. Every failure is told: a stuck shard must not be quiet.
pub(crate) struct HandlerFailed<'a> {
    pub(crate) shard: &'a ShardId,
    pub(crate) callback: &'static str,
    pub(crate) error: &'a dyn std::fmt::Display,
    /// `error`, `timeout` or `dropped`.
    pub(crate) cause: &'static str,
    pub(crate) attempt: u32,
    pub(crate) age: Duration,
    pub(crate) next: &'a dyn std::fmt::Debug,
}

impl HandlerFailed<'_> {
    pub(crate) fn emit(self) {
        let HandlerFailed { shard, callback, error, cause, attempt, age, next } = self;
        error!(%shard, callback, %error, attempt, ?age, ?next, "handler failed: nothing is passed over");
        count(Metric::HandlerFailures, 1, &[("cause", cause)]);
    }
}

/// A callback of the user's processor panicked.
pub(crate) struct HandlerPanicked<'a> {
    pub(crate) shard: &'a ShardId,
    pub(crate) callback: &'static str,
    pub(crate) message: &'a str,
    pub(crate) attempt: u32,
    pub(crate) age: Duration,
    pub(crate) next: &'a dyn std::fmt::Debug,
}

impl HandlerPanicked<'_> {
    pub(crate) fn emit(self) {
        let HandlerPanicked { shard, callback, message, attempt, age, next } = self;
        error!(%shard, callback, panic = message, attempt, ?age, ?next, "handler panicked: nothing is passed over");
        count(Metric::HandlerFailures, 1, &[("cause", "panic")]);
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
        warn!(%shard, fencing_token, "delivery held: the worker's session is not confirmed");
    }
}

/// A read call was answered with records or none.
pub(crate) struct ReadAnswered;

impl ReadAnswered {
    pub(crate) fn emit(self) {
        count(Metric::Reads, 1, &[]);
    }
}

/// A read call was throttled.
pub(crate) struct ReadThrottled<'a> {
    pub(crate) shard: &'a ShardId,
    pub(crate) failures: u32,
    pub(crate) retry_after: Duration,
    /// Whether this one is a warning: at most one a minute is.
    pub(crate) warn: bool,
}

impl ReadThrottled<'_> {
    pub(crate) fn emit(self) {
        let ReadThrottled { shard, failures, retry_after, warn } = self;
        if warn {
            warn!(%shard, failures, ?retry_after, "read throttled: the shard's limits are shared by all its readers");
        } else {
            debug!(%shard, failures, ?retry_after, "read throttled");
        }
        count(Metric::ReadFailures, 1, &[("kind", "throttled")]);
    }
}

/// A read call failed.
pub(crate) struct ReadFailing<'a> {
    pub(crate) shard: &'a ShardId,
    pub(crate) kind: ApiErrorKind,
    pub(crate) error: &'a dyn std::fmt::Display,
    pub(crate) failures: u32,
    pub(crate) retry_after: Duration,
    /// Whether this one is a warning: at most one a minute is.
    pub(crate) warn: bool,
}

impl ReadFailing<'_> {
    pub(crate) fn emit(self) {
        let ReadFailing { shard, kind, error, failures, retry_after, warn } = self;
        if warn {
            warn!(%shard, ?kind, %error, failures, ?retry_after, "shard read failing");
        } else {
            debug!(%shard, ?kind, %error, failures, ?retry_after, "shard read failing");
        }
        count(Metric::ReadFailures, 1, &[("kind", kind_label(kind))]);
    }
}

/// An iterator was too old: reading goes on after the last accepted record.
pub(crate) struct IteratorExpired<'a> {
    pub(crate) shard: &'a ShardId,
}

impl IteratorExpired<'_> {
    pub(crate) fn emit(self) {
        info!(shard = %self.shard, "iterator expired: reading goes on after the last accepted record");
        count(Metric::ReadFailures, 1, &[("kind", kind_label(ApiErrorKind::IteratorExpired))]);
    }
}

/// A shard cannot be read until a person does something.
pub(crate) struct ReadRefused<'a> {
    pub(crate) shard: &'a ShardId,
    pub(crate) error: &'a dyn std::fmt::Display,
    pub(crate) attempt: u32,
    pub(crate) next: &'a dyn std::fmt::Debug,
}

impl ReadRefused<'_> {
    pub(crate) fn emit(self) {
        let ReadRefused { shard, error, attempt, next } = self;
        error!(%shard, %error, attempt, ?next, "shard cannot be read");
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
        info!(%shard, children, "shard end reached");
    }
}

pub(super) fn kind_label(kind: ApiErrorKind) -> &'static str {
    match kind {
        ApiErrorKind::Throttled => "throttled",
        ApiErrorKind::IteratorExpired => "iterator_expired",
        ApiErrorKind::NotFound => "not_found",
        ApiErrorKind::NotReady => "not_ready",
        ApiErrorKind::Denied => "denied",
        ApiErrorKind::Refused => "refused",
        ApiErrorKind::Unavailable => "unavailable",
    }
}
