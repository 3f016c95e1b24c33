//! The table: its rows, the conditional writes that change them, and the seam to whatever stores it.

pub mod conformance;
mod memory;
pub mod row;
mod store;
mod write;

pub use memory::MemoryStore;
pub use row::{
    Beside, Damaged, Fleet, FleetSettings, FleetStart, Give, Lease, LeaseKey, Owner, ParkedKey, Pending, Plan,
    ProcessId, Row, RowKey, Session, SessionNumber, SessionState, SharedSettings, StreamRow, Take, TakeMode, Weight,
    Weights, Wish, WorkerId, WorkerProfile,
};
pub use store::{Consistency, LeaseStore, Page, PageToken, StoreError, StoreErrorKind, Table};
pub(crate) use write::next;
pub use write::{Previous, Write, Written};
