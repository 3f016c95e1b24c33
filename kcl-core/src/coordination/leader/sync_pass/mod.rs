//! Runs one pass of shard sync: creates and deletes leases so that they match the stream's shards.
//!
//! A pass runs concurrently with the leader's cycle: no assignment waits for a list of shards, or
//! for the rows that it requires.

use super::row_writes::RowWrites;
use crate::clock::Time;
use crate::config::Start;
use crate::coordination::backoff::RetryPolicy;
use crate::coordination::call::{CallId, LeaderCall, LeaderTimer, Op, Reply, StreamCall, TimerId};
use crate::coordination::effects::Effects;
use crate::coordination::event::CoordinationEvent;
use crate::coordination::intervals::LATEST_MARGIN_MS;
use crate::lease::row::{Fleet, FleetStart, Lease, LeaseKey, StreamKeys, StreamRow};
use crate::lease::{Row, Write, Written};
use crate::record::{Checkpoint, ShardId};
use crate::shard::{self, ListHistory, ListWhich, Listing, UnusableList};
use std::collections::BTreeMap;
use std::time::Duration;

/// The time between two questions whether the start has come, and between two log lines about it.
const STILL_AHEAD: Duration = Duration::from_secs(60);

/// One pass. A failed list ends it, and the next pass starts anew; a failed write is repeated
/// alone.
#[derive(Debug)]
pub(crate) struct SyncPass {
    stream: StreamKeys,
    start: Start,
    state: State,
    /// Whether this is, or may be, the first pass of the stream.
    first: bool,
    /// Failures in a row of the write that pins or marks.
    failures: u32,
    /// When it was last logged that the start lies ahead.
    ahead_logged: Option<Time>,
    /// Whether no further calls are started.
    stopped: bool,
}

#[derive(Debug)]
enum State {
    /// First pass: reads the service's time, which LATEST is pinned to, and which decides whether AT_TIMESTAMP
    /// has come. `pinned` is the start if it is pinned already.
    AskingTime { pinned: Option<FleetStart> },
    /// First pass: waits for the start, which lies ahead of the service's clock.
    Ahead { pinned: Option<FleetStart> },
    /// First pass: stores the start, so that an interrupted pass continues with the same one
    /// (docs/protocol/starting.md).
    Pinning(Write),
    /// First pass: lists the shards that were open at the start.
    ListingStart { start: FleetStart, fallback: bool },
    /// Later passes: lists all shards.
    ListingAll,
    /// Creates and deletes rows.
    Writing {
        first: bool,
        rows: RowWrites,
        /// Whether another list is needed soon.
        soon: bool,
    },
    /// First pass: marks the stream as filled.
    Marking(Write),
}

/// The outcome of a step.
#[derive(Debug)]
pub(crate) enum SyncEvent {
    Going,
    /// A lease's row as it is now; `None` after a deletion. `done` if it was the last one of the
    /// pass.
    Lease {
        key: LeaseKey,
        lease: Option<Box<Lease>>,
        done: Option<Done>,
    },
    /// The fleet row as it is now.
    Fleet(Fleet),
    Done(Done),
    Failed,
}

/// How a pass ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Done {
    /// The leases match the shards.
    Settled,
    /// The leases match as far as this list can be trusted; another list is needed soon.
    Unsettled,
}

impl SyncPass {
    /// Starts a pass of a table's only stream.
    pub(crate) fn begin(
        stream: StreamKeys,
        start: Start,
        filled: bool,
        pinned: Option<FleetStart>,
        effects: &mut Effects,
    ) -> Self {
        let mut sync_pass = SyncPass::new(stream, start, !filled);
        match (filled, pinned) {
            (true, _) => sync_pass.list(ListWhich::All, effects),
            (false, Some(pinned)) if pinned.checkpoint == Checkpoint::AtTimestamp => {
                sync_pass.ask_time(Some(pinned), effects);
            }
            (false, Some(pinned)) => sync_pass.list_start(pinned, false, effects),
            (false, None) => sync_pass.begin_first(effects),
        }
        sync_pass
    }

    /// Starts a pass of one of several streams, given the stream's row, and whether the table
    /// contains leases of it. A stream with leases but without a row was read by an earlier fleet,
    /// so it counts as filled.
    pub(crate) fn of_several(
        stream: StreamKeys,
        start: Start,
        row: Option<&StreamRow>,
        has_leases: bool,
        effects: &mut Effects,
    ) -> Self {
        match row {
            Some(row) => SyncPass::begin(stream, start, row.filled, Some(row.start.clone()), effects),
            None if has_leases => {
                let mut sync_pass = SyncPass::new(stream, start, false);
                sync_pass.pin(Checkpoint::TrimHorizon, None, effects);
                sync_pass
            }
            None => SyncPass::begin(stream, start, false, None, effects),
        }
    }

