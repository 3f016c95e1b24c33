//! What a consumer tells the owner of its lease.

use crate::error::Code;
use crate::lease::LeaseKey;
use crate::record::Checkpoint;
use crate::shard::Shard;
use tokio::sync::{mpsc, oneshot};

/// How a consumer's work ended, or what it needs.
#[derive(Debug)]
pub(crate) struct Report {
    /// Which lease.
    pub(crate) lease: LeaseKey,
    /// Which hold of it.
    pub(crate) fencing_token: u64,
    /// What happened.
    pub(crate) kind: ReportKind,
}

/// What a consumer reports.
#[derive(Debug)]
pub(crate) enum ReportKind {
    /// Asked to drain, it delivers nothing more and all that was handled is acknowledged.
    Drained,
    /// The whole shard is acknowledged; these shards follow it.
    Ended(Vec<Shard>),
    /// It cannot go on: the lease is given up, or the worker stops.
    GaveUp {
        /// Why, for the operator.
        reason: String,
        /// The code of the error with which the worker is to stop, if it is.
        stops_with: Option<Code>,
    },
    /// What is acknowledged and prepared is to be written now.
    Write(WriteAsked),
    /// The consumer and its processor are dropped. Always the last report, also after a panic.
    Gone,
}

/// Somebody waits until the row says it.
#[derive(Debug)]
pub(crate) struct WriteAsked {
    /// Told the checkpoint once it is written; dropped where the lease is lost before.
    pub(crate) written: oneshot::Sender<Checkpoint>,
}

/// Where reports go.
pub(crate) type Reports = mpsc::UnboundedSender<Report>;
