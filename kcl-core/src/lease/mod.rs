//! The lease table: its rows, the conditional writes that change them, and the trait of a store
//! that keeps them.
//!
//! [`MemoryStore`] and `aws::DynamoDbStore` are the stores. Rows and writes are the protocol of the
//! workers; they are public with the feature `unstable-store` only, and change without notice.
#![cfg_attr(
    not(feature = "unstable-store"),
    allow(
        dead_code,
        unreachable_pub,
        unused_imports,
        reason = "the feature `unstable-store` makes rows and writes public"
    )
)]

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod memory;
#[cfg(feature = "unstable-store")]
pub mod row;
#[cfg(not(feature = "unstable-store"))]
pub(crate) mod row;
mod store;
mod write;

pub use memory::MemoryStore;
pub use store::LeaseStore;
pub(crate) use write::next;

unstable_store! {
    use row::{
        Acquire, AcquireMode, Assignment, CheckpointExtras, Damaged, Fleet, FleetSettings, FleetStart, Lease, LeaseKey,
        Owner, Pending, ProcessId, QuarantineRequest, QuarantinedKey, Row, RowKey, Session, SessionNumber, SessionState,
        SharedSettings, StreamRow, Weight, Weights, WorkerId, WorkerProfile, Yield,
    };
    use store::{Consistency, Page, PageToken, StoreError, StoreErrorKind, Table};
    use write::{PreviousOwner, Write, Written};
}
