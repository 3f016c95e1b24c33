//! Defines every change of the lease table as a value: the row, the condition, and the new
//! attributes.
//!
//! [`Write::apply`] defines the meaning of each write. The in-memory table runs it, and the
//! conformance suite compares the expressions of other stores with it.

mod lease;
mod session;

use super::row::{
    Assignment, CheckpointExtras, Damaged, Fleet, FleetSettings, FleetStart, Lease, LeaseKey, Owner, QuarantinedKey,
    Row, RowKey, Session, SessionNumber, SessionState, StreamRow, Weights, WorkerId, WorkerProfile,
};
use crate::record::{Checkpoint, ShardId, StreamId, StreamIdentity};
use std::collections::BTreeSet;
use std::time::Duration;

/// One conditional write of one row.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// Creates the fleet row. Condition: absent.
    CreateFleet(Fleet),
    /// Takes the next session number. Condition: the fleet row exists. Adds 1 to `sessions`; the
    /// new row contains the number.
    NextSessionNumber,
    /// Takes a session number above this one, which was counted by an earlier fleet row that is
    /// lost. Condition: the fleet row exists and its count is lower. The new row contains the
    /// number.
    NextSessionNumberAbove(SessionNumber),
    /// Asks the leader to read the table. Condition: the fleet row exists. Adds 1 to `wake`.
    Wake,
    /// Pins the application's start before its first lease is created. Condition: the fleet row
    /// exists and has none.
    PinStart(FleetStart),
    /// Records that the application's first leases are all created. Condition: the fleet row
    /// exists.
    MarkFilled,
    /// Pins a stream's start before its first lease is created, or records that it already has
    /// leases. Used in tables of several streams. Condition: absent.
    PinStream(StreamRow),
    /// Records that a stream's first leases are all created. Condition: its row exists.
    MarkStreamFilled(StreamId),
    /// Deletes a stream's row when the fleet ends. Condition: it is unchanged since it was read.
    DeleteStream(StreamRow),
    /// Writes the fleet's settings. Condition: the fleet row exists and its settings are unchanged
    /// since they were read.
    ChangeSettings {
        /// The settings that were read.
        seen: Option<FleetSettings>,
        /// The new settings.
        to: FleetSettings,
    },
    /// Registers a session. Condition: absent, or a lower number that has ended or equals `over`. A
    /// live session of another process is never replaced: a process that wants the same worker id
    /// waits until the session has ended, or fences it.
    Register {
        /// The worker.
        worker: WorkerId,
        /// The number taken from the fleet row.
        number: SessionNumber,
        /// A random number that distinguishes this session from any other.
        tag: u64,
        /// The most leases it accepts.
        capacity: Option<u32>,
        /// The streams it serves, in a table of several.
        streams: Option<BTreeSet<StreamId>>,
        /// What the worker states about itself.
        profile: WorkerProfile,
        /// An earlier session of the same process, which may be replaced before it has ended.
        over: Option<SessionNumber>,
    },
    /// A session's heartbeat. Condition: number and heartbeat as given, and the session has not
    /// ended.
    Heartbeat {
        /// The worker.
        worker: WorkerId,
        /// Its number.
        number: SessionNumber,
        /// The heartbeat before this one.
        heartbeat: u64,
        /// Active or draining.
        state: SessionState,
        /// The number of leases it owns.
        load: u32,
        /// The leases' weights; `None` keeps those of the row.
        weights: Option<Weights>,
        /// The streams it serves; `None` keeps those of the row.
        streams: Option<BTreeSet<StreamId>>,
    },
    /// Fences a session whose heartbeat has stopped. Condition: number and heartbeat as read, state
    /// active or draining.
    Fence {
        /// The worker.
        worker: WorkerId,
        /// Its number.
        number: SessionNumber,
        /// The last heartbeat that was read.
        heartbeat: u64,
    },
    /// Ends the worker's own session. Condition: number as given, not fenced.
    EndSession {
        /// The worker.
        worker: WorkerId,
        /// Its number.
        number: SessionNumber,
    },
    /// Becomes the leader. Condition: term, heartbeat and leader as read.
    TakeTerm {
        /// The term that was read.
        term: u64,
        /// The leader's heartbeat that was read.
        heartbeat: u64,
        /// The leader that was read.
        leader: Option<(WorkerId, SessionNumber)>,
        /// The worker and session that take the next term.
        me: (WorkerId, SessionNumber),
        /// Its `failover_time`.
        failover_time: Duration,
    },
    /// Replaces an assignment row. Condition: absent, or a lower (term, version).
    Assignment(Assignment),
    /// The leader's heartbeat. Condition: term and heartbeat as given.
    FleetHeartbeat {
        /// The leader's term.
        term: u64,
        /// The heartbeat before this one.
        heartbeat: u64,
        /// The leader's last confirmed session heartbeat.
        leader_session_heartbeat: u64,
        /// The latest assignment version that workers may follow.
        assignment_version: u64,
    },
    /// Ends the leader's own term. Condition: term and leader as given.
    Resign {
        /// The term.
        term: u64,
        /// The leader.
        me: (WorkerId, SessionNumber),
    },
    /// Creates a lease. Condition: absent.
    CreateLease(Box<Lease>),
    /// Claims a lease. Condition: counter and owner as given, not at SHARD_END.
    Claim {
        /// The lease.
        lease: LeaseKey,
        /// Its counter.
        counter: u64,
        /// Its owner: none, or one whose session has ended or is missing.
        from: PreviousOwner,
        /// The worker and session that claim it.
        me: (WorkerId, SessionNumber),
        /// The stream; set if the row does not name it because an external writer created it.
        stream: StreamIdentity,
        /// Sets the instant that LATEST or AT_TIMESTAMP stand for, on a row that an external writer
        /// created without it.
        start_ms: Option<i64>,
    },
    /// Writes a checkpoint. Condition: owner, session and counter as given, not at SHARD_END.
    Checkpoint {
        /// The lease.
        lease: LeaseKey,
        /// Its owner.
        me: (WorkerId, SessionNumber),
        /// Its counter.
        counter: u64,
        /// The checkpoint.
        checkpoint: Checkpoint,
        /// Data stored with the checkpoint.
        extras: CheckpointExtras,
    },
    /// Releases a lease, with a last checkpoint. Condition: as for a checkpoint.
    Release {
        /// The lease.
        lease: LeaseKey,
        /// Its owner.
        me: (WorkerId, SessionNumber),
        /// Its counter.
        counter: u64,
        /// The checkpoint.
        checkpoint: Checkpoint,
        /// Data stored with the checkpoint.
        extras: CheckpointExtras,
    },
    /// Ends a lease: sets SHARD_END and the children, and removes the owner. Condition: as for a
    /// checkpoint. The caller writes it only after the children's rows exist
    /// (docs/protocol/resharding.md).
    ShardEnd {
        /// The lease.
        lease: LeaseKey,
        /// Its owner.
        me: (WorkerId, SessionNumber),
        /// Its counter.
        counter: u64,
        /// The shards that replaced it.
        children: Vec<ShardId>,
    },
    /// Requests an action for quarantined keys; any worker or the command line may write it,
    /// independently of the lease's owner. Condition: counter as given, not at SHARD_END.
    QuarantineRequest {
        /// The lease.
        lease: LeaseKey,
        /// Its counter.
        counter: u64,
        /// All quarantined keys of the lease, as they should be after the write.
        parked: Vec<QuarantinedKey>,
    },
    /// Deletes a finished lease whose shard has expired. Condition: counter as given, at SHARD_END.
    DeleteLease {
        /// The lease.
        lease: LeaseKey,
        /// Its counter.
        counter: u64,
    },
    /// Deletes a lease whose shard was not read yet, so that it is created again with a corrected
    /// `start`. Condition: counter, checkpoint and start as read.
    DeleteUnread {
        /// Which.
        lease: LeaseKey,
        /// Its counter.
        counter: u64,
        /// Its checkpoint: where it was to start.
        checkpoint: Checkpoint,
        /// What LATEST or AT_TIMESTAMP mean there.
        start_ms: Option<i64>,
    },
    /// Deletes an assignment row. Condition: term at most as given.
    DeleteAssignment {
        /// The worker.
        worker: WorkerId,
        /// The last leader's term.
        term: u64,
    },
    /// Deletes an ended session. Condition: number as given, and ended or `own`.
    DeleteSession {
        /// The worker.
        worker: WorkerId,
        /// Its number.
        number: SessionNumber,
        /// True for the last worker's own session, which is still draining.
        own: bool,
    },
    /// Deletes a damaged row that is not a lease. Condition: unchanged since it was read.
    Discard(Damaged),
    /// Removes the owner of a lease whose session has ended, so that any KCL can take the lease.
    /// Condition: owner, session and counter as read.
    ClearOwner {
        /// The lease.
        lease: LeaseKey,
        /// Its counter.
        counter: u64,
        /// The owner, with its session.
        from: (WorkerId, SessionNumber),
    },
    /// Deletes the fleet row when the fleet ends. Condition: no worker has registered or sent a
    /// wake-up since it was read.
    DeleteFleet {
        /// The term that was read.
        term: u64,
        /// The heartbeat that was read.
        heartbeat: u64,
        /// The value of `wake` that was read.
        wake: u64,
        /// The value of `sessions` that was read.
        sessions: SessionNumber,
    },
}

