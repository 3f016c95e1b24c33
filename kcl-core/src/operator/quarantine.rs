//! Lists quarantined keys, and requests what their leases' owners do with them.
//!
//! A key is quarantined when the error policy decides so
//! ([`Decision::Quarantine`](crate::policy::Decision::Quarantine)): its records are set aside, in
//! order, and the shard goes on with other keys.

use crate::coordination;
use crate::error::Error;
use crate::lease::LeaseStore;
use crate::lease::row;
use crate::record::{Position, system_time};
use std::time::SystemTime;

pub use crate::coordination::KeySelector;
pub use crate::lease::row::QuarantineRequest;

/// The quarantined keys of one lease.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QuarantinedLease {
    /// The lease's key in the table.
    pub lease: String,
    /// The worker that owns the lease, if one does. It carries out the requests.
    pub owner: Option<String>,
    /// The keys.
    pub keys: Vec<QuarantinedKey>,
}

/// A quarantined key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QuarantinedKey {
    /// The partition key; `None` for a record without one, which is quarantined alone.
    pub key: Option<String>,
    /// The key's records, in order. The first one is the record that failed.
    pub records: Vec<Position>,
    /// How often the first record was tried.
    pub attempts: u32,
    /// The last error of the first record.
    pub error: String,
    /// When the first record arrived in the stream.
    pub arrived_at: SystemTime,
    /// The request that the owner of the lease has not carried out yet.
    pub request: Option<QuarantineRequest>,
    /// Why the owner refused the last request.
    pub refused: Option<String>,
}

impl QuarantinedKey {
    fn of_row(row: row::QuarantinedKey) -> Self {
        let row::QuarantinedKey { key, positions, attempts, error, arrived_at_ms, wish, refused } = row;
        let arrived_at = system_time(arrived_at_ms);
        QuarantinedKey { key, records: positions, attempts, error, arrived_at, request: wish, refused }
    }
}

/// Lists the quarantined keys of an application.
///
/// # Errors
/// When the table does not answer.
pub async fn list(store: &dyn LeaseStore) -> Result<Vec<QuarantinedLease>, Error> {
    let leases = coordination::parked(store).await?.into_iter();
    let public = |lease: coordination::QuarantinedLease| QuarantinedLease {
        lease: lease.lease,
        owner: lease.owner,
        keys: lease.keys.into_iter().map(QuarantinedKey::of_row).collect(),
    };
    Ok(leases.map(public).collect())
}

/// Requests that the records of the selected keys are handled again, in order, before later records
/// of the key. Returns the leases that the request was written to.
///
/// The owner of a lease carries the request out with its next checkpoint, or within a minute if the
/// shard is idle. If nobody owns the lease, the next owner does.
///
/// # Errors
/// When the table does not answer, or the owner of a lease writes its row so often that the request
/// does not get through.
///
/// # Cancellation
/// Requests that were written stay.
pub async fn resume(store: &dyn LeaseStore, keys: &KeySelector) -> Result<Vec<String>, Error> {
    coordination::request_quarantined(store, keys, QuarantineRequest::Resume).await
}

/// Requests that the records of the selected keys are put into the dead-letter sink, in order.
/// Returns the leases that the request was written to.
///
/// The owner of a lease carries the request out as for [`resume`]. An owner without a dead-letter
/// sink refuses ([`QuarantinedKey::refused`]).
///
/// # Errors
/// As for [`resume`].
///
/// # Cancellation
/// Requests that were written stay.
pub async fn dead_letter(store: &dyn LeaseStore, keys: &KeySelector) -> Result<Vec<String>, Error> {
    coordination::request_quarantined(store, keys, QuarantineRequest::DeadLetter).await
}
