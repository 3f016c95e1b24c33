//! Every change of the table as a value: the row it names, the condition it stands under, what it sets.
//!
//! [`Write::apply`] is the one meaning of each: the in-memory table runs it, and a store's expressions are held to it.

mod fleet;
mod lease;
mod session;
mod stream;

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
    /// Draws a session number. Condition: the fleet row exists. Adds 1 to `sessions`; the new row tells the number.
    Draw,
    /// Draws a session number above this one, which another fleet row had counted. Condition: the fleet row exists and has
    /// counted less. The new row tells the number.
    DrawAbove(SessionNumber),
    /// Asks the leader to read the table. Condition: the fleet row exists. Adds 1 to `wake`.
    Wake,
    /// Pins the application's start before its first lease is created. Condition: the fleet row exists and has none.
    PinStart(FleetStart),
    /// Says that the first fill of leases is complete. Condition: the fleet row exists.
    Filled,
    /// Pins the start of one of several streams before its first lease is created, or says that it has leases already.
    /// Condition: absent.
    PinStream(StreamRow),
    /// Says that the first fill of a stream's leases is complete. Condition: its row exists.
    StreamFilled(StreamId),
    /// Deletes a stream's row, of a fleet that ends. Condition: it is as seen.
    DeleteStream(StreamRow),
    /// Writes the fleet's settings. Condition: the fleet row exists and its settings are as seen.
    ChangeSettings {
        /// The settings seen.
        seen: Option<FleetSettings>,
        /// The settings to use from now on.
        to: FleetSettings,
    },
    /// Registers a session. Condition: absent, or a lower number that has ended or is the one given. A session that still
    /// lives is never replaced by another process: whoever wants its id waits until it has ended, or fences it.
    Register {
        /// Whose.
        worker: WorkerId,
        /// The number drawn.
        number: SessionNumber,
        /// What tells this session's row from any other.
        tag: u64,
        /// The most leases it wants.
        capacity: Option<u32>,
        /// The streams it serves, in a table of several.
        streams: Option<BTreeSet<StreamId>>,
        /// What the worker says of itself.
        profile: WorkerProfile,
        /// An earlier session of the same process, which may be replaced before it has ended.
        over: Option<SessionNumber>,
    },
    /// A session's heartbeat. Condition: number and heartbeat as given, state neither fenced nor left.
    Heartbeat {
        /// Whose.
        worker: WorkerId,
        /// Its number.
        number: SessionNumber,
        /// The heartbeat before this one.
        heartbeat: u64,
        /// Active or draining.
        state: SessionState,
        /// Leases held.
        load: u32,
        /// What they weigh; `None` leaves what the row says.
        weights: Option<Weights>,
        /// The streams it serves; `None` leaves what the row says.
        streams: Option<BTreeSet<StreamId>>,
    },
    /// Ends a silent session. Condition: number and heartbeat as seen, state active or draining.
    Fence {
        /// Whose.
        worker: WorkerId,
        /// Its number.
        number: SessionNumber,
        /// The heartbeat that stood still.
        heartbeat: u64,
    },
    /// Ends one's own session. Condition: number as given, not fenced.
    Leave {
        /// Whose.
        worker: WorkerId,
        /// Its number.
        number: SessionNumber,
    },
    /// Becomes the leader. Condition: term, heartbeat and leader as seen.
    TakeTerm {
        /// The term seen.
        term: u64,
        /// The planning heartbeat seen.
        heartbeat: u64,
        /// The leader seen.
        leader: Option<(WorkerId, SessionNumber)>,
        /// Who acquires the next term.
        me: (WorkerId, SessionNumber),
        /// Its `failover_time`.
        failover_time: Duration,
    },
    /// Replaces a plan row. Condition: absent, or a lower (term, version).
    Assignment(Assignment),
    /// The planning heartbeat. Condition: term and heartbeat as given.
    FleetHeartbeat {
        /// The leader's term.
        term: u64,
        /// The heartbeat before this one.
        heartbeat: u64,
        /// The leader's session heartbeat confirmed last.
        leader_session_heartbeat: u64,
        /// The plan version that may be obeyed.
        assignment_version: u64,
    },
    /// Gives the term up. Condition: term and leader as given.
    Resign {
        /// The term.
        term: u64,
        /// The leader.
        me: (WorkerId, SessionNumber),
    },
    /// Creates a lease. Condition: absent.
    CreateLease(Box<Lease>),
    /// Takes a lease. Condition: counter as given, not at SHARD_END, and the owner as given.
    Claim {
        /// Which.
        lease: LeaseKey,
        /// Its counter.
        counter: u64,
        /// Its owner: nobody, or one whose session has ended or is missing.
        from: Previous,
        /// Who acquires it.
        me: (WorkerId, SessionNumber),
        /// The stream, for a row that another hand created without saying it.
        stream: StreamIdentity,
        /// Pins what LATEST or AT_TIMESTAMP mean on a row that another hand created without saying so.
        start_ms: Option<i64>,
    },
    /// Moves a checkpoint. Condition: owner, session and counter as given, not at SHARD_END.
    Checkpoint {
        /// Which lease.
        lease: LeaseKey,
        /// Its owner.
        me: (WorkerId, SessionNumber),
        /// Its counter.
        counter: u64,
        /// Where to.
        checkpoint: Checkpoint,
        /// What stands beside it.
        extras: CheckpointExtras,
    },
    /// Gives a lease up, at this checkpoint. Condition: as a checkpoint's.
    Release {
        /// Which lease.
        lease: LeaseKey,
        /// Its owner.
        me: (WorkerId, SessionNumber),
        /// Its counter.
        counter: u64,
        /// Where to.
        checkpoint: Checkpoint,
        /// What stands beside it.
        extras: CheckpointExtras,
    },
    /// Ends a lease: SHARD_END, its children named, no owner. Condition: as a checkpoint's; the children's rows exist.
    ShardEnd {
        /// Which lease.
        lease: LeaseKey,
        /// Its owner.
        me: (WorkerId, SessionNumber),
        /// Its counter.
        counter: u64,
        /// The shards it ended in.
        children: Vec<ShardId>,
    },
    /// Says what is to become of a key in quarantine, whoever holds the lease. Condition: counter as given, not at SHARD_END.
    QuarantineRequest {
        /// Which lease.
        lease: LeaseKey,
        /// Its counter.
        counter: u64,
        /// All that is parked there, as it is to be.
        parked: Vec<QuarantinedKey>,
    },
    /// Deletes a finished lease whose shard Kinesis no longer lists. Condition: counter as given, at SHARD_END.
    DeleteLease {
        /// Which.
        lease: LeaseKey,
        /// Its counter.
        counter: u64,
    },
    /// Deletes a plan row, of a fleet that ends. Condition: term at most as given.
    DeleteAssignment {
        /// Whose.
        worker: WorkerId,
        /// The last leader's term.
        term: u64,
    },
    /// Deletes an ended session. Condition: number as given, left or fenced, or one's own.
    DeleteSession {
        /// Whose.
        worker: WorkerId,
        /// Its number.
        number: SessionNumber,
        /// Whether it may still be draining: only the last worker's own row.
        own: bool,
    },
    /// Makes away with a row of ours that cannot be read. Condition: it shows what it showed.
    Discard(Damaged),
    /// Frees a lease whose owner's session has ended, for any KCL to take. Condition: owner, session and counter as seen.
    Disown {
        /// Which.
        lease: LeaseKey,
        /// Its counter.
        counter: u64,
        /// The owner, with its session.
        from: (WorkerId, SessionNumber),
    },
    /// Deletes the fleet row, of a fleet that ends. Condition: nobody joined or asked for anything since it was read.
    DeleteFleet {
        /// The term seen.
        term: u64,
        /// The heartbeat seen.
        heartbeat: u64,
        /// `wake` as seen.
        wake: u64,
        /// `sessions` as seen.
        sessions: SessionNumber,
    },
}

