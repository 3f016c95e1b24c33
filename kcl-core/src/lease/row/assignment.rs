//! A plan row: what the leader tells one worker to take and to give. Advice: lost or late, it costs time only.

use super::{LeaseKey, Owner, WorkerId};
use crate::record::StreamId;

/// The row `assignment/<worker>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// Whom it is for.
    pub worker: WorkerId,
    /// The term of the leader who wrote it.
    pub term: u64,
    /// Its version within the term.
    pub version: u64,
    /// Leases to claim.
    pub acquires: Vec<Acquire>,
    /// Leases to drain and release.
    pub yields: Vec<Yield>,
    /// Streams, of several, whose leases to keep in step with their shards.
    pub lists: Vec<StreamId>,
}

impl Assignment {
    /// The most acquires and yields together that one row holds; the rest waits for the next cycle. Keeps a row under 60 KB.
    pub const MAX_ENTRIES: usize = 500;
}

/// A lease to claim, as the leader saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acquire {
    /// Which lease.
    pub lease: LeaseKey,
    /// Its owner when it was read.
    pub owner: Option<Owner>,
    /// Its counter when it was read.
    pub counter: u64,
    /// When to claim it.
    pub mode: AcquireMode,
}

/// When to claim a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AcquireMode {
    /// At once: it is unowned, or its owner's session has ended.
    Now,
    /// As soon as its living owner has released it.
    After,
}

/// A lease to drain and release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Yield {
    /// Which lease.
    pub lease: LeaseKey,
    /// Its counter when it was read: a claim since then is not meant.
    pub counter: u64,
}