/// The owner that a claim replaces.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PreviousOwner {
    /// Nobody.
    Unowned,
    /// This owner: its session has ended or is missing, or it is an external writer whose counter
    /// has stopped.
    Owned(Owner),
}

impl PreviousOwner {
    /// Returns the owner as a row contains it.
    #[must_use]
    pub fn as_owner(&self) -> Option<&Owner> {
        match self {
            PreviousOwner::Unowned => None,
            PreviousOwner::Owned(owner) => Some(owner),
        }
    }
}

impl From<Option<Owner>> for PreviousOwner {
    fn from(owner: Option<Owner>) -> Self {
        owner.map_or(PreviousOwner::Unowned, PreviousOwner::Owned)
    }
}

/// The outcome of a write that was answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Written {
    /// The write was applied; this is the new row (`None` after a delete).
    Applied(Option<Row>),
    /// The condition did not hold; this is the current row (`None` if there is none).
    Refused(Option<Row>),
}

/// Returns the next value of a counter. Valid rows contain none above
/// [`LARGEST_COUNTER`](super::row::LARGEST_COUNTER), so it never saturates in practice; saturating
/// protects against a store that returns invalid rows.
pub(crate) fn next(counter: u64) -> u64 {
    counter.saturating_add(1)
}

impl Write {
    /// Returns the key of the row that it changes.
    #[must_use]
    pub fn key(&self) -> RowKey {
        match self {
            Write::CreateFleet(_)
            | Write::NextSessionNumber
            | Write::NextSessionNumberAbove(_)
            | Write::Wake
            | Write::PinStart(_)
            | Write::MarkFilled
            | Write::ChangeSettings { .. }
            | Write::TakeTerm { .. }
            | Write::FleetHeartbeat { .. }
            | Write::Resign { .. }
            | Write::DeleteFleet { .. } => RowKey::Fleet,
            Write::Register { worker, .. }
            | Write::Heartbeat { worker, .. }
            | Write::Fence { worker, .. }
            | Write::EndSession { worker, .. }
            | Write::DeleteSession { worker, .. } => RowKey::Session(worker.clone()),
            Write::Assignment(assignment) => RowKey::Assignment(assignment.worker.clone()),
            Write::DeleteAssignment { worker, .. } => RowKey::Assignment(worker.clone()),
            Write::PinStream(stream) | Write::DeleteStream(stream) => RowKey::Stream(stream.id.clone()),
            Write::MarkStreamFilled(stream) => RowKey::Stream(stream.clone()),
            Write::CreateLease(lease) => RowKey::Lease(lease.key.clone()),
            Write::Claim { lease, .. }
            | Write::Checkpoint { lease, .. }
            | Write::Release { lease, .. }
            | Write::ShardEnd { lease, .. }
            | Write::QuarantineRequest { lease, .. }
            | Write::ClearOwner { lease, .. }
            | Write::DeleteLease { lease, .. }
            | Write::DeleteUnread { lease, .. } => RowKey::Lease(lease.clone()),
            Write::Discard(damaged) => damaged.key.clone(),
        }
    }