/// The owner that a claim replaces.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Previous {
    /// Nobody.
    Unowned,
    /// This owner: its session has ended or is missing, or it is another hand's and stood still.
    Owned(Owner),
}

impl Previous {
    /// The owner as a row has it.
    #[must_use]
    pub fn as_owner(&self) -> Option<&Owner> {
        match self {
            Previous::Unowned => None,
            Previous::Owned(owner) => Some(owner),
        }
    }
}

impl From<Option<Owner>> for Previous {
    fn from(owner: Option<Owner>) -> Self {
        owner.map_or(Previous::Unowned, Previous::Owned)
    }
}

/// What became of a write that was answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Written {
    /// It holds; this is the row now (`None` after a delete).
    Applied(Option<Row>),
    /// Its condition does not hold; this is the row as it is (`None` where there is none).
    Refused(Option<Row>),
}

/// The number after this one. Rows say none above [`LARGEST_COUNTER`](super::row::LARGEST_COUNTER), so this never stays where
/// it is; but no store's answer may overflow.
pub(crate) fn next(counter: u64) -> u64 {
    counter.saturating_add(1)
}

impl Write {
    /// Which row it changes.
    #[must_use]
    pub fn key(&self) -> RowKey {
        match self {
            Write::CreateFleet(_)
            | Write::Draw
            | Write::DrawAbove(_)
            | Write::Wake
            | Write::PinStart(_)
            | Write::Filled
            | Write::ChangeSettings { .. }
            | Write::TakeTerm { .. }
            | Write::FleetHeartbeat { .. }
            | Write::Resign { .. }
            | Write::DeleteFleet { .. } => RowKey::Fleet,
            Write::Register { worker, .. }
            | Write::Heartbeat { worker, .. }
            | Write::Fence { worker, .. }
            | Write::Leave { worker, .. }
            | Write::DeleteSession { worker, .. } => RowKey::Session(worker.clone()),
            Write::Assignment(plan) => RowKey::Assignment(plan.worker.clone()),
            Write::DeleteAssignment { worker, .. } => RowKey::Assignment(worker.clone()),
            Write::PinStream(stream) | Write::DeleteStream(stream) => RowKey::Stream(stream.id.clone()),
            Write::StreamFilled(stream) => RowKey::Stream(stream.clone()),
            Write::CreateLease(lease) => RowKey::Lease(lease.key.clone()),
            Write::Claim { lease, .. }
            | Write::Checkpoint { lease, .. }
            | Write::Release { lease, .. }
            | Write::ShardEnd { lease, .. }
            | Write::QuarantineRequest { lease, .. }
            | Write::Disown { lease, .. }
            | Write::DeleteLease { lease, .. } => RowKey::Lease(lease.clone()),
            Write::Discard(damaged) => damaged.key.clone(),
        }
    }

    /// What the write makes of the row as it is: the row after it, or a refusal that leaves it alone.
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
            RowKey::Fleet => fleet::apply(self, old.and_then(Row::as_fleet)).map(|row| row.map(Row::Fleet)),
            RowKey::Session(_) => session::apply(self, old.and_then(Row::as_session)).map(|row| row.map(Row::Session)),
            RowKey::Assignment(_) => {
                session::apply_plan(self, old.and_then(Row::as_plan)).map(|row| row.map(Row::Assignment))
            }
            RowKey::Stream(_) => stream::apply(self, old.and_then(Row::as_stream)).map(|row| row.map(Row::Stream)),
            RowKey::Lease(_) => lease::apply(self, old.and_then(Row::as_lease)).map(|row| row.map(Row::Lease)),
        };
        match outcome {
            Some(row) => Written::Applied(row),
            None => Written::Refused(old.cloned()),
        }
    }
}
