//! Events of reading shards. Failures are logged per stream, with the number of affected shards,
//! because an outage of the service affects all of them.

use crate::lease::LeaseKey;
use crate::record::{Position, ShardId};
use crate::shard::{ApiErrorKind, EndDoubt};
use crate::telemetry::{Line, Metric, Scope, Subject, Trouble, count};
use crate::text::{Cut, time_text};
use std::fmt::Display;
use std::time::Duration;
use tracing::{debug, error, info, trace, warn};

/// A chunk was received, with or without records.
pub(crate) struct ChunkReceived<'a> {
    pub(crate) lease: &'a LeaseKey,
    pub(crate) shard: &'a ShardId,
    pub(crate) records: usize,
    pub(crate) millis_behind_latest: Option<u64>,
}

impl ChunkReceived<'_> {
    pub(crate) fn emit(self) {
        let ChunkReceived { lease, shard, records, millis_behind_latest } = self;
        trace!(target: "kcl::read", %lease, records, millis_behind_latest, "chunk received");
        recovered(&Scope::current(), shard);
    }
}

/// A read indicated the end of its shard, and the shard lists have not confirmed it for a while.
/// The lease waits.
pub(crate) struct EndInDoubt<'a> {
    pub(crate) shard: &'a ShardId,
    pub(crate) doubt: EndDoubt,
    pub(crate) lasted: Duration,
}

impl EndInDoubt<'_> {
    pub(crate) fn emit(self) {
        let EndInDoubt { shard, doubt, lasted } = self;
        warn!(
            target: "kcl::read", %shard, why = doubt.as_str(), lasted_seconds = lasted.as_secs_f64(),
            "end of shard in doubt: the lists of shards do not confirm it; the lease waits, and goes on by itself once they do"
        );
        count(Metric::EndsInDoubt, 1, &[]);
    }
}

/// Reading resumes after a position whose record has expired: later records may have expired, too.
pub(crate) struct CheckpointExpired<'a> {
    pub(crate) shard: &'a ShardId,
    pub(crate) position: &'a Position,
    /// The arrival time of the first record that still exists, in milliseconds since the Unix
    /// epoch.
    pub(crate) until_ms: i64,
}

impl CheckpointExpired<'_> {
    pub(crate) fn emit(self) {
        let CheckpointExpired { shard, position, until_ms } = self;
        let (scope, until) = (Scope::current(), time_text(until_ms));
        scope.count(Metric::RecordsExpired, 1, &[("evidence", "checkpoint")]);
        // After a long downtime it affects every shard, so it is logged once per stream.
        match scope.failed(Subject::Expired, shard.as_str()) {
            Some(Line::Began(Trouble { members: shards, .. }) | Line::Continues(Trouble { members: shards, .. })) => {
                warn!(
                    target: "kcl::read", %shard, shards, %position, until,
                    "checkpoint is older than the stream's retention: records after it that arrived before `until` are lost, if \
                     there were any"
                );
            }
            Some(Line::Ended(_)) | None => {
                debug!(target: "kcl::read", %shard, %position, until, "checkpoint is older than the stream's retention");
            }
        }
    }
}

/// A read call succeeded, with or without records.
pub(crate) struct ReadAnswered<'a> {
    pub(crate) shard: &'a ShardId,
}

impl ReadAnswered<'_> {
    pub(crate) fn emit(self) {
        let scope = Scope::current();
        scope.count(Metric::Reads, 1, &[]);
        recovered(&scope, self.shard);
    }
}

fn recovered(scope: &Scope, shard: &ShardId) {
    if let Some(Line::Ended(trouble)) = scope.recovered(Subject::Reads, shard.as_str()) {
        let Trouble { total: failures, lasting, .. } = trouble;
        info!(target: "kcl::read", failures, lasted_seconds = lasting.as_secs_f64(), "reads recovered");
    }
    if let Some(Line::Ended(trouble)) = scope.recovered(Subject::Throttles, shard.as_str()) {
        let Trouble { total: failures, lasting, .. } = trouble;
        info!(target: "kcl::read", failures, lasted_seconds = lasting.as_secs_f64(), "reads no longer throttled");
    }
}

/// A read call was throttled.
pub(crate) struct ReadThrottled<'a> {
    pub(crate) shard: &'a ShardId,
    pub(crate) failures: u32,
    pub(crate) retry_after: Duration,
}

