//! The seam to another store of checkpoints: the user's own database, where position and effect change together.

use super::BoxError;
use crate::record::{Position, ShardId};
use async_trait::async_trait;
use std::fmt::Debug;

/// A lease that was claimed, as a [`CheckpointStore`] is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClaimedLease {
    /// Its key in the lease table.
    pub lease_key: String,
    /// The shard.
    pub shard: ShardId,
    /// See [`ShardContext::fencing_token`](crate::ShardContext::fencing_token).
    pub fencing_token: u64,
}

impl ClaimedLease {
    /// A claimed lease, for tests of stores.
    #[must_use]
    pub fn new(lease_key: impl Into<String>, shard: ShardId, fencing_token: u64) -> Self {
        ClaimedLease { lease_key: lease_key.into(), shard, fencing_token }
    }
}

/// Keeps positions beside the effects of the records, in one transaction with them. Given to a worker by
/// `WorkerBuilder::checkpoint_store`.
///
/// # Expected flow
/// 1. A lease is claimed: `begin`. From then on the store refuses whatever comes with a lower fencing token, and reading
///    starts after the position it tells, or at the row's checkpoint if that is further.
/// 2. The handler writes effects, position and fencing token in one transaction of its own (see the crate `kcl-sql`), and
///    returns `Ok(())`.
/// 3. The lease's row gets the position when the lease is given up or the shard ends, so that a Java KCL can go on. Where the
///    last batch failed, perhaps after its commit, `begin` is called once more to know.
///
/// # Guarantees
/// With a store that keeps its side, each record's effect is in the database exactly once, whatever crashes when.
///
/// # Assumptions
/// A position says of every record before it that it is done, so records must come in order: `concurrency` is `Serial`, and a
/// policy that parks keys is refused, as are [handles](crate::Batch::take_handles) and `WorkerBuilder::stream`.
///
/// # When a handler fails
/// The store is asked for its position: records up to it are done, and all others come again, in order, whatever the handler's
/// error says of them. So a handler commits the effects and the position of the records before the first failed one, and
/// returns the error ([`BatchOutcome`](crate::BatchOutcome) names the record), or it rolls back and everything comes again.
/// A handler that names a record as failed which the position has passed stops the worker (KCL-0024): that record would be
/// skipped. A record that the dead-letter sink took is passed by the next batch's position; after a crash before that it comes
/// again, and may reach the sink twice.
///
/// Keys that an earlier version of the application parked stay parked: the store's position is past their records. They can be
/// dead-lettered, and resumed by a worker without the store.
///
/// # Errors
/// While `begin` fails the shard waits, with pauses of up to half a minute, and says so.
#[async_trait]
pub trait CheckpointStore: Debug + Send + Sync + 'static {
    /// Refuses lower tokens for this lease from now on, and tells how far it has come, if it ever did. May be called again with
    /// the same token.
    ///
    /// # Errors
    /// When the store cannot be asked, or has seen a higher token.
    async fn begin(&self, lease: &ClaimedLease) -> Result<Option<Position>, BoxError>;
}