    /// Applies the write to a row: returns the new row, or a refusal with the unchanged row.
    #[must_use]
    pub fn apply(&self, old: Option<&Row>) -> Written {
        match (old, self) {
            (Some(Row::Damaged(old)), Write::Discard(seen)) if old == seen && old.is_ours() => {
                return Written::Applied(None);
            }
            (Some(Row::Damaged(_)), _) | (_, Write::Discard(_)) => return Written::Refused(old.cloned()),
            (_, _) => {}
        }
        let outcome = match self.key() {
            RowKey::Fleet => apply_to_fleet(self, old.and_then(Row::as_fleet)).map(|row| row.map(Row::Fleet)),
            RowKey::Session(_) => session::apply(self, old.and_then(Row::as_session)).map(|row| row.map(Row::Session)),
            RowKey::Assignment(_) => {
                session::apply_assignment(self, old.and_then(Row::as_assignment)).map(|row| row.map(Row::Assignment))
            }
            RowKey::Stream(_) => apply_to_stream(self, old.and_then(Row::as_stream)).map(|row| row.map(Row::Stream)),
            RowKey::Lease(_) => lease::apply(self, old.and_then(Row::as_lease)).map(|row| row.map(Row::Lease)),
        };
        match outcome {
            Some(row) => Written::Applied(row),
            None => Written::Refused(old.cloned()),
        }
    }
}

