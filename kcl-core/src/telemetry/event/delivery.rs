//! What becomes of records that failed, were given up, parked, or acknowledged too late.

use crate::lease::row::Wish;
use crate::record::{Position, ShardId};
use crate::telemetry::metric::{Metric, count};
use std::fmt::{Debug, Display};
use tracing::{debug, error, info, warn};

/// Records were acknowledged after the lease was lost or given up: they come again elsewhere.
pub(crate) struct LateAcknowledgement<'a> {
    pub(crate) shard: &'a ShardId,
    pub(crate) records: u64,
}

impl LateAcknowledgement<'_> {
    pub(crate) fn emit(self) {
        let LateAcknowledgement { shard, records } = self;
        debug!(%shard, records, "acknowledged too late: the lease is not held any more");
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
        info!(%shard, records, parts, "failed batch split");
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
        warn!(%shard, %position, attempts, error, "record given up: the dead-letter sink took it");
        count(Metric::DeadLetters, 1, &[]);
    }
}

/// The sink failed: the record waits for it, and the records behind it too.
pub(crate) struct DeadLetterFailed<'a> {
    pub(crate) shard: &'a ShardId,
    pub(crate) error: &'a dyn Display,
    pub(crate) attempt: u32,
    pub(crate) next: &'a dyn Debug,
}

impl DeadLetterFailed<'_> {
    pub(crate) fn emit(self) {
        let DeadLetterFailed { shard, error, attempt, next } = self;
        error!(%shard, %error, attempt, ?next, "dead-letter sink failed: the position stays");
        count(Metric::DeadLetterFailures, 1, &[]);
    }
}

/// A key is in quarantine from this record on.
pub(crate) struct KeyParked<'a> {
    pub(crate) shard: &'a ShardId,
    pub(crate) position: &'a Position,
    pub(crate) attempts: u32,
    pub(crate) error: &'a str,
}

impl KeyParked<'_> {
    pub(crate) fn emit(self) {
        let KeyParked { shard, position, attempts, error } = self;
        warn!(%shard, %position, attempts, error, "key parked: its records wait in quarantine, others go on");
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
        debug!(%shard, %position, "record parked with its key");
        count(Metric::RecordsParked, 1, &[]);
    }
}

/// There is no room for one more parked record: the shard stands until there is.
pub(crate) struct QuarantineFull<'a> {
    pub(crate) shard: &'a ShardId,
    /// How often it was seen in a row.
    pub(crate) failures: u32,
}

impl QuarantineFull<'_> {
    pub(crate) fn emit(self) {
        let QuarantineFull { shard, failures } = self;
        // Looked at each second; told each minute.
        if failures % 60 <= 1 {
            error!(%shard, "quarantine is full: the shard stands until parked keys are resumed or given up");
        }
        count(Metric::QuarantineFull, 1, &[]);
    }
}

/// A parked record was read again, as was wished.
pub(crate) struct ParkedTakenUp<'a> {
    pub(crate) shard: &'a ShardId,
    pub(crate) position: &'a Position,
    pub(crate) wish: Wish,
}

impl ParkedTakenUp<'_> {
    pub(crate) fn emit(self) {
        let ParkedTakenUp { shard, position, wish } = self;
        info!(%shard, %position, ?wish, "parked record taken up");
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
        info!(%shard, records, "parked records done");
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
        error!(%shard, %position, "parked record lost: the stream's retention has ended it");
        count(Metric::RecordsLost, 1, &[]);
    }
}

/// The checkpoint store cannot be asked: the shard waits for it.
pub(crate) struct CheckpointStoreFailed<'a> {
    pub(crate) shard: &'a ShardId,
    pub(crate) error: &'a dyn Display,
    pub(crate) attempt: u32,
}

impl CheckpointStoreFailed<'_> {
    pub(crate) fn emit(self) {
        let CheckpointStoreFailed { shard, error, attempt } = self;
        error!(%shard, %error, attempt, "checkpoint store failed: the shard waits for it");
        count(Metric::CheckpointStoreFailures, 1, &[]);
    }
}
