//! One held lease, as its consumer and its owner share it: may records be delivered, how far are they acknowledged.
//!
//! The owner (the coordination thread) opens, drains and closes it; the consumer (on the user's runtime) delivers while
//! it is open, acknowledges, and reports how it ended. Neither waits for the other.

use super::stages::Stages;
use crate::clock::{Clock, Time};
use crate::lease::LeaseKey;
use crate::mutant::{self, Mutant};
use crate::record::{Position, ShardId, StartingPosition};
use crate::shard::Shard;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

/// Until when a session may deliver records, by the worker's own clock. One a session, shared by all its deliveries.
#[derive(Debug)]
pub(crate) struct Gate {
    clock: Arc<dyn Clock>,
    until_nanos: AtomicU64,
}

impl Gate {
    /// A gate that is shut.
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Gate { clock, until_nanos: AtomicU64::new(0) })
    }

    /// Open until then.
    pub(crate) fn open_until(&self, until: Time) {
        self.until_nanos.store(until.nanos(), Ordering::Release);
    }

    /// Shut, until it is opened again.
    pub(crate) fn shut(&self) {
        self.until_nanos.store(0, Ordering::Release);
    }

    /// Whether records may be delivered at this instant.
    #[must_use]
    pub(crate) fn is_open(&self) -> bool {
        mutant::is(Mutant::GateNeverShuts) || self.clock.now().nanos() < self.until_nanos.load(Ordering::Acquire)
    }
}

/// How a consumer's work ended, or what it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    /// Which lease.
    pub(crate) lease: LeaseKey,
    /// Which hold of it.
    pub(crate) fencing_token: u64,
    /// What happened.
    pub(crate) kind: ReportKind,
}

/// What a consumer reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ReportKind {
    /// Asked to drain, it delivers nothing more and all that was handled is acknowledged.
    Drained,
    /// The whole shard is acknowledged; these shards follow it.
    Ended(Vec<Shard>),
    /// It cannot go on, and the error policy says to give the lease up or to stop the worker.
    GaveUp {
        /// Why, for the operator.
        reason: String,
        /// Whether the worker is to stop with an error.
        stop_worker: bool,
    },
    /// The consumer and its processor are dropped. Always the last report, also after a panic.
    Gone,
}

/// Where reports go.
pub(crate) type Reports = mpsc::UnboundedSender<Report>;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Delivery {
    /// The lease.
    pub(crate) lease: LeaseKey,
    /// The shard.
    pub(crate) shard: ShardId,
    /// `leaseCounter` at the claim: only grows from hold to hold.
    pub(crate) fencing_token: u64,
    /// Where reading starts.
    pub(crate) from: StartingPosition,
    gate: Arc<Gate>,
    /// How long the consumer has been at what.
    pub(crate) stages: Stages,
    /// Notified when the reader is to be replaced.
    pub(crate) restart_fetch: Arc<Notify>,
    acknowledged: Mutex<Option<Position>>,
    handled_bytes: AtomicU64,
    drain: CancellationToken,
    closed: CancellationToken,
    reports: Reports,
}

impl Delivery {
    /// A delivery that is open as long as the gate is.
    pub(crate) fn new(
        lease: LeaseKey,
        shard: ShardId,
        fencing_token: u64,
        from: StartingPosition,
        gate: Arc<Gate>,
        reports: Reports,
    ) -> Arc<Self> {
        let stages = Stages::new(&gate.clock);
        Arc::new(Delivery {
            lease,
            shard,
            fencing_token,
            from,
            gate,
            stages,
            restart_fetch: Arc::default(),
            acknowledged: Mutex::new(None),
            handled_bytes: AtomicU64::new(0),
            drain: CancellationToken::new(),
            closed: CancellationToken::new(),
            reports,
        })
    }

    /// The delivery to the next consumer of the same hold, from the last record on that the last one acknowledged.
    pub(crate) fn of_next(&self) -> Arc<Self> {
        let acknowledged = self.acknowledged();
        Arc::new(Delivery {
            lease: self.lease.clone(),
            shard: self.shard.clone(),
            fencing_token: self.fencing_token,
            from: acknowledged.clone().map_or_else(|| self.from.clone(), StartingPosition::After),
            gate: Arc::clone(&self.gate),
            stages: self.stages.of_next(&self.gate.clock),
            restart_fetch: Arc::default(),
            acknowledged: Mutex::new(acknowledged),
            handled_bytes: AtomicU64::new(self.handled_bytes()),
            drain: CancellationToken::new(),
            closed: CancellationToken::new(),
            reports: self.reports.clone(),
        })
    }

    // --- the consumer's side

    /// Whether a record may be delivered at this instant. Ask with no await between the answer and the call.
    #[must_use]
    pub(crate) fn is_open(&self) -> bool {
        !self.closed.is_cancelled() && self.gate.is_open()
    }

    /// Moves the acknowledged position forward; one that is not ahead, or comes after the close, changes nothing.
    pub(crate) fn acknowledge(&self, position: Position) {
        let mut acknowledged = self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner);
        // Under the lock, so that what a close has read as the last position stays the last.
        if !self.closed.is_cancelled() && acknowledged.as_ref().is_none_or(|at| *at < position) {
            *acknowledged = Some(position);
        }
    }

    /// Counts the payload of a batch that was handled.
    pub(crate) fn count_handled(&self, bytes: usize) {
        self.handled_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Waits until the owner asks for a drain.
    pub(crate) async fn drain_asked(&self) {
        self.drain.cancelled().await;
    }

    /// Whether the owner asked for a drain.
    #[cfg(test)]
    #[must_use]
    pub(crate) fn is_draining(&self) -> bool {
        self.drain.is_cancelled()
    }

    /// Waits until the lease is lost or the owner closed the delivery.
    pub(crate) async fn closed(&self) {
        self.closed.cancelled().await;
    }

    /// Whether the lease is lost or the owner closed the delivery.
    #[must_use]
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.is_cancelled()
    }

    /// Tells the owner.
    pub(crate) fn report(&self, kind: ReportKind) {
        // The owner may be gone: then nobody needs the report.
        let _ = self.reports.send(Report { lease: self.lease.clone(), fencing_token: self.fencing_token, kind });
    }

    // --- the owner's side

    /// How far records are acknowledged; `None` before the first.
    #[must_use]
    pub(crate) fn acknowledged(&self) -> Option<Position> {
        self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Has the reader dropped, and another one go on after the last record it had accepted.
    pub(crate) fn restart_fetch(&self) {
        self.restart_fetch.notify_one();
    }

    /// Payload that was handled so far, in bytes.
    #[must_use]
    pub(crate) fn handled_bytes(&self) -> u64 {
        self.handled_bytes.load(Ordering::Relaxed)
    }

    /// Asks the consumer to finish what it has begun, and stop.
    pub(crate) fn drain(&self) {
        self.drain.cancel();
    }

    /// Ends delivery for good and tells what was acknowledged; later acknowledgements change nothing.
    pub(crate) fn close(&self) -> Option<Position> {
        let acknowledged = self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner);
        self.closed.cancel();
        acknowledged.clone()
    }
}
