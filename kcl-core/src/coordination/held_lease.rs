//! Owns one held lease and is the only writer of its row: checkpoints, the release, the end of the shard.
//!
//! See docs/protocol/checkpoints.md and docs/protocol/handoff-and-shutdown.md.

use super::backoff::RetryPolicy;
use super::call::{CallId, Failure, LeaseCall, LeaseTimer, Reply, TimerId};
use super::effects::Effects;
use super::stall::{self, Deadlines, StallDetector, Standing};
use super::throughput::Counted;
use crate::clock::Time;
use crate::lease::row::{CheckpointExtras, Lease, LeaseKey, SessionNumber, WorkerId, Yield};
use crate::lease::{Row, Write, Written, next};
use crate::processor::{ShardDelivery, WriteRequested};
use crate::record::{Checkpoint, ShardId, StartingPosition};
use crate::retrieval::Unreadable;
use crate::shard::Shard;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// This many workers release a lease whose shard they cannot read; the next one keeps it. More moves would not make the
/// shard readable, and an outage of all workers would leave leases without an owner when it ends.
const MOST_TRIED: usize = 2;
/// Throttled checkpoints are delayed by up to this many intervals.
const MOST_DELAYED: u32 = 8;
/// A throttled checkpoint is delayed by at least this much, or by an interval that is shorter.
const SHORTEST_DELAY: Duration = Duration::from_secs(1);

/// A lease that this worker's session holds.
#[derive(Debug)]
pub(crate) struct HeldLease {
    pub(crate) lease: Lease,
    pub(crate) delivery: Arc<ShardDelivery>,
    pub(crate) since: Time,
    me: (WorkerId, SessionNumber),
    interval: Duration,
    /// The delay of throttled checkpoints, in intervals.
    delayed: u32,
    /// Writes that failed in a row.
    failed: u32,
    state: State,
    writing: Option<Writing>,
    stall: StallDetector,
    /// Since when records are acknowledged that the row's checkpoint does not cover.
    ahead_since: Option<Time>,
    /// Checkpoints go to another store as they come, and into the row only at the end.
    elsewhere: bool,
    /// Handlers that wait for the next write.
    asked: Vec<WriteRequested>,
    /// Handlers that wait for the write under way.
    waiting: Vec<WriteRequested>,
    /// Another consumer is to follow when the current one is gone.
    restarting: bool,
    /// The position from which that consumer starts, if a person has edited the row.
    restart_from: Option<StartingPosition>,
}

/// The stage of a held lease.
#[derive(Debug, Clone, PartialEq)]
enum State {
    Working,
    /// The consumer finishes the records that it has begun.
    Draining {
        why: Why,
        deadline: Time,
    },
    /// The consumer is done, or its deadline has passed.
    Releasing {
        why: Why,
    },
    /// All records of the shard are acknowledged; these children still need their rows.
    Ending {
        children: Vec<Shard>,
        missing: BTreeSet<LeaseKey>,
    },
}

/// Why a lease is released.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// The leader moves it to another worker.
    Planned,
    /// The worker shuts down.
    Shutdown,
    /// Its consumer cannot go on.
    ConsumerGaveUp,
    /// The watchdog found its shard stalled.
    Stalled,
    /// This worker cannot read its shard.
    Unreadable,
    /// This worker no longer serves its stream, of several.
    StreamStopped,
    /// Its stream, of several, no longer exists.
    StreamMissing,
}

impl Why {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Why::Planned => "planned",
            Why::Shutdown => "shutdown",
            Why::ConsumerGaveUp => "consumer gave up",
            Why::Stalled => "stalled",
            Why::Unreadable => "unreadable",
            Why::StreamStopped => "stream stopped",
            Why::StreamMissing => "stream missing",
        }
    }
}

/// A write under way, or one without an answer.
#[derive(Debug, Clone, PartialEq)]
struct Writing {
    write: Write,
    in_flight: bool,
    unsettled: bool,
}

