//! What becomes of records that failed, were given up, parked, or acknowledged too late.

use crate::lease::row::QuarantineRequest;
use crate::record::{Position, ShardId};
use crate::telemetry::{Line, Metric, Scope, Subject, Trouble, count};
use crate::text::{Cut, cut};
use std::fmt::Display;
use std::time::Duration;
use tracing::{debug, error, info, warn};

/// Records were acknowledged after the lease was lost or given up: they come again elsewhere.
pub(crate) struct LateAcknowledgement<'a> {
    pub(crate) shard: &'a ShardId,
    pub(crate) records: u64,
}

impl LateAcknowledgement<'_> {
    pub(crate) fn emit(self) {
        let LateAcknowledgement { shard, records } = self;
        debug!(target: "kcl::handler", %shard, records, "acknowledged too late: the lease is not held any more");
        count(Metric::LateAcknowledgements, records, &[]);
    }
}

/// A batch that failed is handed over in parts.
pub(crate) struct BatchSplit<'a> {
    pub(crate) shard: &'a ShardId,
    pub(crate) records: usize,
    pub(crate) parts: usize,
}

impl BatchSplit<'_> {
    pub(crate) fn emit(self) {
        let BatchSplit { shard, records, parts } = self;
        debug!(target: "kcl::handler", %shard, records, parts, "failed batch split");
        count(Metric::BatchesSplit, 1, &[]);
    }
}

/// The sink took a record that the policy gave up.
pub(crate) struct DeadLettered<'a> {
    pub(crate) shard: &'a ShardId,
    pub(crate) position: &'a Position,
    pub(crate) attempts: u32,
    pub(crate) error: &'a str,
}

impl DeadLettered<'_> {
    pub(crate) fn emit(self) {
        let DeadLettered { shard, position, attempts, error } = self;
        let (scope, error) = (Scope::current(), cut(error));
        scope.count(Metric::DeadLetters, 1, &[]);
        if let Some(Line::Ended(trouble)) = scope.recovered(Subject::DeadLetterSink, shard.as_str()) {
            let Trouble { total: failures, lasting, .. } = trouble;
            let lasted_seconds = lasting.as_secs_f64();
            info!(target: "kcl::dead_letter", failures, lasted_seconds, "dead-letter sink takes records again");
        }
        // The sink has them all: a producer's bug must not be a line for each of its records.
        match scope.failed(Subject::DeadLetters, "") {
            Some(Line::Began(_)) => {
                warn!(target: "kcl::dead_letter", %shard, %position, attempts, error, "record dead-lettered");
            }
            Some(Line::Continues(Trouble { failures: records, .. })) => {
                warn!(target: "kcl::dead_letter", %shard, %position, attempts, error, records, "records dead-lettered");
            }
            Some(Line::Ended(_)) | None => {
                debug!(target: "kcl::dead_letter", %shard, %position, attempts, error, "record dead-lettered");
            }
        }
    }
}

/// The sink failed: the record waits for it, and the records behind it too.
pub(crate) struct DeadLetterFailed<'a> {
    pub(crate) shard: &'a ShardId,
    pub(crate) error: &'a dyn Display,
    pub(crate) attempt: u32,
    pub(crate) retry_after: Option<Duration>,
}

impl DeadLetterFailed<'_> {
    pub(crate) fn emit(self) {
        let DeadLetterFailed { shard, error, attempt, retry_after } = self;
        let (scope, error) = (Scope::current(), Cut(error));
        let retry_seconds = retry_after.map(|after| after.as_secs_f64());
        scope.count(Metric::DeadLetterFailures, 1, &[]);
        match scope.failed(Subject::DeadLetterSink, shard.as_str()) {
            Some(Line::Began(_)) => {
                error!(
                    target: "kcl::dead_letter", %shard, %error, attempt, retry_seconds,
                    "dead-letter sink failed: the shard is blocked until the sink takes the record"
                );
            }
            Some(Line::Continues(Trouble { failures, members: shards, lasting, .. })) => {
                let lasting_seconds = lasting.as_secs_f64();
                error!(
                    target: "kcl::dead_letter", %shard, shards, failures, lasting_seconds, %error, attempt, retry_seconds,
                    "dead-letter sink still failing"
                );
            }
            Some(Line::Ended(_)) | None => {
                debug!(target: "kcl::dead_letter", %shard, %error, attempt, retry_seconds, "dead-letter sink failed");
            }
        }
    }
}

/// A key is in quarantine from this record on. `kcl quarantine resume TABLE POSITION` resumes it: the position names the key,
/// which may be personal data and is in no log line.
pub(crate) struct KeyParked<'a> {
    pub(crate) shard: &'a ShardId,
    pub(crate) position: &'a Position,
    pub(crate) attempts: u32,
    pub(crate) error: &'a str,
}

impl KeyParked<'_> {
    pub(crate) fn emit(self) {
        let KeyParked { shard, position, attempts, error } = self;
        let error = cut(error);
        warn!(
            target: "kcl::quarantine", %shard, %position, attempts, error,
            "key quarantined: its records wait, other keys go on"
        );
        count(Metric::RecordsParked, 1, &[]);
    }
}

/// A later record of a parked key joined it.
pub(crate) struct RecordJoined<'a> {
    pub(crate) shard: &'a ShardId,
    pub(crate) position: &'a Position,
}

