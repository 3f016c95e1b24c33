//! A plan row: what the planner tells one worker to take and to give. Advice: lost or late, it costs time only.

use super::{LeaseKey, Owner, WorkerId};
use crate::record::StreamId;

/// The row `plan/<worker>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Whom it is for.
    pub worker: WorkerId,
    /// The term of the planner who wrote it.
    pub term: u64,
    /// Its version within the term.
    pub version: u64,
    /// Leases to claim.
    pub takes: Vec<Take>,
    /// Leases to drain and release.
    pub gives: Vec<Give>,
    /// Streams, of several, whose leases to keep in step with their shards.
    pub lists: Vec<StreamId>,
}

impl Plan {
    /// The most takes and gives together that one row holds; the rest waits for the next cycle. Keeps a row under 60 KB.
    pub const MOST_ENTRIES: usize = 500;
}

/// A lease to claim, as the planner saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Take {
    /// Which lease.
    pub lease: LeaseKey,
    /// Its owner when it was read.
    pub owner: Option<Owner>,
    /// Its counter when it was read.
    pub counter: u64,
    /// When to claim it.
    pub mode: TakeMode,
}

/// When to claim a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TakeMode {
    /// At once: it is unowned, or its owner's session has ended.
    Now,
    /// As soon as its living owner has released it.
    After,
}

/// A lease to drain and release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Give {
    /// Which lease.
    pub lease: LeaseKey,
    /// Its counter when it was read: a claim since then is not meant.
    pub counter: u64,
}
