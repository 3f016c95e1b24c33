//! Holds the state of one term of this worker as the leader: what it knows, and what it has
//! published.

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
use crate::coordination::call::{LeaderTimer, Reply, TimerId};
use crate::coordination::effects::Effects;
use crate::coordination::fleet_poll::Won;
use crate::coordination::known_rows::KnownRows;
use crate::coordination::streams::Served;
use crate::lease::Written;
use crate::lease::row::{Damaged, Fleet, FleetStart, Lease, LeaseKey, SessionNumber, StreamRow, WorkerId};
use crate::record::StreamId;
use crate::shard::ListHistory;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How often the whole table is read at least.
pub(super) const FULL_READ: Duration = Duration::from_secs(60);
/// The state of a term.
#[derive(Debug)]
pub(crate) struct Term {
    pub(super) number: u64,
    pub(super) me: WorkerId,
    /// The stream of a table with a single stream. Of several streams, each is listed by the worker
    /// that the assignment names.
    pub(super) only_stream: Option<Served>,
    pub(super) config: LeaderConfig,
    pub(super) stage: Stage,
    pub(super) sessions: Sessions,
    pub(super) leases: BTreeMap<LeaseKey, Lease>,
    /// The rows of streams, if the table serves several.
    pub(super) streams: BTreeMap<StreamId, StreamRow>,
    /// Children that another read must confirm.
    pub(super) unconfirmed_children: UnconfirmedChildren,
    pub(super) stale_owners: StaleOwnerTracker,
    pub(super) unclaimed_ownership: UnclaimedOwnership,
    pub(super) pending_moves: PendingMoves,
    pub(super) weights: Weights,
    pub(super) unassignable: CapacityAlarm,
    pub(super) waiting: WaitingChildren,
    /// The last emitted explanation of each lease, while the log target is enabled.
    pub(super) explained: BTreeMap<LeaseKey, Reason>,
    pub(super) sent: BTreeMap<WorkerId, Sent>,
    pub(super) version: u64,
    pub(super) heartbeat: FleetHeartbeat,
    pub(super) pinned: Option<FleetStart>,
    pub(super) filled: bool,
    /// `wake` as it was before the last full read.
    pub(super) wake_noted: Option<u64>,
    pub(super) read_at: Option<Time>,
    /// How long the last full read took.
    pub(super) read_took: Duration,
    /// The number of full reads since a cycle last succeeded.
    pub(super) reads: u32,
    /// When leases with stale owners were last read by their keys.
    pub(super) stale_owners_read_at: Option<Time>,
    /// Whether a full read is due that was deferred until after the assignment.
    pub(super) full_read_deferred: bool,
    /// Sessions with a fence call in flight.
    pub(super) fencing: BTreeSet<WorkerId>,
    /// The number of sessions fenced since the last cycle ended.
    pub(super) ended: u32,
    /// Cycles that have failed since the last successful one.
    pub(super) failing: Option<Failing>,
    /// Ended sessions whose rows are to be deleted, a part in each cycle.
    pub(super) backlog: Vec<(WorkerId, SessionNumber)>,
    /// When the table is read once more after a session ended: F later, when all its late claims
    /// have been applied (docs/protocol/leader.md).
    pub(super) read_again: Option<Time>,
    /// When damaged rows were last reported. They are not reported at every read.
    pub(super) damaged_reported_at: Option<Time>,
    /// Ended sessions that no lease names, and since when. Their rows are deleted after a while.
    pub(super) unnamed: BTreeMap<WorkerId, Time>,
    /// Session rows that cannot be parsed, and since when. A live owner rewrites its row with the
    /// next heartbeat.
    pub(super) unread: Vec<(Damaged, Time)>,
    /// The shard sync pass in progress, if any.
    pub(super) sync_pass: Option<SyncPass>,
    pub(super) list_history: ListHistory,
    /// Leases that the pass wrote while the table was being read.
    pub(super) confirmed: Vec<Lease>,
    /// When the shards are to be listed again.
    pub(super) sync_at: Time,
    /// Lists that failed in a row, and since when.
    pub(super) lists_failed: u32,
    pub(super) lists_fail_since: Option<Time>,
    /// Whether the whole table must be read: an assignment row could not be overwritten, or the
    /// last read failed.
    pub(super) read_required: bool,
    /// Whether the end of a session was seen since the last full read.
    pub(super) end_seen: bool,
    /// This worker is draining: it acquires no leases, but assigns until it holds none.
    pub(super) draining: bool,
}

/// Cycles that failed in a row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Failing {
    pub(super) cycles: u32,
    pub(super) since: Time,
    pub(super) report_at: Time,
}

/// The content of a worker's assignment row, and the version under which it was written.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) version: u64,
    pub(super) instructions: Instructions,
}

