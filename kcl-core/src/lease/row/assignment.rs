//! Assignment rows: which leases the leader wants one worker to acquire and to yield. An assignment
//! is advice: a lost or late one costs time, never correctness (docs/protocol/assignment.md).

use super::{LeaseKey, Owner, WorkerId};
use crate::record::StreamId;

/// The row `assignment/<worker>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The worker.
    pub worker: WorkerId,
    /// The term of the leader that wrote it.
    pub term: u64,
    /// Its version within the term.
    pub version: u64,
    /// Leases to claim.
    pub acquires: Vec<Acquire>,
    /// Leases to drain and release.
    pub yields: Vec<Yield>,
    /// In a table of several streams, the streams whose shards this worker lists and whose missing
    /// leases it creates.
    pub lists: Vec<StreamId>,
}

impl Assignment {
    /// The most entries (acquires and yields together) of one row; further entries wait for the
    /// next cycle. Keeps a row below 60 KB, far from DynamoDB's item limit of 400 KB.
    pub const MAX_ENTRIES: usize = 500;
}

/// A lease to claim, as the leader read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acquire {
    /// Which lease.
    pub lease: LeaseKey,
    /// Its owner when the leader read it.
    pub owner: Option<Owner>,
    /// Its counter when the leader read it.
    pub counter: u64,
    /// When to claim it.
    pub mode: AcquireMode,
}

/// When to claim a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AcquireMode {
    /// Immediately: it has no owner, or its owner's session has ended.
    Now,
    /// As soon as its live owner has released it.
    After,
}

/// A lease to drain and release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Yield {
    /// Which lease.
    pub lease: LeaseKey,
    /// Its counter when the leader read it. The entry does not apply to a lease that was claimed
    /// since then.
    pub counter: u64,
}
