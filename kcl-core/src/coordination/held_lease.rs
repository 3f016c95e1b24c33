//! One held lease and the one writer of its row: checkpoints, the release, the end of the shard.

use super::backoff::RetryPolicy;
use super::effects::{Answer, CallId, Effects, Failure};
use super::throughput::Counted;
use super::watchdog::{self, Deadlines, Standing, Watchdog};
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

/// So many workers give up a lease that they cannot read. The next one keeps it: handed around for ever it would be read no
/// sooner, and an outage of all workers would leave leases without an owner when it ends.
const MOST_TRIED: usize = 2;
/// The most that throttled checkpoints are put off, in intervals.
const MOST_PUT_OFF: u32 = 8;

/// A lease that this worker's session holds.
#[derive(Debug)]
pub(crate) struct HeldLease {
    pub(crate) lease: Lease,
    pub(crate) delivery: Arc<ShardDelivery>,
    pub(crate) since: Time,
    me: (WorkerId, SessionNumber),
    interval: Duration,
    put_off: u32,
    /// How many writes in a row failed.
    failed: u32,
    state: State,
    writing: Option<Writing>,
    watchdog: Watchdog,
    /// Since when something is acknowledged that no checkpoint says.
    ahead_since: Option<Time>,
    /// Checkpoints go to another store as they come, and into the row only at the end.
    elsewhere: bool,
    /// Who waits for the next write.
    asked: Vec<WriteRequested>,
    /// Who waits for the one under way.
    waiting: Vec<WriteRequested>,
    /// Its consumer is to be followed by another one.
    restarting: bool,
    /// Where that one starts, if the row says another position by now.
    restart_from: Option<StartingPosition>,
}

/// Where a held lease stands.
#[derive(Debug, Clone, PartialEq)]
enum State {
    Working,
    /// Its consumer finishes what it has begun.
    Draining {
        why: Why,
        deadline: Time,
    },
    /// Its consumer is done, or not waited for any longer.
    Releasing {
        why: Why,
    },
    /// The shard is acknowledged to its end; these children still need their rows.
    Ending {
        children: Vec<Shard>,
        missing: BTreeSet<LeaseKey>,
    },
}

/// Why a lease is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// The leader moves it.
    Planned,
    /// The worker shuts down.
    Shutdown,
    /// Its consumer cannot go on.
    ConsumerGaveUp,
    /// Nothing moves here.
    Stalled,
    /// Its shard cannot be read here.
    Unreadable,
    /// Its stream, of several, is not served any more.
    StreamStopped,
    /// Its stream, of several, does not exist any more.
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

/// A write under way, or one whose outcome is not known yet.
#[derive(Debug, Clone, PartialEq)]
struct Writing {
    write: Write,
    in_flight: bool,
    unsettled: bool,
}

