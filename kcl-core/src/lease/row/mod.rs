//! Defines the rows of the lease table, one type per kind.

mod assignment;
mod checkpoint_extras;
mod damaged;
mod fleet;
mod id;
mod lease;
mod profile;
mod session;
mod stream;
mod weights;

pub use assignment::{Acquire, AcquireMode, Assignment, Yield};
pub use checkpoint_extras::{CheckpointExtras, Pending, QuarantineRequest, QuarantinedKey};
pub use damaged::{Damaged, SeenAttribute, SeenValue};
pub use fleet::{Fleet, FleetStart};
pub use id::{InvalidWorkerId, LeaseKey, RowKey, SessionNumber, WorkerId};
pub use lease::{HashKeyRange, Lease, Owner};
pub use profile::{FleetSettings, ProcessId, SharedSettings, WorkerProfile};
pub use session::{Session, SessionState};
pub(crate) use stream::StreamKeys;
pub use stream::StreamRow;
pub use weights::{Weight, Weights};

/// The largest number that a row's counter may have; a larger one is treated as damage. Every
/// counter below it can be incremented without overflow, and fits KCL's signed 64-bit counters.
pub const LARGEST_COUNTER: u64 = 1 << 62;

/// Any row of the table.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "rows live in vectors of leases, which are the large ones")]
pub enum Row {
    /// A shard's lease, in KCL's format.
    Lease(Lease),
    /// A worker's session.
    Session(Session),
    /// The fleet's one row.
    Fleet(Fleet),
    /// The leader's instructions for one worker.
    Assignment(Assignment),
    /// A stream's row, in a table of several streams.
    Stream(StreamRow),
    /// A row of one of these kinds that cannot be decoded.
    Damaged(Damaged),
}

impl Row {
    /// Returns the row's key.
    #[must_use]
    pub fn key(&self) -> RowKey {
        match self {
            Row::Lease(lease) => RowKey::Lease(lease.key.clone()),
            Row::Session(session) => RowKey::Session(session.worker.clone()),
            Row::Fleet(_) => RowKey::Fleet,
            Row::Assignment(assignment) => RowKey::Assignment(assignment.worker.clone()),
            Row::Stream(stream) => RowKey::Stream(stream.id.clone()),
            Row::Damaged(damaged) => damaged.key.clone(),
        }
    }

    /// Returns the lease, if this row is one.
    #[must_use]
    pub fn as_lease(&self) -> Option<&Lease> {
        if let Row::Lease(lease) = self { Some(lease) } else { None }
    }

    /// Returns the session, if this row is one.
    #[must_use]
    pub fn as_session(&self) -> Option<&Session> {
        if let Row::Session(session) = self { Some(session) } else { None }
    }

    /// Returns the fleet row, if this row is it.
    #[must_use]
    pub fn as_fleet(&self) -> Option<&Fleet> {
        if let Row::Fleet(fleet) = self { Some(fleet) } else { None }
    }

    /// Returns the stream row, if this row is one.
    #[must_use]
    pub fn as_stream(&self) -> Option<&StreamRow> {
        if let Row::Stream(stream) = self { Some(stream) } else { None }
    }

    /// Returns the assignment, if this row is one.
    #[must_use]
    pub fn as_assignment(&self) -> Option<&Assignment> {
        if let Row::Assignment(assignment) = self { Some(assignment) } else { None }
    }
}
