//! One term of this worker as the leader: what it knows, and what it has told.

use super::capacity_alarm::CapacityAlarm;
use super::heartbeat::{self, FleetHeartbeat};
use super::instructions::Instructions;
use super::pending_moves::{Bounds, PendingMoves};
use super::problem::StaleAfter;
use super::reason::Reason;
use super::sessions::Sessions;
use super::stage::Stage;
use super::stale_owners::StaleOwnerTracker;
use super::sync_pass::SyncPass;
use super::unclaimed_ownership::UnclaimedOwnership;
use super::unconfirmed_children::UnconfirmedChildren;
use super::waiting_children::WaitingChildren;
use super::weights::Weights;
use crate::clock::Time;
use crate::config::{BalanceBy, Settings, timing};
use crate::coordination::effects::{Answer, CallId, Effects};
use crate::coordination::fleet_poll::Won;
use crate::coordination::shard_sync::Known;
use crate::coordination::streams::Served;
use crate::lease::row::{Damaged, Fleet, FleetStart, Lease, LeaseKey, SessionNumber, StreamRow, WorkerId};
use crate::record::StreamId;
use crate::shard::ListHistory;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The table is read at least so often.
pub(super) const FULL_READ: Duration = Duration::from_secs(60);
/// What a term knows and has under way.
#[derive(Debug)]
pub(crate) struct Term {
    pub(super) number: u64,
    pub(super) me: WorkerId,
    /// The stream that has the table for itself. Of several, each is listed by whoever the plan names.
    pub(super) alone: Option<Served>,
    pub(super) settings: Rules,
    pub(super) stage: Stage,
    pub(super) sessions: Sessions,
    pub(super) leases: BTreeMap<LeaseKey, Lease>,
    /// The rows of streams, where they are several.
    pub(super) streams: BTreeMap<StreamId, StreamRow>,
    /// Those of the leases that another read must confirm.
    pub(super) unconfirmed_children: UnconfirmedChildren,
    pub(super) resting: StaleOwnerTracker,
    pub(super) unclaimed_ownership: UnclaimedOwnership,
    pub(super) pending_moves: PendingMoves,
    pub(super) weights: Weights,
    pub(super) unassignable: CapacityAlarm,
    pub(super) waiting: WaitingChildren,
    /// What was told last of each lease, while anybody listens.
    pub(super) explained: BTreeMap<LeaseKey, Reason>,
    pub(super) sent: BTreeMap<WorkerId, Sent>,
    pub(super) version: u64,
    pub(super) heartbeat: FleetHeartbeat,
    pub(super) pinned: Option<FleetStart>,
    pub(super) filled: bool,
    /// `wake` as it stood before the last full read.
    pub(super) wake_noted: Option<u64>,
    pub(super) read_at: Option<Time>,
    /// How long the last full read took.
    pub(super) read_took: Duration,
    /// Full reads since a cycle last ended well.
    pub(super) reads: u32,
    /// When leases without an owner that can be asked were last read by their keys.
    pub(super) looked_at: Option<Time>,
    /// Whether a full read is due for which a plan from what is known was not waited.
    pub(super) planned_first: bool,
    /// Sessions that are being ended.
    pub(super) fencing: BTreeSet<WorkerId>,
    /// Sessions that were ended since the last cycle was over.
    pub(super) ended: u32,
    /// Cycles that failed since one ended well, since when, and when that was last reported.
    pub(super) failing: Option<Failing>,
    /// Ended sessions to be cleared away, as many as a cycle may.
    pub(super) backlog: Vec<(WorkerId, SessionNumber)>,
    /// Once more `failover_time` after a session ended: what it had under way has landed by then.
    pub(super) read_again: Option<Time>,
    /// When damaged rows were last told: at every read would be too often.
    pub(super) damaged_told: Option<Time>,
    /// Ended sessions that no lease names, and since when: their rows are cleared away in the end.
    pub(super) unnamed: BTreeMap<WorkerId, Time>,
    /// Session rows that cannot be read, and since when: their owners, if they live, mend them at their next heartbeat.
    pub(super) unread: Vec<(Damaged, Time)>,
    /// The pass that keeps leases in step with shards, where one is under way.
    pub(super) sync_pass: Option<SyncPass>,
    pub(super) list_history: ListHistory,
    /// Leases that the sync_pass wrote while the table was being read.
    pub(super) confirmed: Vec<Lease>,
    /// When the shards are to be listed again.
    pub(super) sync_at: Time,
    /// Lists that failed in a row, and since when.
    pub(super) lists_failed: u32,
    pub(super) lists_fail_since: Option<Time>,
    /// Whether the table must be read: a plan row could not be written over, or the last read came to nothing.
    pub(super) obstructed: bool,
    /// Whether somebody's end was seen since the last full read.
    pub(super) end_seen: bool,
    /// This worker drains: it acquires nothing more, but plans on until it holds nothing.
    pub(super) draining: bool,
}

/// Cycles that fail one after the other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Failing {
    pub(super) cycles: u32,
    pub(super) since: Time,
    pub(super) report_at: Time,
}

/// What one worker's plan row says, and the version under which it was written.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) version: u64,
    pub(super) instructions: Instructions,
}

/// The settings that planning needs.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    pub(super) tick: Duration,
    pub(super) failover_time: Duration,
    pub(super) sync_interval: Duration,
    pub(super) bounds: Bounds,
    pub(super) patience: StaleAfter,
    pub(super) longest_cycle: Duration,
    pub(super) balance_by: BalanceBy,
    pub(super) until_ms: Option<i64>,
}

