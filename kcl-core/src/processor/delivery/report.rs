//! Defines the reports of a consumer to the owner of its lease.

use crate::error::Code;
use crate::lease::LeaseKey;
use crate::record::Checkpoint;
use crate::shard::Shard;
use tokio::sync::{mpsc, oneshot};

/// A report of one consumer.
#[derive(Debug)]
pub(crate) struct Report {
    /// The lease.
    pub(crate) lease: LeaseKey,
    /// Identifies the claim of the lease.
    pub(crate) fencing_token: u64,
    /// What is reported.
    pub(crate) kind: ReportKind,
}

/// What a consumer reports.
#[derive(Debug)]
pub(crate) enum ReportKind {
    /// After a drain request: nothing more is delivered, and everything that was handled is
    /// acknowledged.
    Drained,
    /// Every record of the shard is acknowledged; these are its children.
    Ended(Vec<Shard>),
    /// The consumer cannot go on: the lease is released, or the worker stops.
    GaveUp {
        /// Why, for the operator.
        reason: String,
        /// The code of the error with which the worker is to stop; `None` if only the lease is
        /// released.
        stops_with: Option<Code>,
    },
    /// The checkpoint, and a prepared one, are to be written now.
    Write(WriteRequested),
    /// The consumer and its processor are dropped. Always the last report, also after a panic.
    Gone,
}

/// A request to write the checkpoint now.
#[derive(Debug)]
pub(crate) struct WriteRequested {
    /// Receives the checkpoint once it is written. Dropped if the lease is lost before.
    pub(crate) written: oneshot::Sender<Checkpoint>,
}

/// The channel for reports.
pub(crate) type Reports = mpsc::UnboundedSender<Report>;
