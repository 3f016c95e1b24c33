//! Shares the state of one held lease between its owner and its consumer: whether records may be
//! delivered, and how far they are acknowledged.
//!
//! The owner (the coordination thread) opens, drains and closes it. The consumer (on the user's
//! runtime) delivers while it is open, acknowledges, and reports how it ended. Neither waits for
//! the other, so a handler that blocks its thread delays no heartbeat, no release and no checkpoint
//! of another shard.

mod gate;
mod lag;
mod report;

pub(crate) use gate::DeliveryGate;
use lag::LagTracker;
pub(crate) use lag::{Expired, ShardLag};
pub(crate) use report::{Report, ReportKind, Reports, WriteRequested};

use super::quarantine::{Failed, Full, Quarantine};
use super::stages::Stages;
use crate::checkpoint::{CompletedRanges, Positions, Watermark};
use crate::clock::Time;
use crate::lease::row::{CheckpointExtras, HashKeyRange, Pending, QuarantineRequest, QuarantinedKey};
use crate::lease::{Lease, LeaseKey};
use crate::processor::event::delivery::{LateAcknowledgement, ParkedDone};
use crate::record::{Checkpoint, Position, Record, ShardId, StartingPosition, StreamIdentity};
use crate::telemetry::Scope;
use std::ops::{Range, RangeInclusive};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// The lease as it was claimed: its key, and what its row contained.
#[derive(Clone, Debug)]
pub(crate) struct ClaimSnapshot {
    /// The lease's key.
    pub(crate) lease: LeaseKey,
    /// The shard.
    pub(crate) shard: ShardId,
    /// The stream, as the lease's row names it.
    pub(crate) stream: Option<StreamIdentity>,
    /// `leaseCounter` at the claim. Grows from claim to claim.
    pub(crate) fencing_token: u64,
    /// The shard's range of hash keys, if the row has it.
    pub(crate) hash_range: Option<HashKeyRange>,
    /// Where reading starts.
    pub(crate) from: StartingPosition,
    /// Completed ranges beyond that position.
    pub(crate) done: CompletedRanges,
    /// A checkpoint that an earlier owner prepared and did not commit.
    pub(crate) pending: Option<Pending>,
    /// Keys in quarantine.
    pub(crate) parked: Vec<QuarantinedKey>,
    /// The most records in quarantine (the setting `max_quarantined`).
    pub(crate) max_quarantined: usize,
    /// Whether completed ranges are stored in the row.
    pub(crate) stores_completed: bool,
}

impl ClaimSnapshot {
    /// A claimed lease whose row has only a checkpoint.
    pub(crate) fn of(lease: LeaseKey, shard: ShardId, fencing_token: u64, from: StartingPosition) -> Self {
        let (done, pending, parked) = (CompletedRanges::default(), None, Vec::new());
        let (stream, hash_range) = (None, None);
        ClaimSnapshot {
            lease,
            shard,
            stream,
            fencing_token,
            hash_range,
            from,
            done,
            pending,
            parked,
            max_quarantined: 100,
            stores_completed: true,
        }
    }

    /// Adds what the row contains besides its checkpoint.
    pub(crate) fn with_extras(self, row: &Lease, max_quarantined: usize, stores_completed: bool) -> Self {
        let (extras, stream) = (&row.extras, row.stream.clone());
        let done =
            extras.done.as_deref().map(|bytes| CompletedRanges::read(bytes, &row.checkpoint)).unwrap_or_default();
        let (hash_range, parked) = (row.hash_range, extras.parked.clone());
        let pending = extras.pending.clone();
        ClaimSnapshot { stream, hash_range, done, pending, parked, max_quarantined, stores_completed, ..self }
    }
}