    fn new(stream: StreamKeys, start: Start, first: bool) -> Self {
        SyncPass { stream, start, state: State::ListingAll, first, failures: 0, ahead_logged: None, stopped: false }
    }

    fn begin_first(&mut self, effects: &mut Effects) {
        match self.start {
            // The service refuses to list shards at a time that has not come, and its clock decides. A start is not pinned
            // before that: a mistaken one leaves nothing in the table.
            Start::Latest | Start::AtTimestamp(_) => self.ask_time(None, effects),
            Start::TrimHorizon => self.pin(Checkpoint::TrimHorizon, None, effects),
        }
    }

    fn ask_time(&mut self, pinned: Option<FleetStart>, effects: &mut Effects) {
        self.state = State::AskingTime { pinned };
        self.list(ListWhich::AtLatest, effects);
    }

    /// The service's own time, where it said that.
    fn on_time(&mut self, now_ms: Option<i64>, pinned: Option<FleetStart>, effects: &mut Effects) -> SyncEvent {
        let start_ms = match &pinned {
            Some(pinned) => pinned.at_ms,
            None => self.start.at_ms(),
        };
        match (start_ms, now_ms) {
            (Some(start_ms), Some(now_ms)) if start_ms > now_ms => {
                let ahead = Duration::from_millis(start_ms.saturating_sub(now_ms).unsigned_abs());
                if self.ahead_logged.is_none_or(|at| effects.now.since(at) >= STILL_AHEAD / 2) {
                    self.ahead_logged = Some(effects.now);
                    effects.emit(CoordinationEvent::StartAhead { stream: self.stream.id.clone(), start_ms, ahead });
                }
                self.wait_for_start(pinned, ahead.min(STILL_AHEAD), effects);
            }
            // A stream that does not report its time refuses the list if it is too early.
            (Some(start_ms), _) => match pinned {
                Some(pinned) => self.list_start(pinned, false, effects),
                None => self.pin(self.start.sentinel(), Some(start_ms), effects),
            },
            (None, Some(now_ms)) => self.pin(self.start.sentinel(), Some(now_ms - LATEST_MARGIN_MS), effects),
            (None, None) => return SyncEvent::Failed,
        }
        SyncEvent::Going
    }

    fn wait_for_start(&mut self, pinned: Option<FleetStart>, pause: Duration, effects: &mut Effects) {
        effects.set_timer(self.timer(), effects.now + pause);
        self.state = State::Ahead { pinned };
    }

    /// Whether the stream may have no leases before this pass is complete.
    pub(crate) fn is_first(&self) -> bool {
        self.first
    }

    /// Whether a write is in flight, which may be applied at any time.
    pub(crate) fn is_writing(&self) -> bool {
        match &self.state {
            State::AskingTime { .. } | State::Ahead { .. } | State::ListingStart { .. } | State::ListingAll => false,
            State::Pinning(_) | State::Marking(_) => true,
            State::Writing { rows, .. } => rows.is_writing(),
        }
    }

    /// Starts no further calls. Calls in flight continue.
    pub(crate) fn stop(&mut self) {
        self.stopped = true;
        if let State::Writing { rows, .. } = &mut self.state {
            rows.stop();
        }
    }

    fn list(&self, which: ListWhich, effects: &mut Effects) {
        let id = self.id(LeaderCall::Shards, StreamCall::Shards);
        effects.call(id, Op::List(self.stream.id.clone(), which));
    }

    /// The id of a call: of the only stream, or of one of several.
    fn id(&self, of_only: LeaderCall, of_several: StreamCall) -> CallId {
        match &self.stream.id {
            None => CallId::Leader(of_only),
            Some(stream) => CallId::Stream(stream.clone(), of_several),
        }
    }

    /// The id of the writes that pin the start and mark the end.
    fn write_id(&self) -> CallId {
        self.id(LeaderCall::SyncPass, StreamCall::SyncPass)
    }

    fn timer(&self) -> TimerId {
        match &self.stream.id {
            None => TimerId::Leader(LeaderTimer::SyncPass),
            Some(stream) => TimerId::Stream(stream.clone()),
        }
    }

    fn pin(&mut self, checkpoint: Checkpoint, at_ms: Option<i64>, effects: &mut Effects) {
        let start = FleetStart { checkpoint, at_ms };
        let write = match &self.stream.id {
            None => Write::PinStart(start),
            Some(id) => Write::PinStream(StreamRow { id: id.clone(), start, filled: !self.first }),
        };
        effects.write(self.write_id(), write.clone());
        self.state = State::Pinning(write);
    }

    fn mark(&mut self, effects: &mut Effects) {
        let write = self.stream.id.clone().map_or(Write::MarkFilled, Write::MarkStreamFilled);
        effects.write(self.write_id(), write.clone());
        self.state = State::Marking(write);
    }