/// The outcome of a write.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum HeldLeaseEvent {
    Nothing,
    Checkpointed,
    Released {
        why: Why,
    },
    /// The row has SHARD_END.
    Ended {
        children: Vec<Shard>,
    },
    /// Another worker or an external writer has the lease.
    Lost {
        why: &'static str,
    },
}

impl HeldLease {
    pub(crate) fn new(
        lease: Lease,
        delivery: Arc<ShardDelivery>,
        me: (WorkerId, SessionNumber),
        interval: Duration,
        elsewhere: bool,
        effects: &mut Effects,
    ) -> Self {
        // Spread over the interval, so that a thousand leases acquired together do not write in step.
        let first = interval.mul_f64(0.5 + 0.5 * effects.rng.f64());
        let since = effects.now;
        let held = HeldLease {
            lease,
            delivery,
            since,
            me,
            interval,
            delayed: 1,
            failed: 0,
            state: State::Working,
            writing: None,
            stall: StallDetector::default(),
            ahead_since: None,
            elsewhere,
            asked: Vec::new(),
            waiting: Vec::new(),
            restarting: false,
            restart_from: None,
        };
        held.set_timer(since + first, effects);
        held
    }

    fn key(&self) -> LeaseKey {
        self.lease.key.clone()
    }

    fn set_timer(&self, at: Time, effects: &mut Effects) {
        effects.set_timer(TimerId::Lease(self.key(), LeaseTimer::Write), at);
    }

