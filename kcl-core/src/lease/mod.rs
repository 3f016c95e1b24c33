//! The table: its rows, the conditional writes that change them, and the seam to whatever stores it.

pub mod conformance;
mod memory;
pub mod row;
mod store;
mod write;

pub use memory::MemoryStore;
pub use row::{
    Beside, Damaged, Fleet, FleetStart, Give, Lease, LeaseKey, Owner, ParkedKey, Pending, Plan, Row, RowKey, Session,
    SessionNumber, SessionState, StreamRow, Take, TakeMode, Weight, Weights, Wish, WorkerId,
};
pub use store::{Consistency, LeaseStore, Page, PageToken, StoreError, StoreErrorKind, Table};
pub use write::{Previous, Write, Written};