    fn list_start(&mut self, start: FleetStart, fallback: bool, effects: &mut Effects) {
        let which = match start.at_ms {
            Some(ms) if !fallback && start.checkpoint != Checkpoint::TrimHorizon => ListWhich::AtTimestamp(ms),
            _ => ListWhich::AtTrimHorizon,
        };
        self.list(which, effects);
        self.state = State::ListingStart { start, fallback };
    }

    /// Repeats the call that is due.
    pub(crate) fn on_timer(&mut self, effects: &mut Effects) {
        match &self.state {
            State::Pinning(write) | State::Marking(write) => effects.write(self.write_id(), write.clone()),
            State::Writing { .. } => self.send_rows(effects),
            State::Ahead { pinned } => {
                let pinned = pinned.clone();
                self.ask_time(pinned, effects);
            }
            State::AskingTime { .. } | State::ListingStart { .. } | State::ListingAll => {}
        }
    }

    /// A list of the stream's shards was answered.
    pub(crate) fn on_listing(
        &mut self,
        answer: Reply<Listing>,
        leases: &BTreeMap<LeaseKey, Lease>,
        list_history: &mut ListHistory,
        effects: &mut Effects,
    ) -> SyncEvent {
        match (answer, &self.state) {
            _ if self.stopped => SyncEvent::Failed,
            // An outage while the start is waited for does not begin the wait, and its log line, anew.
            (Err(_), State::AskingTime { pinned }) if self.ahead_logged.is_some() => {
                let pinned = pinned.clone();
                let pause = effects.jittered(RetryPolicy::SYNC_PASS.pause(u32::MAX));
                self.wait_for_start(pinned, pause, effects);
                SyncEvent::Going
            }
            (Err(_), _) => SyncEvent::Failed,
            (Ok(listing), State::AskingTime { pinned }) => {
                let pinned = pinned.clone();
                self.on_time(listing.answered_at_ms, pinned, effects)
            }
            (Ok(listing), State::ListingStart { start, fallback }) => {
                let (start, fallback) = (start.clone(), *fallback);
                self.on_start_listed(&listing, start, fallback, list_history, effects)
            }
            (Ok(listing), State::ListingAll) => self.on_all_listed(&listing, leases, list_history, effects),
            (Ok(_), State::Ahead { .. } | State::Pinning(_) | State::Writing { .. } | State::Marking(_)) => {
                SyncEvent::Failed
            }
        }
    }

    /// The write that pins the start or marks the end was answered.
    pub(crate) fn on_written(&mut self, answer: Reply<Written>, effects: &mut Effects) -> SyncEvent {
        match (answer, &self.state) {
            _ if self.stopped => SyncEvent::Failed,
            (Err(_), State::Pinning(_) | State::Marking(_)) => {
                self.failures = self.failures.saturating_add(1);
                let pause = effects.jittered(RetryPolicy::SYNC_PASS.pause(self.failures));
                effects.set_timer(self.timer(), effects.now + pause);
                SyncEvent::Going
            }
            (Ok(Written::Applied(row) | Written::Refused(row)), State::Pinning(_)) => match row {
                Some(Row::Fleet(fleet)) => match fleet.start.clone() {
                    Some(pinned) => {
                        self.list_start(pinned, false, effects);
                        SyncEvent::Fleet(fleet)
                    }
                    None => SyncEvent::Failed,
                },
                Some(Row::Stream(row)) => {
                    self.first = !row.filled;
                    if row.filled {
                        self.state = State::ListingAll;
                        self.list(ListWhich::All, effects);
                    } else {
                        self.list_start(row.start, false, effects);
                    }
                    SyncEvent::Going
                }
                _ => SyncEvent::Failed,
            },
            (Ok(Written::Applied(Some(Row::Fleet(_) | Row::Stream(_)))), State::Marking(_)) => {
                SyncEvent::Done(Done::Settled)
            }
            _ => SyncEvent::Failed,
        }
    }

    fn on_start_listed(
        &mut self,
        listing: &Listing,
        start: FleetStart,
        fallback: bool,
        list_history: &mut ListHistory,
        effects: &mut Effects,
    ) -> SyncEvent {
        let hole = shard::hole_in(&listing.shards);
        match hole {
            // The stream is younger than the requested start, so no shards were open then. List its
            // oldest shards, and read them from the requested start on.
            Some(_) if !fallback => {
                self.list_start(start, true, effects);
                SyncEvent::Going
            }
            Some(hole) => {
                effects.emit(CoordinationEvent::ShardsIncomplete { stream: self.stream.id.clone(), hole });
                SyncEvent::Failed
            }
            None => match list_history.check(&listing.shards) {
                Ok((shards, cyclic)) => {
                    self.report_cyclic(cyclic, effects);
                    let rows = shard::first_fill(&shards, &start, &self.stream);
                    self.write(true, RowWrites::new(rows, Vec::new()), false, effects)
                }
                Err(why) => self.unusable(why, effects),
            },
        }
    }

