//! One held lease, as its consumer and its owner share it: may records be delivered, how far are they acknowledged.
//!
//! The owner (the coordination thread) opens, drains and closes it; the consumer (on the user's runtime) delivers while
//! it is open, acknowledges, and reports how it ended. Neither waits for the other.

mod gate;
mod lag;
mod report;

pub(crate) use gate::DeliveryGate;
use lag::Lag;
pub(crate) use lag::{Behind, Expired};
pub(crate) use report::{Report, ReportKind, Reports, WriteAsked};

use super::quarantine::{Failed, Full, Quarantine};
use super::stages::Stages;
use crate::checkpoint::{CompletedRanges, Positions, Watermark};
use crate::clock::Time;
use crate::lease::row::{CheckpointExtras, HashKeyRange, Pending, QuarantineRequest, QuarantinedKey};
use crate::lease::{Lease, LeaseKey};
use crate::record::{Checkpoint, Position, Record, ShardId, StartingPosition, StreamIdentity};
use crate::telemetry::Scope;
use crate::telemetry::event::delivery::{LateAcknowledgement, ParkedDone};
use std::ops::{Range, RangeInclusive};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// What is held, and what its row said when it was claimed.
#[derive(Clone, Debug)]
pub(crate) struct ClaimSnapshot {
    /// The lease.
    pub(crate) lease: LeaseKey,
    /// The shard.
    pub(crate) shard: ShardId,
    /// The stream, as the lease's row names it.
    pub(crate) stream: Option<StreamIdentity>,
    /// `leaseCounter` at the claim: only grows from hold to hold.
    pub(crate) fencing_token: u64,
    /// The hash keys that the shard acquires, if the row says so.
    pub(crate) hash_range: Option<HashKeyRange>,
    /// Where reading starts.
    pub(crate) from: StartingPosition,
    /// What is done beyond that.
    pub(crate) done: CompletedRanges,
    /// A checkpoint that was prepared.
    pub(crate) pending: Option<Pending>,
    /// Keys in quarantine.
    pub(crate) parked: Vec<QuarantinedKey>,
    /// How many records may be there.
    pub(crate) most_parked: usize,
    /// Whether the row is to say what is done beyond the checkpoint.
    pub(crate) keeps_done: bool,
}

impl ClaimSnapshot {
    /// A lease as it was claimed, with nothing beside its checkpoint.
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
            most_parked: 100,
            keeps_done: true,
        }
    }

    /// With all that the row says beside its checkpoint.
    pub(crate) fn with_extras(self, row: &Lease, most_parked: usize, keeps_done: bool) -> Self {
        let (extras, stream) = (&row.extras, row.stream.clone());
        let done =
            extras.done.as_deref().map(|bytes| CompletedRanges::read(bytes, &row.checkpoint)).unwrap_or_default();
        let (hash_range, parked) = (row.hash_range, extras.parked.clone());
        let pending = extras.pending.clone();
        ClaimSnapshot { stream, hash_range, done, pending, parked, most_parked, keeps_done, ..self }
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct ShardDelivery {
    pub(crate) hold: ClaimSnapshot,
    gate: Arc<DeliveryGate>,
    /// How long the consumer has been at what.
    pub(crate) stages: Stages,
    /// Notified when the reader is to be replaced.
    pub(crate) restart_fetch: Arc<Notify>,
    /// Notified when something was acknowledged, parked or wished.
    pub(crate) changed: Notify,
    progress: Mutex<Progress>,
    handled_bytes: AtomicU64,
    /// The service's time less that of the gate's clock, in ms, as the shard's records show it.
    service_ahead_ms: AtomicI64,
    drain: CancellationToken,
    closed: CancellationToken,
    reports: Reports,
    /// Acknowledgements may come from a task that is none of the worker's.
    scope: Scope,
}

/// How far the work has come.
#[derive(Debug)]
struct Progress {
    watermark: Watermark,
    /// The last record that was read.
    read: Option<Position>,
    /// Records with a lower number were handed over.
    handed: u64,
    /// How far earlier consumers of the same hold, or another store of checkpoints, had come.
    before: Option<Position>,
    pending: Option<Pending>,
    quarantine: Quarantine,
    /// Records from quarantine that a handler got which checkpoints by itself, and has not yet.
    handed_parked: Vec<Position>,
    lag: Lag,
}

/// What a row is to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// How far records are acknowledged; `None` before the first.
    pub(crate) acknowledged: Option<Position>,
    /// What stands beside a checkpoint.
    pub(crate) extras: CheckpointExtras,
}

/// A position that was not handed over: it cannot be acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutOfRange;

