//! Defines the seam to a checkpoint store of the user's own, where position and effects change in
//! one transaction.

use super::BoxError;
use crate::record::{Position, ShardId};
use async_trait::async_trait;
use std::fmt::Debug;

/// A lease that this worker has claimed, as a [`CheckpointStore`] sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClaimedLease {
    /// The lease's key in the lease table; unique within the application. Store positions by it.
    pub lease_key: String,
    /// The shard.
    pub shard: ShardId,
    /// Grows with every change of owner; see
    /// [`ShardContext::fencing_token`](crate::ShardContext::fencing_token).
    pub fencing_token: u64,
}

impl ClaimedLease {
    /// A claimed lease, for tests of stores.
    #[must_use]
    pub fn new(lease_key: impl Into<String>, shard: ShardId, fencing_token: u64) -> Self {
        ClaimedLease { lease_key: lease_key.into(), shard, fencing_token }
    }
}

/// Stores positions together with the effects of the records, in one transaction. Passed to a
/// worker by `WorkerBuilder::checkpoint_store`; the crate `kcl-sql` implements it.
///
/// With a store that fulfils this contract, each record's effect is in the database exactly once,
/// whatever crashes at whatever time.
///
/// # How it is used
/// 1. The worker claims a lease and calls [`begin`](Self::begin). From then on the store refuses
///    writes with a lower fencing token. Reading starts after the position that `begin` returned,
///    or at the lease row's checkpoint if that is further.
/// 2. The handler writes effects, position and fencing token in one transaction of its own, and
///    returns `Ok(())`.
/// 3. The position is copied to the lease's row, so that Java KCL can continue from it. If the last
///    batch failed, possibly after its commit, `begin` is called once more before the lease is
///    released, to learn the position.
///
/// # What it excludes
/// A position says that every record before it is done, so records must be handled in order.
/// `concurrency` is therefore `Serial`, and a policy that quarantines keys,
/// [handles](crate::Batch::take_handles) and `WorkerBuilder::stream` are refused.
///
/// # When a handler fails
/// The worker asks the store for its position. Records up to it are done; all others are delivered
/// again, in order, whatever the handler's error says of them. So a handler either
/// - commits the effects and the position of the records before the first failed one, and returns
///   the error ([`BatchOutcome`](crate::BatchOutcome) names the failed record), or
/// - rolls back, and the whole batch is delivered again.
///
/// A handler that names a failed record which the store's position has already passed would skip
/// that record. The worker stops (KCL-0024).
///
/// A record that was dead-lettered is passed by the position of the next batch. After a crash
/// before that, it is delivered again, and may reach the sink twice.
///
/// # Quarantined keys
/// Keys that an earlier version of the application quarantined stay in quarantine, because the
/// store's position is already past their records. They can be dead-lettered, or resumed by a
/// worker without the store.
///
/// # Examples
/// ```
/// use kcl_core::{BoxError, CheckpointStore, ClaimedLease, record::Position};
/// use std::collections::HashMap;
/// use std::sync::Mutex;
///
/// /// For each lease: the highest fencing token that was seen, and the position.
/// #[derive(Debug, Default)]
/// struct InMemory(Mutex<HashMap<String, (u64, Option<Position>)>>);
///
/// #[async_trait::async_trait]
/// impl CheckpointStore for InMemory {
///     async fn begin(&self, lease: &ClaimedLease) -> Result<Option<Position>, BoxError> {
///         let mut leases = self.0.lock().unwrap();
///         let (token, position) = leases.entry(lease.lease_key.clone()).or_default();
///         if *token > lease.fencing_token {
///             return Err("a newer owner has begun".into());
///         }
///         *token = lease.fencing_token;
///         Ok(position.clone())
///     }
/// }
/// ```
#[async_trait]
pub trait CheckpointStore: Debug + Send + Sync + 'static {
    /// Refuses lower fencing tokens for this lease from now on, and returns the stored position:
    /// every record up to and including it is done. `None` if nothing is stored.
    ///
    /// May be called again with the same token.
    ///
    /// # Errors
    /// The store cannot be reached, or has seen a higher token. The shard waits, an event is
    /// logged, and the call is retried with pauses of up to 30 s.
    ///
    /// # Cancellation
    /// The future is dropped when the lease is lost.
    async fn begin(&self, lease: &ClaimedLease) -> Result<Option<Position>, BoxError>;
}
