//! The table: its rows, the conditional writes that change them, and the seam to whatever stores it.

pub mod conformance;
mod memory;
pub mod row;
mod store;
mod write;

pub use memory::MemoryStore;
pub use row::{
    Acquire, AcquireMode, Assignment, CheckpointExtras, Damaged, Fleet, FleetSettings, FleetStart, Lease, LeaseKey,
    Owner, Pending, ProcessId, QuarantineRequest, QuarantinedKey, Row, RowKey, Session, SessionNumber, SessionState,
    SharedSettings, StreamRow, Weight, Weights, WorkerId, WorkerProfile, Yield,
};
pub use store::{Consistency, LeaseStore, Page, PageToken, StoreError, StoreErrorKind, Table};
pub(crate) use write::next;
pub use write::{Previous, Write, Written};