/// The state of one held lease that its owner and its consumer share; see the module's
/// documentation.
#[derive(Debug)]
pub(crate) struct ShardDelivery {
    pub(crate) claim: ClaimSnapshot,
    gate: Arc<DeliveryGate>,
    /// How long each stage of the consumer's work has taken, for the watchdog.
    pub(crate) stages: Stages,
    /// Notified when the reader is to be restarted.
    pub(crate) restart_fetch: Arc<Notify>,
    /// Notified when acknowledgements, the quarantine or requests for it change.
    pub(crate) changed: Notify,
    progress: Mutex<Progress>,
    handled_bytes: AtomicU64,
    /// The service's time minus the time of the gate's clock, in ms, as far as the shard's records
    /// have shown it.
    service_ahead_ms: AtomicI64,
    drain: CancellationToken,
    closed: CancellationToken,
    reports: Reports,
    /// The worker's telemetry scope: acknowledgements may come from tasks that the worker did not
    /// spawn.
    scope: Scope,
}

/// The progress of the work on the shard.
#[derive(Debug)]
struct Progress {
    watermark: Watermark,
    /// The position of the last record that was read.
    read: Option<Position>,
    /// Records with a lower number were delivered to a handler.
    handed_over: u64,
    /// The position up to which earlier consumers of the same claim, or the user's checkpoint
    /// store, are done.
    before: Option<Position>,
    pending: Option<Pending>,
    quarantine: Quarantine,
    /// Records from quarantine that were delivered to a handler with manual checkpoints and are not
    /// checkpointed yet.
    handed_over_quarantined: Vec<Position>,
    lag: LagTracker,
}

/// What the lease's row is to contain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CheckpointState {
    /// The position up to which records are acknowledged; `None` before the first.
    pub(crate) acknowledged: Option<Position>,
    /// What the row contains besides the checkpoint.
    pub(crate) extras: CheckpointExtras,
}

/// The position was not delivered to a handler, so it cannot be acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutOfRange;

impl ShardDelivery {
    /// A delivery that is open while the gate is open.
    pub(crate) fn new(claim: ClaimSnapshot, gate: Arc<DeliveryGate>, reports: Reports) -> Arc<Self> {
        let stages = Stages::new(&gate.clock());
        Self::begin(claim, gate, stages, None, 0, Duration::ZERO, reports)
    }

    /// The delivery for the next consumer of the same claim. Starts after the last acknowledged
    /// record, or at the row's position if that was changed meanwhile (by an external writer).
    pub(crate) fn for_next_consumer(&self, row: Option<StartingPosition>) -> Arc<Self> {
        let behind = self.lag().lag;
        if let Some(from) = row {
            let claim = ClaimSnapshot { from, done: CompletedRanges::default(), pending: None, ..self.claim.clone() };
            let stages = self.stages.for_next_consumer(&self.gate.clock());
            let (gate, reports) = (Arc::clone(&self.gate), self.reports.clone());
            return Self::begin(claim, gate, stages, None, self.handled_bytes(), behind, reports);
        }
        let progress = self.lock();
        let acknowledged = progress.acknowledged();
        let mut claim = self.claim.clone();
        if let Some(position) = &acknowledged {
            claim.from = StartingPosition::After(position.clone());
        }
        claim.done = CompletedRanges::of(progress.beyond(&self.claim.done));
        claim.pending = progress.pending.clone();
        claim.parked = progress.quarantine.keys().to_vec();
        drop(progress);
        let stages = self.stages.for_next_consumer(&self.gate.clock());
        let (gate, reports) = (Arc::clone(&self.gate), self.reports.clone());
        Self::begin(claim, gate, stages, acknowledged, self.handled_bytes(), behind, reports)
    }

