//! The rows of the table, one type a kind.

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
pub use damaged::{Damaged, Mark, Shows};
pub use fleet::{Fleet, FleetStart};
pub use id::{InvalidWorkerId, LeaseKey, RowKey, SessionNumber, WorkerId};
pub use lease::{HashKeyRange, Lease, Owner};
pub use profile::{FleetSettings, ProcessId, SharedSettings, WorkerProfile};
pub use session::{Session, SessionState};
pub(crate) use stream::StreamKeys;
pub use stream::StreamRow;
pub use weights::{Weight, Weights};

/// The largest number that a row may count to: a larger one is damage. It leaves room to count on for ever, whatever a row
/// says, and KCL's own counters (signed 64-bit numbers) stay readable for it.
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
    /// What the leader tells one worker.
    Assignment(Assignment),
    /// One of several streams.
    Stream(StreamRow),
    /// A row that claims to be one of the above and cannot be read as it.
    Damaged(Damaged),
}

impl Row {
    /// The row's key.
    #[must_use]
    pub fn key(&self) -> RowKey {
        match self {
            Row::Lease(lease) => RowKey::Lease(lease.key.clone()),
            Row::Session(session) => RowKey::Session(session.worker.clone()),
            Row::Fleet(_) => RowKey::Fleet,
            Row::Assignment(plan) => RowKey::Assignment(plan.worker.clone()),
            Row::Stream(stream) => RowKey::Stream(stream.id.clone()),
            Row::Damaged(damaged) => damaged.key.clone(),
        }
    }

    /// The lease, if it is one.
    #[must_use]
    pub fn as_lease(&self) -> Option<&Lease> {
        if let Row::Lease(lease) = self { Some(lease) } else { None }
    }

    /// The session, if it is one.
    #[must_use]
    pub fn as_session(&self) -> Option<&Session> {
        if let Row::Session(session) = self { Some(session) } else { None }
    }

    /// The fleet row, if it is it.
    #[must_use]
    pub fn as_fleet(&self) -> Option<&Fleet> {
        if let Row::Fleet(fleet) = self { Some(fleet) } else { None }
    }

    /// The stream's row, if it is one.
    #[must_use]
    pub fn as_stream(&self) -> Option<&StreamRow> {
        if let Row::Stream(stream) = self { Some(stream) } else { None }
    }

    /// The plan row, if it is one.
    #[must_use]
    pub fn as_plan(&self) -> Option<&Assignment> {
        if let Row::Assignment(plan) = self { Some(plan) } else { None }
    }
}