impl ReadThrottled<'_> {
    pub(crate) fn emit(self) {
        let ReadThrottled { shard, failures: in_a_row, retry_after } = self;
        let (scope, retry_seconds) = (Scope::current(), retry_after.as_secs_f64());
        scope.count(Metric::ReadFailures, 1, &[("kind", "throttled")]);
        debug!(target: "kcl::read", %shard, in_a_row, retry_seconds, "read throttled");
        match scope.failed(Subject::Throttles, shard.as_str()) {
            Some(Line::Began(Trouble { failures, members: shards, .. })) => {
                warn!(
                    target: "kcl::read", %shard, shards, failures, retry_seconds,
                    "reads throttled: a shard's limits are shared by all its readers"
                );
            }
            Some(Line::Continues(Trouble { failures, members: shards, lasting, .. })) => {
                let lasting_seconds = lasting.as_secs_f64();
                warn!(target: "kcl::read", %shard, shards, failures, lasting_seconds, retry_seconds, "reads still throttled");
            }
            Some(Line::Ended(_)) | None => {}
        }
    }
}

/// A read call failed and is retried.
pub(crate) struct ReadFailing<'a> {
    pub(crate) shard: &'a ShardId,
    pub(crate) kind: ApiErrorKind,
    pub(crate) error: &'a dyn Display,
    pub(crate) failures: u32,
    pub(crate) retry_after: Duration,
}

impl ReadFailing<'_> {
    pub(crate) fn emit(self) {
        let ReadFailing { shard, kind, error, failures: in_a_row, retry_after } = self;
        let (scope, retry_seconds) = (Scope::current(), retry_after.as_secs_f64());
        let (kind, error) = (kind_label(kind), Cut(error));
        scope.count(Metric::ReadFailures, 1, &[("kind", kind)]);
        debug!(target: "kcl::read", %shard, kind, %error, in_a_row, retry_seconds, "read failed");
        match scope.failed(Subject::Reads, shard.as_str()) {
            Some(Line::Began(Trouble { failures, members: shards, .. })) => {
                warn!(target: "kcl::read", %shard, shards, failures, kind, %error, retry_seconds, "reads failing; retrying");
            }
            Some(Line::Continues(Trouble { failures, members: shards, lasting, .. })) => {
                let lasting_seconds = lasting.as_secs_f64();
                warn!(
                    target: "kcl::read", %shard, shards, failures, lasting_seconds, kind, %error, retry_seconds,
                    "reads still failing"
                );
            }
            Some(Line::Ended(_)) | None => {}
        }
    }
}

/// An iterator expired. Reading continues after the last accepted record.
pub(crate) struct IteratorExpired<'a> {
    pub(crate) shard: &'a ShardId,
}

impl IteratorExpired<'_> {
    pub(crate) fn emit(self) {
        debug!(target: "kcl::read", shard = %self.shard, "iterator expired; resuming after the last accepted record");
        count(Metric::ReadFailures, 1, &[("kind", kind_label(ApiErrorKind::IteratorExpired))]);
    }
}

/// A shard cannot be read; the error policy has decided what to do.
pub(crate) struct ReadRefused<'a> {
    pub(crate) shard: &'a ShardId,
    pub(crate) error: &'a dyn Display,
    pub(crate) attempt: u32,
    /// The next action, as text.
    pub(crate) next: &'static str,
    pub(crate) retry_after: Option<Duration>,
}

impl ReadRefused<'_> {
    pub(crate) fn emit(self) {
        let ReadRefused { shard, error, attempt, next, retry_after } = self;
        let (error, retry_seconds) = (Cut(error), retry_after.map(|after| after.as_secs_f64()));
        if retry_after.is_none() {
            error!(target: "kcl::read", %shard, %error, attempt, "shard cannot be read; {next}");
            return;
        }
        match Scope::current().failed(Subject::Reads, shard.as_str()) {
            Some(Line::Began(Trouble { members: shards, .. })) => {
                error!(target: "kcl::read", %shard, shards, %error, attempt, retry_seconds, "shards cannot be read; {next}");
            }
            Some(Line::Continues(Trouble { failures, members: shards, lasting, .. })) => {
                let lasting_seconds = lasting.as_secs_f64();
                error!(
                    target: "kcl::read", %shard, shards, failures, lasting_seconds, %error, attempt, retry_seconds,
                    "shards still cannot be read; {next}"
                );
            }
            Some(Line::Ended(_)) | None => {
                debug!(target: "kcl::read", %shard, %error, attempt, retry_seconds, "shard cannot be read; {next}");
            }
        }
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
        ApiErrorKind::PositionRefused => "position_refused",
        ApiErrorKind::StartAhead => "start_ahead",
        ApiErrorKind::Unavailable => "unavailable",
    }
}