/// What became of a held lease.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum HeldLeaseEvent {
    /// It goes on.
    Nothing,
    /// Its checkpoint moved.
    Checkpointed,
    /// It is released.
    Released { why: Why },
    /// Its shard's end is written.
    Ended { children: Vec<Shard> },
    /// Another hand has it.
    Lost { why: &'static str },
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
        // The first one spread over the interval, so that a thousand leases do not write in step.
        let first = interval.mul_f64(0.5 + 0.5 * effects.rng.f64());
        effects.remind(CallId::Held(lease.key.clone()), effects.now + first);
        let since = effects.now;
        HeldLease {
            lease,
            delivery,
            since,
            me,
            interval,
            put_off: 1,
            failed: 0,
            state: State::Working,
            writing: None,
            watchdog: Watchdog::default(),
            ahead_since: None,
            elsewhere,
            asked: Vec::new(),
            waiting: Vec::new(),
            restarting: false,
            restart_from: None,
        }
    }

    fn key(&self) -> LeaseKey {
        self.lease.key.clone()
    }

    /// What its handler got through so far.
    pub(crate) fn counted<'a>(&self, lease: &'a LeaseKey) -> Counted<'a> {
        Counted { lease, fencing_token: self.delivery.fencing_token(), bytes: self.delivery.handled_bytes() }
    }

    /// Whether nobody has asked for it.
    pub(crate) fn is_working(&self) -> bool {
        self.state == State::Working
    }

    /// Whether nobody has asked for it, and no write of it is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.is_working() && self.writing.is_none()
    }

    /// Whether the leader means this hold. One that began after the leader looked at the row is another one: nobody expects
    /// it to be released, and so nobody would take the lease.
    pub(crate) fn is_meant_by(&self, give: &Yield) -> bool {
        self.is_working() && self.delivery.fencing_token() <= give.counter
    }

    /// What is acknowledged is to be written now.
    pub(crate) fn write_now(&mut self, asked: WriteRequested, effects: &mut Effects) {
        self.asked.push(asked);
        self.act(effects);
    }

    /// Somebody looked at the row, perhaps at an older state of it: has another hand said something in it?
    pub(crate) fn notice(&mut self, row: &Row) {
        let Some(row) = row.as_lease().filter(|row| row.counter > self.lease.counter) else { return };
        self.delivery.take_requests(&row.extras.parked);
        self.lease = row.clone();
    }

    /// Whether a row, which may be stale, says that this session holds the lease.
    pub(crate) fn is_said_by(&self, row: Option<&Row>) -> bool {
        row.and_then(Row::as_lease).is_some_and(|row| row.is_held_by(&self.me.0, self.me.1))
    }

    /// Asks for the lease: its consumer finishes what it has begun, by the deadline.
    pub(crate) fn drain(&mut self, why: Why, deadline: Time, effects: &mut Effects) {
        match &mut self.state {
            State::Working => {
                self.delivery.drain();
                self.state = State::Draining { why, deadline };
                effects.remind(CallId::Held(self.key()), deadline);
            }
            State::Draining { deadline: before, .. } if deadline < *before => {
                *before = deadline;
                effects.remind(CallId::Held(self.key()), deadline);
            }
            State::Draining { .. } | State::Releasing { .. } | State::Ending { .. } => {}
        }
    }

    /// Ends delivery now, whatever the handler does, and releases what was acknowledged.
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

    /// The consumer is gone. Where it was to be followed by another one, this is that one's delivery.
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

    /// Has the consumer dropped, and another one go on when it is gone.
    pub(crate) fn restart(&mut self) {
        self.restarting = true;
        self.delivery.close();
    }

    /// Since when the shard cannot be read, and why.
    pub(crate) fn unreadable(&self) -> Option<Unreadable> {
        self.delivery.stages.outage.current()
    }

    /// Whether another worker may be able to read what this one cannot: few have tried, and this one has not before.
    pub(crate) fn may_be_read_elsewhere(&self) -> bool {
        let tried = &self.lease.extras.unreadable_by;
        tried.len() < MOST_TRIED && !tried.contains(&self.me.0)
    }

    /// Takes a row over that somebody has edited while the shard could not be read: its consumer is followed by another one, which
    /// starts at the position that the row has now.
    pub(crate) fn adopt(&mut self, row: &Lease, from: StartingPosition) {
        self.lease = row.clone();
        self.restart_from = Some(from);
        self.restart();
    }

    /// Looks at how the shard's work goes.
    pub(crate) fn watch(&mut self, now: Time, deadlines: &Deadlines) -> Vec<watchdog::WatchdogEvent> {
        let ahead = self.ahead().filter(|_| !self.elsewhere);
        self.ahead_since = ahead.and(self.ahead_since.or(Some(now)));
        let stages = &self.delivery.stages;
        let standing = Standing {
            fetch: stages.fetch.since(),
            process: stages.process.since(),
            acknowledge: stages.acknowledge.since(),
            checkpoint: self.ahead_since,
        };
        self.watchdog.look(standing, now, deadlines)
    }

    /// Every record of the shard is acknowledged, and these shards follow it. Returns the rows to be created first.
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

    /// The row of a child that is still missing.
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

    /// Sends what is due, one write at a time.
    fn act(&mut self, effects: &mut Effects) {
        if let Some(writing) = &mut self.writing {
            if !writing.in_flight {
                writing.in_flight = true;
                let write = writing.write.clone();
                effects.write(CallId::Held(self.lease.key.clone()), write);
            }
            return;
        }
        let Some(write) = self.due() else {
            // The row says it all.
            self.answer_all();
            return self.rest(effects);
        };
        self.waiting.append(&mut self.asked);
        self.writing = Some(Writing { write: write.clone(), in_flight: true, unsettled: false });
        effects.write(CallId::Held(self.key()), write);
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

    /// What the row is to say and does not.
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
            // Who gave up waiting is not told.
            let _ = asked.written.send(self.lease.checkpoint.clone());
        }
    }

    fn rest(&self, effects: &mut Effects) {
        let next = effects.now + self.interval * self.put_off;
        match self.state {
            State::Working => effects.remind(CallId::Held(self.key()), next),
            State::Draining { deadline, .. } => effects.remind(CallId::Held(self.key()), next.min(deadline)),
            State::Releasing { .. } | State::Ending { .. } => {}
        }
    }

    pub(crate) fn on_answer(&mut self, answer: Answer, effects: &mut Effects) -> HeldLeaseEvent {
        let Some(writing) = &mut self.writing else { return HeldLeaseEvent::Nothing };
        let written = match answer {
            Answer::Written(written) => written,
            Answer::Failed(failure) => {
                self.on_failure(failure, effects);
                return HeldLeaseEvent::Nothing;
            }
            Answer::Rows(_) | Answer::Table(_) | Answer::Page(_) | Answer::Listing(_) => {
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
        self.put_off = 1;
        if applied || (writing.unsettled && self.is_result_of(&writing.write, &row)) {
            return self.settled(&writing.write, row, effects);
        }
        if row.is_held_by(&self.me.0, self.me.1) && !row.checkpoint.is_shard_end() {
            // Ours still, but another hand moved the counter, or put the row back to what it was: the answer to a write is
            // never stale.
            self.delivery.take_requests(&row.extras.parked);
            self.asked.append(&mut self.waiting);
            self.lease = row;
            self.act(effects);
            return HeldLeaseEvent::Nothing;
        }
        self.lost("another hand holds it")
    }

    fn on_failure(&mut self, failure: Failure, effects: &mut Effects) {
        let Some(writing) = &mut self.writing else { return };
        writing.in_flight = false;
        let wait = match failure {
            Failure::Throttled if matches!(writing.write, Write::Checkpoint { .. }) => {
                // Checkpoints make room for heartbeats and claims; the next one tells of everything since.
                self.put_off = (self.put_off * 2).min(MOST_PUT_OFF);
                let wait = effects.jittered(self.interval.min(Duration::from_secs(1)) * self.put_off);
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
        effects.remind(CallId::Held(self.key()), effects.now + wait);
    }

    /// Before a write that failed is repeated: longer each time.
    fn pause(&mut self, effects: &mut Effects) -> Duration {
        self.failed = self.failed.saturating_add(1);
        effects.jittered(RetryPolicy::default().pause(self.failed))
    }

    /// Whether the row is what an unanswered write of ours made of it.
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
            State::Working | State::Draining { .. } if self.asked.is_empty() => self.rest(effects),
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