/// Applies a write to the fleet row. Returns the row after the write (inner `None`: deleted), or
/// `None` if its condition does not hold.
#[allow(clippy::wildcard_enum_match_arm, reason = "the caller dispatched by key; a write of another row is refused")]
fn apply_to_fleet(write: &Write, old: Option<&Fleet>) -> Option<Option<Fleet>> {
    if let Write::CreateFleet(fleet) = write {
        return old.is_none().then(|| Some(fleet.clone()));
    }
    let old = old?;
    let mut new = old.clone();
    match write {
        Write::NextSessionNumber => new.sessions = next(new.sessions),
        Write::NextSessionNumberAbove(last) if old.sessions < *last => new.sessions = next(*last),
        Write::Wake => new.wake = next(new.wake),
        Write::PinStart(start) if old.start.is_none() => new.start = Some(start.clone()),
        Write::MarkFilled => new.filled = true,
        Write::ChangeSettings { seen, to } if old.settings == *seen => new.settings = Some(to.clone()),
        // The condition on what was read lets only one of several candidates win
        // (docs/protocol/leader.md).
        Write::TakeTerm { term, heartbeat, leader, me, failover_time }
            if old.term == *term && old.heartbeat == *heartbeat && old.leader == *leader =>
        {
            new.term = next(new.term);
            new.heartbeat = next(new.heartbeat);
            new.leader = Some(me.clone());
            new.leader_failover_time = Some(*failover_time);
            new.leader_session_heartbeat = None;
        }
        Write::FleetHeartbeat { term, heartbeat, leader_session_heartbeat, assignment_version }
            if old.term == *term && old.heartbeat == *heartbeat =>
        {
            new.heartbeat = next(new.heartbeat);
            new.leader_session_heartbeat = Some(*leader_session_heartbeat);
            new.assignment_version = *assignment_version;
        }
        Write::Resign { term, me } if old.term == *term && old.leader.as_ref() == Some(me) => {
            new.leader = None;
            new.leader_failover_time = None;
        }
        Write::DeleteFleet { term, heartbeat, wake, sessions }
            if old.term == *term && old.heartbeat == *heartbeat && old.wake == *wake && old.sessions == *sessions =>
        {
            return Some(None);
        }
        _ => return None,
    }
    Some(Some(new))
}

/// Applies a write to a stream row. Returns the row after the write (inner `None`: deleted), or
/// `None` if its condition does not hold.
#[allow(clippy::wildcard_enum_match_arm, reason = "the caller dispatched by key; a write of another row is refused")]
fn apply_to_stream(write: &Write, old: Option<&StreamRow>) -> Option<Option<StreamRow>> {
    match (write, old) {
        (Write::PinStream(stream), None) => Some(Some(stream.clone())),
        (Write::MarkStreamFilled(_), Some(old)) => Some(Some(StreamRow { filled: true, ..old.clone() })),
        (Write::DeleteStream(seen), Some(old)) if old == seen => Some(None),
        _ => None,
    }
}