    fn begin(
        claim: ClaimSnapshot,
        gate: Arc<DeliveryGate>,
        stages: Stages,
        before: Option<Position>,
        handled_bytes: u64,
        behind: Duration,
        reports: Reports,
    ) -> Arc<Self> {
        let progress = Progress {
            watermark: Watermark::default(),
            read: None,
            handed_over: 0,
            before,
            pending: claim.pending.clone(),
            quarantine: Quarantine::of(claim.parked.clone(), claim.max_quarantined),
            handed_over_quarantined: Vec::new(),
            lag: LagTracker::new(gate.clock().now(), behind),
        };
        let scope = Scope::current().of_lease(&claim.lease);
        Arc::new(ShardDelivery {
            claim,
            gate,
            stages,
            restart_fetch: Arc::default(),
            changed: Notify::new(),
            progress: Mutex::new(progress),
            handled_bytes: AtomicU64::new(handled_bytes),
            service_ahead_ms: AtomicI64::new(i64::MIN),
            drain: CancellationToken::new(),
            closed: CancellationToken::new(),
            reports,
            scope,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The shard.
    pub(crate) fn shard(&self) -> &ShardId {
        &self.claim.shard
    }

    /// `leaseCounter` at the claim.
    pub(crate) fn fencing_token(&self) -> u64 {
        self.claim.fencing_token
    }

    // --- the consumer's side

    /// Whether a record may be delivered now. Callers must not await between this check and the
    /// handler's call.
    #[must_use]
    pub(crate) fn is_open(&self) -> bool {
        !self.closed.is_cancelled() && self.gate.is_open()
    }

    /// The time for which the lease is certain to be held.
    #[must_use]
    pub(crate) fn time_left(&self) -> Duration {
        if self.is_closed() { Duration::ZERO } else { self.gate.time_left() }
    }

    /// Notes that every record up to this position is done, according to the user's checkpoint
    /// store.
    pub(crate) fn done_up_to(&self, position: Position) {
        self.lock().before = Some(position);
    }

    /// Adds records that were read. Returns the number of the first.
    pub(crate) fn add_read(&self, positions: Positions) -> u64 {
        let mut progress = self.lock();
        progress.read = positions.last().or_else(|| progress.read.take());
        progress.watermark.add(positions)
    }

    /// Notes that the records below this number are delivered to a handler.
    pub(crate) fn hand_over(&self, end: u64) {
        let mut progress = self.lock();
        progress.handed_over = progress.handed_over.max(end);
        self.stages.acknowledge.begin();
    }

    /// Acknowledges the records with these numbers. Has no effect after the close.
    pub(crate) fn acknowledge(&self, mut numbers: Range<u64>) {
        if mutated!(IgnoresGaps) {
            numbers.start = 0;
        }
        let mut progress = self.lock();
        // Checked under the lock, so that the position does not move after a close has read it.
        if self.closed.is_cancelled() {
            drop(progress);
            let late = LateAcknowledgement { shard: self.shard(), records: numbers.end - numbers.start };
            return self.scope.enter(|| late.emit());
        }
        self.acknowledge_in(&mut progress, numbers);
        drop(progress);
        self.changed.notify_waiters();
    }

    fn acknowledge_in(&self, progress: &mut Progress, numbers: Range<u64>) {
        if progress.watermark.acknowledge(numbers) {
            self.stages.acknowledge.end();
            if progress.watermark.first_open() < progress.handed_over {
                self.stages.acknowledge.begin();
            }
        }
    }

    /// Acknowledges every delivered record up to this position.
    pub(crate) fn acknowledge_up_to(&self, position: &Position) -> Result<(), OutOfRange> {
        let mut progress = self.lock();
        if self.closed.is_cancelled() {
            return Ok(());
        }
        let released = progress.release_handed_over(Some(position));
        self.emit_released(released);
        if progress.acknowledged().is_some_and(|at| *position <= at) {
            return Ok(());
        }
        let number =
            progress.watermark.number_of(position).filter(|number| *number < progress.handed_over).ok_or(OutOfRange)?;
        let first = progress.watermark.first_open();
        self.acknowledge_in(&mut progress, first..number + 1);
        drop(progress);
        self.changed.notify_waiters();
        Ok(())
    }

    /// Whether the record at this position was delivered to a handler and is not acknowledged yet.
    pub(crate) fn was_handed_over(&self, position: &Position) -> bool {
        let progress = self.lock();
        position.sequence_number.is_well_formed()
            && progress.watermark.number_of(position).is_some_and(|number| number < progress.handed_over)
    }

    /// Acknowledges every record that was read.
    pub(crate) fn acknowledge_all(&self) {
        let numbers = {
            let mut progress = self.lock();
            if !self.closed.is_cancelled() {
                let released = progress.release_handed_over(None);
                self.emit_released(released);
            }
            progress.watermark.first_open()..progress.watermark.next()
        };
        if !numbers.is_empty() {
            self.acknowledge(numbers);
        }
    }

    /// The number of records from the first unacknowledged one on.
    pub(crate) fn window(&self) -> u64 {
        self.lock().watermark.window()
    }

    /// Whether every record that was read is acknowledged.
    pub(crate) fn is_complete(&self) -> bool {
        self.lock().watermark.is_complete()
    }

    /// Sets or removes the prepared checkpoint.
    pub(crate) fn prepare(&self, pending: Option<Pending>) {
        self.lock().pending = pending;
    }

    /// Counts the payload of a batch that was handled.
    pub(crate) fn count_handled(&self, bytes: usize) {
        self.handled_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Notes that the service's time is at least this, in ms since the Unix epoch.
    pub(crate) fn saw_service_time(&self, ms: i64) {
        self.service_ahead_ms.fetch_max(ms.saturating_sub(self.local_ms()), Ordering::Relaxed);
    }

    /// Notes an answer of the shard, whose records are added next.
    pub(crate) fn saw_answer(&self, records: &[Record], behind_ms: Option<u64>, ended: bool) {
        let (now, service_ms) = (self.now(), self.service_ms());
        let mut progress = self.lock();
        let first = progress.watermark.next();
        progress.lag.answered(behind_ms, ended, now);
        progress.lag.read(first, records.iter().map(|record| record.arrived_at_ms));
        if let (Some(oldest), Some(newest), Some(service_ms)) = (records.first(), records.last(), service_ms) {
            progress.lag.arrivals(oldest.arrived_at_ms, newest.arrived_at_ms, behind_ms, service_ms, now);
        }
    }

    /// The consumer lag of the shard.
    pub(crate) fn lag(&self) -> ShardLag {
        let (now, service_ms) = (self.now(), self.service_ms());
        let mut progress = self.lock();
        let (first_open, next) = (progress.watermark.first_open(), progress.watermark.next());
        progress.lag.lag(first_open, next, service_ms, now)
    }

    /// Ranges of time whose records expired before they were read. Each is returned once.
    pub(crate) fn expired(&self, retention: Duration) -> Vec<Expired> {
        let now = self.now();
        self.lock().lag.expired(retention, now)
    }

    /// The time since `arrived_at_ms`, by the service's clock as far as the shard's records have
    /// shown it.
    pub(crate) fn age(&self, arrived_at_ms: i64) -> Duration {
        let age = self.service_ms().map_or(0, |now| now.saturating_sub(arrived_at_ms));
        Duration::from_millis(u64::try_from(age).unwrap_or(0))
    }

    /// The service's time in ms since the Unix epoch, as far as the shard's records have shown it.
    pub(crate) fn service_ms(&self) -> Option<i64> {
        let ahead = self.service_ahead_ms.load(Ordering::Relaxed);
        (ahead != i64::MIN).then(|| ahead.saturating_add(self.local_ms()))
    }

    fn local_ms(&self) -> i64 {
        i64::try_from(self.now().since(Time::ZERO).as_millis()).unwrap_or(i64::MAX)
    }

    pub(crate) fn now(&self) -> Time {
        self.gate.clock().now()
    }

    /// Waits until the owner requests a drain.
    pub(crate) async fn drain_requested(&self) {
        self.drain.cancelled().await;
    }

    /// Whether the owner requested a drain.
    #[cfg(test)]
    #[must_use]
    pub(crate) fn is_draining(&self) -> bool {
        self.drain.is_cancelled()
    }

    /// Waits until the lease is lost or the owner closed the delivery.
    pub(crate) async fn closed(&self) {
        self.closed.cancelled().await;
    }

    /// A token that is cancelled when the lease is lost or the owner closes the delivery.
    pub(crate) fn closing(&self) -> CancellationToken {
        self.closed.child_token()
    }

    /// Whether the lease is lost or the owner closed the delivery.
    #[must_use]
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.is_cancelled()
    }

    /// Sends a report to the owner.
    pub(crate) fn report(&self, kind: ReportKind) {
        let (lease, fencing_token) = (self.claim.lease.clone(), self.claim.fencing_token);
        // The send fails if the owner is gone. Then nobody needs the report.
        let _ = self.reports.send(Report { lease, fencing_token, kind });
    }

    // --- quarantine, from the consumer's side

    /// Whether records are in quarantine.
    pub(crate) fn has_quarantined(&self) -> bool {
        !self.lock().quarantine.is_empty()
    }

    /// Quarantines a key with the record that failed. The checkpoint may pass the record from now
    /// on.
    pub(crate) fn quarantine(
        &self,
        key: Option<&str>,
        position: Position,
        numbers: Range<u64>,
        why: Failed,
    ) -> Result<(), Full> {
        self.add_to_quarantine(&position.clone(), numbers, |quarantine| quarantine.quarantine(key, position, why))
    }

    /// Adds a record to its key in quarantine. Returns false if the key is not there (any more).
    pub(crate) fn join_quarantined(&self, key: &str, position: Position, numbers: Range<u64>) -> Result<bool, Full> {
        if !self.lock().quarantine.holds(key) {
            return Ok(false);
        }
        self.add_to_quarantine(&position.clone(), numbers, |quarantine| quarantine.join(key, position)).map(|()| true)
    }

    /// Adds a record to the quarantine and acknowledges it in one step, so that no checkpoint
    /// passes a record that the row does not name. A malformed sequence number cannot be stored in
    /// the row, so such a record is refused as if the quarantine were full.
    fn add_to_quarantine(
        &self,
        position: &Position,
        numbers: Range<u64>,
        add: impl FnOnce(&mut Quarantine) -> Result<(), Full>,
    ) -> Result<(), Full> {
        let mut progress = self.lock();
        if self.closed.is_cancelled() {
            return Ok(());
        }
        if !position.sequence_number.is_well_formed() {
            return Err(Full);
        }
        if !mutated!(ForgetsParked) {
            add(&mut progress.quarantine)?;
        }
        self.acknowledge_in(&mut progress, numbers);
        drop(progress);
        self.changed.notify_waiters();
        Ok(())
    }

    /// Removes records from quarantine that were handled or dead-lettered.
    pub(crate) fn release_quarantined(&self, positions: &[Position]) {
        if self.is_closed() {
            return;
        }
        let mut progress = self.lock();
        for position in positions {
            progress.quarantine.done(position);
        }
        drop(progress);
        self.emit_released(positions.len());
    }

    fn emit_released(&self, records: usize) {
        if records > 0 {
            let done = ParkedDone { shard: self.shard(), records };
            self.scope.enter(|| done.emit());
            self.changed.notify_waiters();
        }
    }

    /// Notes that quarantined records were delivered to a handler with manual checkpoints. They
    /// stay in quarantine until it checkpoints them.
    pub(crate) fn hand_over_quarantined(&self, positions: impl Iterator<Item = Position>) {
        self.lock().handed_over_quarantined.extend(positions);
    }

    /// Whether every quarantined record was delivered to a handler with manual checkpoints.
    pub(crate) fn quarantined_are_handed_over(&self) -> bool {
        let progress = self.lock();
        progress.quarantine.positions().all(|position| progress.handed_over_quarantined.contains(position))
    }

    /// Refuses the request for the key of the record at this position. The reason is stored in the
    /// row.
    pub(crate) fn refuse_request(&self, position: &Position, reason: String) {
        self.lock().quarantine.refuse(position, reason);
        self.changed.notify_waiters();
    }

    /// The next quarantined record that is requested to be resumed or dead-lettered, among the keys
    /// of the caller's lane.
    pub(crate) fn next_requested(
        &self,
        is_mine: impl Fn(Option<&str>) -> bool,
    ) -> Option<(QuarantineRequest, Position, u32, String)> {
        let progress = self.lock();
        let (key, request, position) =
            progress.quarantine.next_requested(is_mine, &progress.handed_over_quarantined)?;
        Some((request, position.clone(), key.attempts, key.error.clone()))
    }

    /// Requests that every key in quarantine is resumed.
    pub(crate) fn resume_quarantined(&self) {
        self.lock().quarantine.resume_all();
        self.changed.notify_waiters();
    }

    // --- the owner's side

    /// The position up to which records are acknowledged; `None` before the first.
    #[cfg(test)]
    #[must_use]
    pub(crate) fn acknowledged(&self) -> Option<Position> {
        self.lock().acknowledged()
    }

    /// What the row is to contain, given its present checkpoint.
    #[must_use]
    pub(crate) fn checkpoint_state(&self, row: &Checkpoint) -> CheckpointState {
        self.lock().checkpoint_state(row, &self.claim)
    }

    /// The keys in quarantine.
    pub(crate) fn quarantined_keys(&self) -> Vec<QuarantinedKey> {
        self.lock().quarantine.keys().to_vec()
    }

    /// Takes over the requests for quarantined keys that an operator wrote into the row.
    pub(crate) fn take_requests(&self, row: &[QuarantinedKey]) {
        if self.lock().quarantine.take_requests(row) {
            self.changed.notify_waiters();
        }
    }

    /// Drops the reader and starts another one after the last record that was read.
    pub(crate) fn restart_fetch(&self) {
        self.restart_fetch.notify_one();
    }

    /// The payload that was handled so far, in bytes.
    #[must_use]
    pub(crate) fn handled_bytes(&self) -> u64 {
        self.handled_bytes.load(Ordering::Relaxed)
    }

    /// Requests that the consumer finishes the batch it has begun, and stops.
    pub(crate) fn drain(&self) {
        self.drain.cancel();
    }

    /// Closes the delivery for good. Later acknowledgements have no effect.
    pub(crate) fn close(&self) {
        let _progress = self.lock();
        self.closed.cancel();
    }
}

impl Progress {
    /// Removes from quarantine the delivered records up to this position. Returns their number.
    fn release_handed_over(&mut self, up_to: Option<&Position>) -> usize {
        let is_done = |handed: &mut Position| up_to.is_none_or(|end| *handed <= *end);
        let done: Vec<Position> = self.handed_over_quarantined.extract_if(.., is_done).collect();
        for position in &done {
            self.quarantine.done(position);
        }
        done.len()
    }

    fn acknowledged(&self) -> Option<Position> {
        // A row with a malformed sequence number could not be read back. The next well-formed one
        // moves the checkpoint.
        let safe = self.watermark.safe().filter(|position| position.sequence_number.is_well_formed());
        safe.or_else(|| self.before.clone())
    }

    /// Completed ranges beyond the first gap.
    fn beyond(&self, known: &CompletedRanges) -> Vec<(RangeInclusive<Position>, u64)> {
        known.with(self.watermark.beyond(), self.read.as_ref())
    }

    fn checkpoint_state(&self, row: &Checkpoint, claim: &ClaimSnapshot) -> CheckpointState {
        let acknowledged = self.acknowledged();
        let ahead = acknowledged.clone().map(Checkpoint::At).filter(|at| row.is_before(at));
        let checkpoint = ahead.as_ref().unwrap_or(row);
        let done =
            if claim.stores_completed { CompletedRanges::write(checkpoint, &self.beyond(&claim.done)) } else { None };
        let pending = self.pending.clone().filter(|pending| checkpoint.is_before(&pending.checkpoint));
        // The owner fills in which workers could not read the shard.
        let (parked, unreadable_by) = (self.quarantine.keys().to_vec(), Vec::new());
        CheckpointState { acknowledged, extras: CheckpointExtras { pending, done, parked, unreadable_by } }
    }
}