    fn unusable(&self, why: UnusableList, effects: &mut Effects) -> SyncEvent {
        effects.emit(CoordinationEvent::ListUnusable { stream: self.stream.id.clone(), why });
        SyncEvent::Failed
    }

    fn report_cyclic(&self, cyclic: Vec<ShardId>, effects: &mut Effects) {
        if let Some(example) = cyclic.first().cloned() {
            let (stream, shards) = (self.stream.id.clone(), cyclic.len());
            effects.emit(CoordinationEvent::ParentsInCircle { stream, shards, example });
        }
    }

    fn on_all_listed(
        &mut self,
        listing: &Listing,
        leases: &BTreeMap<LeaseKey, Lease>,
        list_history: &mut ListHistory,
        effects: &mut Effects,
    ) -> SyncEvent {
        let leases: Vec<Lease> = leases.values().filter(|lease| self.stream.has(lease)).cloned().collect();
        if self.stream.until_ms.is_some() {
            // A replay: shards that ended within the range leave holes, and the end of the replay
            // is detected by its finished leases, so no lease is deleted.
            return match list_history.check(&listing.shards) {
                Ok((shards, cyclic)) => {
                    self.report_cyclic(cyclic, effects);
                    let rows = shard::missing_of_range(&leases, &shards, &self.stream);
                    self.write(false, RowWrites::new(rows, Vec::new()), false, effects)
                }
                Err(why) => self.unusable(why, effects),
            };
        }
        let sync = match list_history.sync(&leases, &listing.shards, &self.stream, effects.now) {
            Ok(sync) => sync,
            Err(why) => return self.unusable(why, effects),
        };
        self.report_cyclic(sync.cyclic, effects);
        if let Some(hole) = sync.hole {
            effects.emit(CoordinationEvent::ShardsIncomplete { stream: self.stream.id.clone(), hole });
        }
        for lease in sync.reopened {
            effects.emit(CoordinationEvent::EndedShardOpen { lease });
        }
        for lease in sync.recreated {
            effects.emit(CoordinationEvent::LeaseMadeAgain { lease });
        }
        self.write(false, RowWrites::new(sync.create, sync.delete), sync.needs_another_list, effects)
    }

    fn write(&mut self, first: bool, rows: RowWrites, soon: bool, effects: &mut Effects) -> SyncEvent {
        self.state = State::Writing { first, rows, soon };
        self.send_rows(effects);
        self.after_row(effects).map_or(SyncEvent::Going, SyncEvent::Done)
    }

    fn send_rows(&mut self, effects: &mut Effects) {
        let State::Writing { rows, .. } = &mut self.state else { return };
        let (writes, again) = rows.send(effects.now);
        for write in writes {
            if let crate::lease::RowKey::Lease(key) = write.key() {
                let id = self.id(LeaderCall::LeaseRow(key.clone()), StreamCall::LeaseRow(key));
                effects.write(id, write);
            }
        }
        match again {
            Some(again) => effects.set_timer(self.timer(), again),
            None => effects.clear_timer(&self.timer()),
        }
    }

    /// The write of a lease's row was answered.
    pub(crate) fn on_lease_written(
        &mut self,
        key: &LeaseKey,
        answer: Reply<Written>,
        effects: &mut Effects,
    ) -> SyncEvent {
        let State::Writing { rows, .. } = &mut self.state else { return SyncEvent::Going };
        let Ok(Written::Applied(row) | Written::Refused(row)) = answer else {
            rows.on_failed(key, effects.now);
            if self.stopped {
                rows.stop();
                return if rows.is_done() { SyncEvent::Failed } else { SyncEvent::Going };
            }
            self.send_rows(effects);
            return SyncEvent::Going;
        };
        rows.on_written(key);
        if self.stopped {
            rows.stop();
        }
        self.send_rows(effects);
        let lease = if let Some(Row::Lease(lease)) = row { Some(Box::new(lease)) } else { None };
        let done = self.after_row(effects);
        SyncEvent::Lease { key: key.clone(), lease, done }
    }

    /// Completes the pass, or goes on to its next step, if all rows are written.
    fn after_row(&mut self, effects: &mut Effects) -> Option<Done> {
        let State::Writing { first, rows, soon } = &self.state else { return None };
        match (rows.is_done(), first) {
            (false, _) => None,
            (true, true) if self.stopped => Some(Done::Unsettled),
            (true, true) => {
                self.mark(effects);
                None
            }
            (true, false) => Some(if *soon { Done::Unsettled } else { Done::Settled }),
        }
    }
}

#[cfg(test)]
mod tests;