/// The settings that the leader needs.
#[derive(Debug, Clone)]
pub(super) struct LeaderConfig {
    pub(super) tick: Duration,
    pub(super) failover_time: Duration,
    pub(super) sync_interval: Duration,
    pub(super) bounds: Bounds,
    pub(super) stale_after: StaleAfter,
    pub(super) longest_cycle: Duration,
    pub(super) balance_by: BalanceBy,
    pub(super) until_ms: Option<i64>,
}

/// The outcome of a step of the term.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TermEvent {
    Nothing,
    /// The fleet row as it is now.
    Fleet(Fleet),
    /// A new version of the assignment is valid.
    Published(Fleet),
    /// Another worker has taken the next term, so this one is no longer the leader.
    Deposed,
}

impl Term {
    pub(crate) fn new(
        won: Won,
        session: SessionNumber,
        me: WorkerId,
        only_stream: Option<Served>,
        settings: &Settings,
        stale_owners: StaleOwnerTracker,
        effects: &mut Effects,
    ) -> Self {
        let f = settings.failover_time;
        let tick = timing::tick(settings.assignment_interval, f);
        let mut sessions = Sessions::new(me.clone(), f);
        if let Some(settings) = &won.fleet.settings {
            sessions.note_failover_time(settings.shared.failover_time);
        }
        if let Some(before) = &won.before {
            sessions.observe_stale_leader(before, effects.now);
        }
        effects.set_timer(TimerId::Leader(LeaderTimer::Cycle), effects.now);
        Term {
            number: won.fleet.term,
            me: me.clone(),
            only_stream,
            config: LeaderConfig {
                tick,
                failover_time: f,
                sync_interval: settings.shard_sync_interval,
                bounds: Bounds {
                    free: timing::FREE_LEASE_CLAIM,
                    after_owner: settings.handoff_timeout + f,
                    avoided: f,
                },
                stale_after: StaleAfter::of(settings),
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
            stale_owners,
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
            stale_owners_read_at: None,
            full_read_deferred: false,
            fencing: BTreeSet::new(),
            ended: 0,
            failing: None,
            backlog: Vec::new(),
            read_again: None,
            damaged_reported_at: None,
            unnamed: BTreeMap::new(),
            unread: Vec::new(),
            sync_pass: None,
            list_history: ListHistory::default(),
            confirmed: Vec::new(),
            sync_at: effects.now,
            lists_failed: 0,
            lists_fail_since: None,
            read_required: false,
            end_seen: false,
            draining: false,
        }
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Whether another worker's session is live. `None` before the first full read.
    pub(crate) fn has_others(&self) -> Option<bool> {
        self.read_at.map(|_| self.sessions.has_others())
    }

    /// The leases and streams of the last full read, updated since.
    pub(crate) fn known(&self) -> Option<KnownRows> {
        self.read_at.map(|_| KnownRows { leases: self.leases.clone(), streams: self.streams.clone() })
    }

    /// Whether no call of the term is in flight.
    pub(crate) fn is_idle(&self) -> bool {
        let writes = self.sync_pass.as_ref().is_some_and(SyncPass::is_writing);
        matches!(self.stage, Stage::Idle) && !self.heartbeat.is_sending() && !writes
    }

    /// Starts draining this worker.
    pub(crate) fn drain(&mut self, effects: &mut Effects) {
        self.draining = true;
        self.stop_sync();
        self.soon(effects);
    }

    /// Handles a request to read the table (`wake`).
    pub(crate) fn woken(&self, wake: u64, effects: &mut Effects) {
        if self.wake_noted.is_some_and(|noted| wake > noted) {
            self.soon(effects);
        }
    }

    /// Starts a cycle now, if none is in progress.
    pub(super) fn soon(&self, effects: &mut Effects) {
        if matches!(self.stage, Stage::Idle) {
            effects.set_timer(TimerId::Leader(LeaderTimer::Cycle), effects.now);
        }
    }

    /// Handles the confirmation of this worker's own session heartbeat.
    pub(crate) fn on_session_heartbeat(&mut self, heartbeat: u64, effects: &mut Effects) {
        self.heartbeat.consider(heartbeat, self.version, self.config.longest_cycle, effects);
    }

    pub(crate) fn on_heartbeat_timer(&self, effects: &mut Effects) {
        self.heartbeat.on_timer(effects);
    }

    pub(super) fn on_heartbeat_answer(
        &mut self,
        answer: Reply<Written>,
        session_heartbeat: u64,
        effects: &mut Effects,
    ) -> TermEvent {
        match self.heartbeat.on_answer(answer, effects) {
            heartbeat::HeartbeatEvent::Nothing => TermEvent::Nothing,
            heartbeat::HeartbeatEvent::Deposed => TermEvent::Deposed,
            heartbeat::HeartbeatEvent::Shown { fleet } => {
                // There may be something new to publish since the last heartbeat was sent.
                self.heartbeat.consider(session_heartbeat, self.version, self.config.longest_cycle, effects);
                TermEvent::Published(fleet)
            }
        }
    }
}