impl ShardDelivery {
    /// A delivery that is open as long as the gate is.
    pub(crate) fn new(hold: ClaimSnapshot, gate: Arc<DeliveryGate>, reports: Reports) -> Arc<Self> {
        let stages = Stages::new(&gate.clock());
        Self::begin(hold, gate, stages, None, 0, Duration::ZERO, reports)
    }

    /// The delivery to the next consumer of the same hold: from the last record on that the last one acknowledged, or from where
    /// the row says by now.
    pub(crate) fn of_next(&self, row: Option<StartingPosition>) -> Arc<Self> {
        let behind = self.behind().lag;
        if let Some(from) = row {
            let hold = ClaimSnapshot { from, done: CompletedRanges::default(), pending: None, ..self.hold.clone() };
            let stages = self.stages.of_next(&self.gate.clock());
            let (gate, reports) = (Arc::clone(&self.gate), self.reports.clone());
            return Self::begin(hold, gate, stages, None, self.handled_bytes(), behind, reports);
        }
        let progress = self.lock();
        let acknowledged = progress.acknowledged();
        let mut hold = self.hold.clone();
        if let Some(position) = &acknowledged {
            hold.from = StartingPosition::After(position.clone());
        }
        hold.done = CompletedRanges::of(progress.beyond(&self.hold.done));
        hold.pending = progress.pending.clone();
        hold.parked = progress.quarantine.keys().to_vec();
        drop(progress);
        let stages = self.stages.of_next(&self.gate.clock());
        let (gate, reports) = (Arc::clone(&self.gate), self.reports.clone());
        Self::begin(hold, gate, stages, acknowledged, self.handled_bytes(), behind, reports)
    }

    fn begin(
        hold: ClaimSnapshot,
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
            handed: 0,
            before,
            pending: hold.pending.clone(),
            quarantine: Quarantine::of(hold.parked.clone(), hold.most_parked),
            handed_parked: Vec::new(),
            lag: Lag::begin(gate.clock().now(), behind),
        };
        let scope = Scope::current().of_lease(&hold.lease);
        Arc::new(ShardDelivery {
            hold,
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
        &self.hold.shard
    }

    /// `leaseCounter` at the claim.
    pub(crate) fn fencing_token(&self) -> u64 {
        self.hold.fencing_token
    }

    // --- the consumer's side

    /// Whether a record may be delivered at this instant. Ask with no await between the answer and the call.
    #[must_use]
    pub(crate) fn is_open(&self) -> bool {
        !self.closed.is_cancelled() && self.gate.is_open()
    }

    /// How long from now on the lease is certain to be held.
    #[must_use]
    pub(crate) fn time_left(&self) -> Duration {
        if self.is_closed() { Duration::ZERO } else { self.gate.time_left() }
    }

    /// Another store knows that everything up to there is done.
    pub(crate) fn done_up_to(&self, position: Position) {
        self.lock().before = Some(position);
    }

    /// Takes note of records that were read, and tells the number of the first.
    pub(crate) fn delivered(&self, positions: Positions) -> u64 {
        let mut progress = self.lock();
        progress.read = positions.last().or_else(|| progress.read.take());
        progress.watermark.delivered(positions)
    }

    /// Takes note that records with these numbers are handed over.
    pub(crate) fn hand_over(&self, end: u64) {
        let mut progress = self.lock();
        progress.handed = progress.handed.max(end);
        self.stages.acknowledge.begin();
    }

    /// Records with these numbers are done. After the close this changes nothing.
    pub(crate) fn acknowledge(&self, mut numbers: Range<u64>) {
        if mutated!(IgnoresGaps) {
            numbers.start = 0;
        }
        let mut progress = self.lock();
        // Under the lock, so that what a close has read as the last position stays the last.
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
            if progress.watermark.first_open() < progress.handed {
                self.stages.acknowledge.begin();
            }
        }
    }

    /// Everything that was handed over up to that position is done.
    pub(crate) fn acknowledge_up_to(&self, position: &Position) -> Result<(), OutOfRange> {
        let mut progress = self.lock();
        if self.closed.is_cancelled() {
            return Ok(());
        }
        let unparked = progress.unpark_handed(Some(position));
        self.say_unparked(unparked);
        if progress.acknowledged().is_some_and(|at| *position <= at) {
            return Ok(());
        }
        let number =
            progress.watermark.number_of(position).filter(|number| *number < progress.handed).ok_or(OutOfRange)?;
        let first = progress.watermark.first_open();
        self.acknowledge_in(&mut progress, first..number + 1);
        drop(progress);
        self.changed.notify_waiters();
        Ok(())
    }