/// What a step of the term told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TermEvent {
    Nothing,
    /// The fleet row, as it is now.
    Fleet(Fleet),
    /// A new version of the plan may be obeyed.
    Published(Fleet),
    /// Another worker plans now.
    Deposed,
}

impl Term {
    pub(crate) fn new(
        won: Won,
        session: SessionNumber,
        me: WorkerId,
        alone: Option<Served>,
        settings: &Settings,
        resting: StaleOwnerTracker,
        effects: &mut Effects,
    ) -> Self {
        let f = settings.failover_time;
        let tick = timing::tick(settings.assignment_interval, f);
        let mut sessions = Sessions::new(me.clone(), f);
        if let Some(settings) = &won.fleet.settings {
            sessions.note_failover_time(settings.shared.failover_time);
        }
        if let Some(before) = &won.before {
            sessions.seed(before, effects.now);
        }
        effects.remind(CallId::Cycle, effects.now);
        Term {
            number: won.fleet.term,
            me: me.clone(),
            alone,
            settings: Rules {
                tick,
                failover_time: f,
                sync_interval: settings.shard_sync_interval,
                bounds: Bounds { free: timing::FREE_LEASE_CLAIM, after_owner: settings.handoff_timeout + f, unfit: f },
                patience: StaleAfter::of(settings),
                longest_cycle: f * 3,
                balance_by: settings.balance_by,
                until_ms: settings.until_ms(),
            },
            stage: Stage::Idle,
            sessions,
            leases: BTreeMap::new(),
            streams: BTreeMap::new(),
            unconfirmed_children: UnconfirmedChildren::default(),
            unclaimed_ownership: UnclaimedOwnership::default(),
            resting,
            pending_moves: PendingMoves::default(),
            weights: Weights::default(),
            unassignable: CapacityAlarm::default(),
            waiting: WaitingChildren::default(),
            explained: BTreeMap::new(),
            sent: BTreeMap::new(),
            version: won.fleet.assignment_version,
            heartbeat: FleetHeartbeat::new(&won.fleet, (me, session), effects.now),
            pinned: won.fleet.start,
            filled: won.fleet.filled,
            wake_noted: None,
            read_at: None,
            read_took: Duration::ZERO,
            reads: 0,
            looked_at: None,
            planned_first: false,
            fencing: BTreeSet::new(),
            ended: 0,
            failing: None,
            backlog: Vec::new(),
            read_again: None,
            damaged_told: None,
            unnamed: BTreeMap::new(),
            unread: Vec::new(),
            sync_pass: None,
            list_history: ListHistory::default(),
            confirmed: Vec::new(),
            sync_at: effects.now,
            lists_failed: 0,
            lists_fail_since: None,
            obstructed: false,
            end_seen: false,
            draining: false,
        }
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Whether another worker's session is known to live. `None` before the first full read.
    pub(crate) fn has_others(&self) -> Option<bool> {
        self.read_at.map(|_| self.sessions.has_others())
    }

    /// What its last full read showed, kept up to date.
    pub(crate) fn known(&self) -> Option<Known> {
        self.read_at.map(|_| Known { leases: self.leases.clone(), streams: self.streams.clone() })
    }

    /// Whether nothing of it is under way.
    pub(crate) fn is_resting(&self) -> bool {
        let writes = self.sync_pass.as_ref().is_some_and(SyncPass::is_writing);
        matches!(self.stage, Stage::Idle) && !self.heartbeat.is_sending() && !writes
    }

    /// This worker drains.
    pub(crate) fn drain(&mut self, effects: &mut Effects) {
        self.draining = true;
        self.stop_fill();
        self.soon(effects);
    }

    /// Somebody asked for the table to be read.
    pub(crate) fn woken(&self, wake: u64, effects: &mut Effects) {
        if self.wake_noted.is_some_and(|noted| wake > noted) {
            self.soon(effects);
        }
    }

    /// A cycle at once, if none is under way.
    pub(super) fn soon(&self, effects: &mut Effects) {
        if matches!(self.stage, Stage::Idle) {
            effects.remind(CallId::Cycle, effects.now);
        }
    }

    /// This worker's own session heartbeat was confirmed.
    pub(crate) fn on_session_heartbeat(&mut self, heartbeat: u64, effects: &mut Effects) {
        self.heartbeat.consider(heartbeat, self.version, self.settings.longest_cycle, effects);
    }

    pub(crate) fn on_heartbeat_timer(&self, effects: &mut Effects) {
        self.heartbeat.on_timer(effects);
    }

    pub(crate) fn on_heartbeat_answer(
        &mut self,
        answer: Answer,
        session_heartbeat: u64,
        effects: &mut Effects,
    ) -> TermEvent {
        match self.heartbeat.on_answer(answer, effects) {
            heartbeat::HeartbeatEvent::Nothing => TermEvent::Nothing,
            heartbeat::HeartbeatEvent::Deposed => TermEvent::Deposed,
            heartbeat::HeartbeatEvent::Shown { fleet } => {
                // What came up while the last one was under way.
                self.heartbeat.consider(session_heartbeat, self.version, self.settings.longest_cycle, effects);
                TermEvent::Published(fleet)
            }
        }
    }
}