impl RecordJoined<'_> {
    pub(crate) fn emit(self) {
        let RecordJoined { shard, position } = self;
        debug!(target: "kcl::quarantine", %shard, %position, "record quarantined with its key");
        count(Metric::RecordsParked, 1, &[]);
    }
}

/// There is no room for one more parked record: the shard is blocked until there is.
pub(crate) struct QuarantineFull<'a> {
    pub(crate) shard: &'a ShardId,
}

impl QuarantineFull<'_> {
    pub(crate) fn emit(self) {
        let (shard, scope) = (self.shard, Scope::current());
        scope.count(Metric::QuarantineFull, 1, &[]);
        // It is looked at each second.
        if scope.failed_at(Subject::Quarantine, shard).is_some() {
            error!(
                target: "kcl::quarantine", %shard,
                "quarantine is full: the shard is blocked until quarantined keys are resumed or dead-lettered"
            );
        }
    }
}

/// A parked record was read again, as was wished.
pub(crate) struct ParkedTakenUp<'a> {
    pub(crate) shard: &'a ShardId,
    pub(crate) position: &'a Position,
    pub(crate) wish: QuarantineRequest,
}

impl ParkedTakenUp<'_> {
    pub(crate) fn emit(self) {
        let ParkedTakenUp { shard, position, wish } = self;
        let to = match wish {
            QuarantineRequest::Resume => "handler",
            QuarantineRequest::DeadLetter => "dead-letter sink",
        };
        debug!(target: "kcl::quarantine", %shard, %position, to, "quarantined record read again");
    }
}

/// A person's wish for a key in quarantine cannot be fulfilled here: the key stays as it is, and its row says why.
pub(crate) struct QuarantineRequestRefused<'a> {
    pub(crate) shard: &'a ShardId,
    pub(crate) position: &'a Position,
    pub(crate) reason: &'a str,
}

impl QuarantineRequestRefused<'_> {
    pub(crate) fn emit(self) {
        let QuarantineRequestRefused { shard, position, reason } = self;
        error!(target: "kcl::quarantine", %shard, %position, reason, "request for a quarantined key refused: the key stays in quarantine");
    }
}

/// A handler failed after its commit: the checkpoint store says that these records are done.
pub(crate) struct FailedAfterCommit<'a> {
    pub(crate) shard: &'a ShardId,
    pub(crate) records: usize,
    pub(crate) error: &'a dyn Display,
}

impl FailedAfterCommit<'_> {
    pub(crate) fn emit(self) {
        let FailedAfterCommit { shard, records, error } = self;
        let error = Cut(error);
        info!(target: "kcl::checkpoint", %shard, records, %error, "handler failed; by its checkpoint store these records are done");
    }
}

/// Parked records are done.
pub(crate) struct ParkedDone<'a> {
    pub(crate) shard: &'a ShardId,
    pub(crate) records: usize,
}

impl ParkedDone<'_> {
    pub(crate) fn emit(self) {
        let ParkedDone { shard, records } = self;
        info!(target: "kcl::quarantine", %shard, records, "quarantined records done");
        count(Metric::RecordsUnparked, records as u64, &[]);
    }
}

/// A parked record is not in the stream any more.
pub(crate) struct ParkedLost<'a> {
    pub(crate) shard: &'a ShardId,
    pub(crate) position: &'a Position,
}

impl ParkedLost<'_> {
    pub(crate) fn emit(self) {
        let ParkedLost { shard, position } = self;
        error!(target: "kcl::quarantine", %shard, %position, "quarantined record lost: the stream's retention ended it");
        count(Metric::RecordsLost, 1, &[]);
    }
}

/// The checkpoint store cannot be asked.
pub(crate) struct CheckpointStoreFailed<'a> {
    pub(crate) shard: &'a ShardId,
    pub(crate) error: &'a dyn Display,
    pub(crate) attempt: u32,
    /// What follows, in words.
    pub(crate) next: &'static str,
}

impl CheckpointStoreFailed<'_> {
    pub(crate) fn emit(self) {
        let CheckpointStoreFailed { shard, error, attempt, next } = self;
        let (scope, error) = (Scope::current(), Cut(error));
        scope.count(Metric::CheckpointStoreFailures, 1, &[]);
        match scope.failed(Subject::CheckpointStore, shard.as_str()) {
            Some(Line::Began(_)) => {
                error!(
                    target: "kcl::checkpoint", %shard, %error, attempt,
                    "checkpoint store failed; {next}"
                );
            }
            Some(Line::Continues(Trouble { failures, members: shards, lasting, .. })) => {
                let lasting_seconds = lasting.as_secs_f64();
                error!(
                    target: "kcl::checkpoint", %shard, shards, failures, lasting_seconds, %error, attempt,
                    "checkpoint store still failing"
                );
            }
            Some(Line::Ended(_)) | None => {
                debug!(target: "kcl::checkpoint", %shard, %error, attempt, "checkpoint store failed");
            }
        }
    }
}

/// The checkpoint store answered.
pub(crate) struct CheckpointStoreAnswered<'a> {
    pub(crate) shard: &'a ShardId,
}

impl CheckpointStoreAnswered<'_> {
    pub(crate) fn emit(self) {
        if let Some(Line::Ended(trouble)) = Scope::current().recovered(Subject::CheckpointStore, self.shard.as_str()) {
            let Trouble { total: failures, lasting, .. } = trouble;
            let lasted_seconds = lasting.as_secs_f64();
            info!(target: "kcl::checkpoint", failures, lasted_seconds, "checkpoint store answers again");
        }
    }
}