    /// Whether the record at that position was handed over and is not passed yet.
    pub(crate) fn was_handed_over(&self, position: &Position) -> bool {
        let progress = self.lock();
        position.sequence_number.is_well_formed()
            && progress.watermark.number_of(position).is_some_and(|number| number < progress.handed)
    }

    /// Everything that was delivered is done.
    pub(crate) fn acknowledge_all(&self) {
        let numbers = {
            let mut progress = self.lock();
            if !self.closed.is_cancelled() {
                let unparked = progress.unpark_handed(None);
                self.say_unparked(unparked);
            }
            progress.watermark.first_open()..progress.watermark.next()
        };
        if !numbers.is_empty() {
            self.acknowledge(numbers);
        }
    }

    /// Records from the first that is not acknowledged on.
    pub(crate) fn window(&self) -> u64 {
        self.lock().watermark.window()
    }

    /// Whether every delivered record is acknowledged.
    pub(crate) fn is_complete(&self) -> bool {
        self.lock().watermark.is_complete()
    }

    /// A checkpoint is prepared, or the one that was is taken back.
    pub(crate) fn prepare(&self, pending: Option<Pending>) {
        self.lock().pending = pending;
    }

    /// Counts the payload of a batch that was handled.
    pub(crate) fn count_handled(&self, bytes: usize) {
        self.handled_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// The service's time is at least this, in ms since the Unix epoch.
    pub(crate) fn saw_service_time(&self, ms: i64) {
        self.service_ahead_ms.fetch_max(ms.saturating_sub(self.local_ms()), Ordering::Relaxed);
    }

    /// An answer of the shard came, and these records are delivered next.
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

    /// How far behind the work on the shard is.
    pub(crate) fn behind(&self) -> Behind {
        let (now, service_ms) = (self.now(), self.service_ms());
        let mut progress = self.lock();
        let (first_open, next) = (progress.watermark.first_open(), progress.watermark.next());
        progress.lag.behind(first_open, next, service_ms, now)
    }

    /// Ranges of time that the stream's retention ended before they were read. Each is returned once.
    pub(crate) fn expired(&self, retention: Duration) -> Vec<Expired> {
        let now = self.now();
        self.lock().lag.expired(retention, now)
    }

    /// How long ago something arrived, by the service's clock as the shard shows it.
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

    /// Fires when the lease is lost or the owner closed the delivery.
    pub(crate) fn closing(&self) -> CancellationToken {
        self.closed.child_token()
    }

    /// Whether the lease is lost or the owner closed the delivery.
    #[must_use]
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.is_cancelled()
    }

    /// Tells the owner.
    pub(crate) fn report(&self, kind: ReportKind) {
        let (lease, fencing_token) = (self.hold.lease.clone(), self.hold.fencing_token);
        // The owner may be gone: then nobody needs the report.
        let _ = self.reports.send(Report { lease, fencing_token, kind });
    }

    // --- quarantine, from the consumer's side

    /// Whether nothing is parked.
    pub(crate) fn has_parked(&self) -> bool {
        !self.lock().quarantine.is_empty()
    }

    /// Parks a key with the record that failed, which counts as passed from now on.
    pub(crate) fn park(
        &self,
        key: Option<&str>,
        position: Position,
        numbers: Range<u64>,
        why: Failed,
    ) -> Result<(), Full> {
        self.pass(&position.clone(), numbers, |quarantine| quarantine.park(key, position, why))
    }

    /// Lets a record join its key, if that is parked. Tells whether it did.
    pub(crate) fn join_parked(&self, key: &str, position: Position, numbers: Range<u64>) -> Result<bool, Full> {
        if !self.lock().quarantine.holds(key) {
            return Ok(false);
        }
        self.pass(&position.clone(), numbers, |quarantine| quarantine.join(key, position)).map(|()| true)
    }

    /// In one step, so that no checkpoint passes a record that the row does not name.
    /// A record whose number is none cannot be named in a row, so there is no room for it.
    fn pass(
        &self,
        position: &Position,
        numbers: Range<u64>,
        park: impl FnOnce(&mut Quarantine) -> Result<(), Full>,
    ) -> Result<(), Full> {
        let mut progress = self.lock();
        if self.closed.is_cancelled() {
            return Ok(());
        }
        if !position.sequence_number.is_well_formed() {
            return Err(Full);
        }
        if !mutated!(ForgetsParked) {
            park(&mut progress.quarantine)?;
        }
        self.acknowledge_in(&mut progress, numbers);
        drop(progress);
        self.changed.notify_waiters();
        Ok(())
    }