    /// The bytes that its handler has processed.
    pub(crate) fn counted<'a>(&self, lease: &'a LeaseKey) -> Counted<'a> {
        Counted { lease, fencing_token: self.delivery.fencing_token(), bytes: self.delivery.handled_bytes() }
    }

    /// True if the lease is neither being released nor ended.
    pub(crate) fn is_working(&self) -> bool {
        self.state == State::Working
    }

    /// True if the lease is neither being released nor ended, and no write of its row is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.is_working() && self.writing.is_none()
    }

    /// Whether the leader means this claim of the lease. A claim that succeeded after the leader read the row has a higher
    /// fencing token: no worker expects its release, so none would claim the lease.
    pub(crate) fn is_meant_by(&self, release: &Yield) -> bool {
        self.is_working() && self.delivery.fencing_token() <= release.counter
    }

    /// Writes the checkpoint now, for a handler that waits for it.
    pub(crate) fn write_now(&mut self, asked: WriteRequested, effects: &mut Effects) {
        self.asked.push(asked);
        self.act(effects);
    }

    /// A read, which may be stale, showed the row. An operator may have written a request about a quarantined key.
    pub(crate) fn notice(&mut self, row: &Row) {
        let Some(row) = row.as_lease().filter(|row| row.counter > self.lease.counter) else { return };
        self.delivery.take_requests(&row.extras.parked);
        self.lease = row.clone();
    }

    /// Whether a row, which may be stale, names this session as the owner.
    pub(crate) fn is_owner_in(&self, row: Option<&Row>) -> bool {
        row.and_then(Row::as_lease).is_some_and(|row| row.is_held_by(&self.me.0, self.me.1))
    }

    /// Begins the release: the consumer finishes the records that it has begun, by the deadline.
    pub(crate) fn drain(&mut self, why: Why, deadline: Time, effects: &mut Effects) {
        match &mut self.state {
            State::Working => {
                self.delivery.drain();
                self.state = State::Draining { why, deadline };
                self.set_timer(deadline, effects);
            }
            State::Draining { deadline: before, .. } if deadline < *before => {
                *before = deadline;
                self.set_timer(deadline, effects);
            }
            State::Draining { .. } | State::Releasing { .. } | State::Ending { .. } => {}
        }
    }

    /// Ends delivery now, whatever the handler does, and releases the lease at the acknowledged position.
    pub(crate) fn release_now(&mut self, why: Why, effects: &mut Effects) {
        self.delivery.close();
        if !matches!(self.state, State::Releasing { .. } | State::Ending { .. }) {
            self.state = State::Releasing { why };
        }
        self.act(effects);
    }

    /// The consumer delivers nothing more.
    pub(crate) fn on_drained(&mut self, effects: &mut Effects) {
        if let State::Draining { why, .. } = self.state {
            self.release_now(why, effects);
        }
    }

    /// The consumer is gone. Returns the delivery of the consumer that is to follow, if the consumer is being restarted.
    pub(crate) fn on_gone(&mut self, effects: &mut Effects) -> Option<Arc<ShardDelivery>> {
        if self.restarting && self.is_working() {
            self.restarting = false;
            self.delivery = self.delivery.for_next_consumer(self.restart_from.take());
            return Some(self.delivery.clone());
        }
        if matches!(self.state, State::Working | State::Draining { .. }) {
            self.release_now(Why::ConsumerGaveUp, effects);
        }
        None
    }

    /// Ends the consumer; another one follows when it is gone.
    pub(crate) fn restart(&mut self) {
        self.restarting = true;
        self.delivery.close();
    }

    /// Since when the shard cannot be read, and why.
    pub(crate) fn unreadable(&self) -> Option<Unreadable> {
        self.delivery.stages.outage.current()
    }

    /// Whether another worker should try to read the shard: few workers have released the lease as unreadable, and this
    /// one has not.
    pub(crate) fn may_be_read_elsewhere(&self) -> bool {
        let tried = &self.lease.extras.unreadable_by;
        tried.len() < MOST_TRIED && !tried.contains(&self.me.0)
    }

    /// A person edited the row while the shard could not be read: another consumer starts at the position in the row.
    pub(crate) fn adopt(&mut self, row: &Lease, from: StartingPosition) {
        self.lease = row.clone();
        self.restart_from = Some(from);
        self.restart();
    }

    /// Returns the stages of the shard's work that stalled or went on since the last call.
    pub(crate) fn check_progress(&mut self, now: Time, deadlines: &Deadlines) -> Vec<stall::StallEvent> {
        let ahead = self.ahead().filter(|_| !self.elsewhere);
        self.ahead_since = ahead.and(self.ahead_since.or(Some(now)));
        let stages = &self.delivery.stages;
        let standing = Standing {
            fetch: stages.fetch.since(),
            process: stages.process.since(),
            acknowledge: stages.acknowledge.since(),
            checkpoint: self.ahead_since,
        };
        self.stall.check(standing, now, deadlines)
    }

    /// Every record of the shard is acknowledged, and these are its children. Returns their rows, which are created
    /// before SHARD_END: if the worker crashed in between, no worker would create them until the next shard sync
    /// (docs/protocol/resharding.md).
    pub(crate) fn on_ended(&mut self, children: Vec<Shard>, effects: &mut Effects) -> Vec<Lease> {
        if matches!(self.state, State::Ending { .. } | State::Releasing { .. }) {
            return Vec::new();
        }
        let rows: Vec<Lease> = children.iter().map(|child| crate::shard::child_lease(child, &self.lease)).collect();
        let missing = rows.iter().map(|row| row.key.clone()).collect();
        self.state = State::Ending { children, missing };
        self.act(effects);
        rows
    }

    /// The row of this child, if it is yet to be created.
    pub(crate) fn missing_child(&self, child: &LeaseKey) -> Option<Lease> {
        let State::Ending { children, missing } = &self.state else { return None };
        let rows = children.iter().map(|shard| crate::shard::child_lease(shard, &self.lease));
        rows.into_iter().find(|row| row.key == *child && missing.contains(child))
    }

    /// A child's row exists.
    pub(crate) fn on_child(&mut self, child: &LeaseKey, effects: &mut Effects) {
        if let State::Ending { missing, .. } = &mut self.state {
            missing.remove(child);
            self.act(effects);
        }
    }

    pub(crate) fn on_timer(&mut self, effects: &mut Effects) {
        if let State::Draining { why, deadline } = self.state
            && effects.now >= deadline
        {
            return self.release_now(why, effects);
        }
        self.act(effects);
    }

    /// Sends the write that is due, one at a time: each is conditional on the counter that the one before has set.
    fn act(&mut self, effects: &mut Effects) {
        let id = CallId::Lease(self.key(), LeaseCall::Write);
        if let Some(writing) = &mut self.writing {
            if !writing.in_flight {
                writing.in_flight = true;
                effects.write(id, writing.write.clone());
            }
            return;
        }
        let Some(write) = self.due() else {
            // The row is up to date, so nobody needs to wait for a write.
            self.answer_all();
            return self.schedule_checkpoint(effects);
        };
        self.waiting.append(&mut self.asked);
        self.writing = Some(Writing { write: write.clone(), in_flight: true, unsettled: false });
        effects.write(id, write);
    }

    /// The next write that the state calls for.
    fn due(&self) -> Option<Write> {
        let (lease, me, counter) = (self.key(), self.me.clone(), self.lease.counter);
        match &self.state {
            State::Working | State::Draining { .. } => {
                let (checkpoint, extras) = self.ahead()?;
                let wanted = !self.elsewhere
                    || !self.asked.is_empty()
                    || extras.parked != self.lease.extras.parked
                    || extras.unreadable_by != self.lease.extras.unreadable_by;
                wanted.then_some(Write::Checkpoint { lease, me, counter, checkpoint, extras })
            }
            State::Releasing { why } => {
                let ahead = self.ahead().filter(|_| !mutated!(ReleasesWithoutCheckpoint));
                let as_it_is = || (self.lease.checkpoint.clone(), self.lease.extras.clone());
                let (checkpoint, mut extras) = ahead.unwrap_or_else(as_it_is);
                if *why == Why::Unreadable {
                    extras.unreadable_by.push(self.me.0.clone());
                }
                Some(Write::Release { lease, me, counter, checkpoint, extras })
            }
            State::Ending { children, missing } if missing.is_empty() || mutated!(EndsBeforeChildren) => {
                let children: Vec<ShardId> = children.iter().map(|child| child.id.clone()).collect();
                Some(Write::ShardEnd { lease, me, counter, children })
            }
            State::Ending { .. } => None,
        }
    }

    /// The checkpoint and its extras that the row should have, if they differ from the row's.
    fn ahead(&self) -> Option<(Checkpoint, CheckpointExtras)> {
        let mut standing = self.delivery.checkpoint_state(&self.lease.checkpoint);
        if !self.delivery.stages.outage.was_answered() {
            standing.extras.unreadable_by.clone_from(&self.lease.extras.unreadable_by);
        }
        let acknowledged = standing.acknowledged.map(Checkpoint::At);
        let ahead = acknowledged.filter(|acknowledged| self.lease.checkpoint.is_before(acknowledged));
        match ahead {
            Some(checkpoint) => Some((checkpoint, standing.extras)),
            None if standing.extras != self.lease.extras => Some((self.lease.checkpoint.clone(), standing.extras)),
            None => None,
        }
    }

    fn answer_all(&mut self) {
        for asked in self.asked.drain(..).chain(self.waiting.drain(..)) {
            // Ignore the error: the receiver was dropped.
            let _ = asked.written.send(self.lease.checkpoint.clone());
        }
    }

    fn schedule_checkpoint(&self, effects: &mut Effects) {
        let next = effects.now + self.interval * self.delayed;
        match self.state {
            State::Working => self.set_timer(next, effects),
            State::Draining { deadline, .. } => self.set_timer(next.min(deadline), effects),
            State::Releasing { .. } | State::Ending { .. } => {}
        }
    }

    pub(crate) fn on_answer(&mut self, answer: Reply<Written>, effects: &mut Effects) -> HeldLeaseEvent {
        let Some(writing) = &mut self.writing else { return HeldLeaseEvent::Nothing };
        let written = match answer {
            Ok(written) => written,
            Err(failure) => {
                self.on_failure(failure, effects);
                return HeldLeaseEvent::Nothing;
            }
        };
        let writing = Writing { in_flight: false, ..writing.clone() };
        let (applied, row) = match written {
            Written::Applied(row) => (true, row),
            Written::Refused(row) => (false, row),
        };
        let Some(Row::Lease(row)) = row else { return self.lost("its row is gone") };
        self.writing = None;
        self.delayed = 1;
        if applied || (writing.unsettled && self.is_result_of(&writing.write, &row)) {
            return self.settled(&writing.write, row, effects);
        }
        if row.is_held_by(&self.me.0, self.me.1) && !row.checkpoint.is_shard_end() {
            // This session is still the owner, but an external writer changed the counter or restored an old row: the
            // answer to a write is never stale. The write is repeated with the new counter.
            self.delivery.take_requests(&row.extras.parked);
            self.asked.append(&mut self.waiting);
            self.lease = row;
            self.act(effects);
            return HeldLeaseEvent::Nothing;
        }
        self.lost("another owner holds it")
    }

    fn on_failure(&mut self, failure: Failure, effects: &mut Effects) {
        let Some(writing) = &mut self.writing else { return };
        writing.in_flight = false;
        let wait = match failure {
            Failure::Throttled if matches!(writing.write, Write::Checkpoint { .. }) => {
                // Checkpoints leave the table's capacity to heartbeats and claims; the next one covers all since.
                self.delayed = (self.delayed * 2).min(MOST_DELAYED);
                let wait = effects.jittered(self.interval.min(SHORTEST_DELAY) * self.delayed);
                if !writing.unsettled {
                    self.writing = None;
                    self.asked.append(&mut self.waiting);
                }
                wait
            }
            Failure::Throttled => self.pause(effects),
            Failure::Unanswered | Failure::Refused(_) => {
                writing.unsettled = true;
                self.pause(effects)
            }
        };
        let wait = match self.state {
            State::Draining { deadline, .. } => wait.min(deadline.since(effects.now)),
            State::Working | State::Releasing { .. } | State::Ending { .. } => wait,
        };
        self.set_timer(effects.now + wait, effects);
    }

    /// The pause before a failed write is repeated.
    fn pause(&mut self, effects: &mut Effects) -> Duration {
        self.failed = self.failed.saturating_add(1);
        effects.jittered(RetryPolicy::CALL.pause(self.failed))
    }

    /// Whether the row shows that an unanswered write of ours was applied.
    fn is_result_of(&self, write: &Write, row: &Lease) -> bool {
        if row.counter != next(self.lease.counter) {
            return false;
        }
        match write.apply(Some(&Row::Lease(self.lease.clone()))) {
            Written::Applied(Some(Row::Lease(made))) => {
                (&made.owner, &made.checkpoint, &made.extras) == (&row.owner, &row.checkpoint, &row.extras)
            }
            Written::Applied(_) | Written::Refused(_) => false,
        }
    }

    fn settled(&mut self, write: &Write, row: Lease, effects: &mut Effects) -> HeldLeaseEvent {
        self.ahead_since = None;
        self.failed = 0;
        self.lease = row;
        for asked in self.waiting.drain(..) {
            let _ = asked.written.send(self.lease.checkpoint.clone());
        }
        if let (Write::Release { .. }, State::Releasing { why }) = (write, &self.state) {
            return HeldLeaseEvent::Released { why: *why };
        }
        if let (Write::ShardEnd { .. }, State::Ending { children, .. }) = (write, &self.state) {
            return HeldLeaseEvent::Ended { children: children.clone() };
        }
        match self.state {
            State::Working | State::Draining { .. } if self.asked.is_empty() => self.schedule_checkpoint(effects),
            State::Working | State::Draining { .. } | State::Releasing { .. } | State::Ending { .. } => {
                self.act(effects);
            }
        }
        HeldLeaseEvent::Checkpointed
    }

    fn lost(&self, why: &'static str) -> HeldLeaseEvent {
        self.delivery.close();
        HeldLeaseEvent::Lost { why }
    }
}

#[cfg(test)]
mod tests;