    /// Parked records were handled, or given up.
    pub(crate) fn unpark(&self, positions: &[Position]) {
        if self.is_closed() {
            return;
        }
        let mut progress = self.lock();
        for position in positions {
            progress.quarantine.done(position);
        }
        drop(progress);
        self.say_unparked(positions.len());
    }

    fn say_unparked(&self, records: usize) {
        if records > 0 {
            let done = ParkedDone { shard: self.shard(), records };
            self.scope.enter(|| done.emit());
            self.changed.notify_waiters();
        }
    }

    /// Parked records were handed to a handler that checkpoints by itself: they stay parked until it does.
    pub(crate) fn hand_over_parked(&self, positions: impl Iterator<Item = Position>) {
        self.lock().handed_parked.extend(positions);
    }

    /// Whether every record that is parked was handed to a handler that checkpoints by itself.
    pub(crate) fn parked_is_handed(&self) -> bool {
        let progress = self.lock();
        progress.quarantine.positions().all(|position| progress.handed_parked.contains(position))
    }

    /// What was wished of the key with that record cannot be done.
    pub(crate) fn refuse_wish(&self, position: &Position, reason: String) {
        self.lock().quarantine.refuse(position, reason);
        self.changed.notify_waiters();
    }

    /// The next parked record of which something is wished, among those keys.
    pub(crate) fn wished(
        &self,
        is_mine: impl Fn(Option<&str>) -> bool,
    ) -> Option<(QuarantineRequest, Position, u32, String)> {
        let progress = self.lock();
        let (key, wish, position) = progress.quarantine.wished(is_mine, &progress.handed_parked)?;
        Some((wish, position.clone(), key.attempts, key.error.clone()))
    }

    /// All that is parked is to be tried again.
    pub(crate) fn resume_parked(&self) {
        self.lock().quarantine.resume_all();
        self.changed.notify_waiters();
    }

    // --- the owner's side

    /// How far records are acknowledged; `None` before the first.
    #[cfg(test)]
    #[must_use]
    pub(crate) fn acknowledged(&self) -> Option<Position> {
        self.lock().acknowledged()
    }

    /// What the row is to say, given what it says of the checkpoint now.
    #[must_use]
    pub(crate) fn standing(&self, row: &Checkpoint) -> Standing {
        self.lock().standing(row, &self.hold)
    }

    /// The keys in quarantine.
    pub(crate) fn parked(&self) -> Vec<QuarantinedKey> {
        self.lock().quarantine.keys().to_vec()
    }

    /// A person said in the row what is to become of parked keys.
    pub(crate) fn wish(&self, row: &[QuarantinedKey]) {
        if self.lock().quarantine.wish(row) {
            self.changed.notify_waiters();
        }
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

    /// Ends delivery for good; later acknowledgements change nothing.
    pub(crate) fn close(&self) {
        let _progress = self.lock();
        self.closed.cancel();
    }
}

impl Progress {
    /// Those of the parked records that were handed over, up to that one, are done. Tells how many.
    fn unpark_handed(&mut self, up_to: Option<&Position>) -> usize {
        let is_done = |handed: &mut Position| up_to.is_none_or(|end| *handed <= *end);
        let done: Vec<Position> = self.handed_parked.extract_if(.., is_done).collect();
        for position in &done {
            self.quarantine.done(position);
        }
        done.len()
    }

    fn acknowledged(&self) -> Option<Position> {
        // A row that names what is no number could not be read again. The next record that has one moves the checkpoint.
        let safe = self.watermark.safe().filter(|position| position.sequence_number.is_well_formed());
        safe.or_else(|| self.before.clone())
    }

    /// What is done beyond the first gap.
    fn beyond(&self, known: &CompletedRanges) -> Vec<(RangeInclusive<Position>, u64)> {
        known.with(self.watermark.beyond(), self.read.as_ref())
    }

    fn standing(&self, row: &Checkpoint, hold: &ClaimSnapshot) -> Standing {
        let acknowledged = self.acknowledged();
        let ahead = acknowledged.clone().map(Checkpoint::At).filter(|at| row.is_before(at));
        let checkpoint = ahead.as_ref().unwrap_or(row);
        let done = if hold.keeps_done { CompletedRanges::write(checkpoint, &self.beyond(&hold.done)) } else { None };
        let pending = self.pending.clone().filter(|pending| checkpoint.is_before(&pending.checkpoint));
        // The owner knows who could not read the shard.
        let (parked, unreadable_by) = (self.quarantine.keys().to_vec(), Vec::new());
        Standing { acknowledged, extras: CheckpointExtras { pending, done, parked, unreadable_by } }
    }
}
