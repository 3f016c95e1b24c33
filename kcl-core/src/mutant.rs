//! Rules of the protocol that a build with `--cfg kcl_mutants` can break, one at a time, to show
//! that the simulation detects each broken rule.
//!
//! Not a Cargo feature: features of one dependency graph are unified, so any program whose graph
//! enabled it would carry these switches. The hooks are `mutated!(Rule)`, which is the constant
//! `false` in every other build.

use std::cell::Cell;

/// One rule that is broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mutant {
    /// I1: records are delivered after the session's deadline has passed.
    GateNeverShuts,
    /// I1: an owner's deadline is 1.5 times as long as the failure detectors assume.
    OwnerCountsTooLong,
    /// I2: the leader takes leases from live sessions.
    TakesFromTheLiving,
    /// I3: a session is fenced after a third of the failover time.
    FencesTooEarly,
    /// I5: SHARD_END is written before the children's rows exist.
    EndsBeforeChildren,
    /// I5, promise 3: children are assigned and read while their parents are still being read.
    ChildrenDoNotWait,
    /// I6: the end of a shard is recorded when the reader reaches it, not when every record is
    /// acknowledged.
    EndsUnacknowledged,
    /// I7: a worker claims the leases of any assignment, current or outdated, without waiting for
    /// the previous owner.
    ObeysAnyPlan,
    /// I8: a claim does not wait until the shard's previous consumer has ended.
    ConsumersOverlap,
    /// I9: sessions write their local time, and others compare it with their own clocks.
    ComparesClocks,
    /// L1: a claim without an answer is forgotten, even if the write was applied.
    ForgetsClaims,
    /// L1: an orphaned lease is never assigned again.
    OrphansStay,
    /// Promise 1: records are acknowledged when they are delivered to the handler.
    AcknowledgesEarly,
    /// Promise 1: an acknowledgement also acknowledges every earlier record.
    IgnoresGaps,
    /// Promise 3: a record's lane is chosen by its number instead of its partition key.
    KeysWander,
    /// Quarantine: a quarantined record is forgotten when its retry begins instead of when it is
    /// handled.
    UnparksEarly,
    /// Promise 1: the checkpoint passes a quarantined record without naming it in the row.
    ForgetsParked,
    /// Promise 2: a release writes no checkpoint.
    ReleasesWithoutCheckpoint,
    /// Streams do not mix: a lease is assigned to a worker that does not serve its stream.
    PlansForAnyone,
    /// Streams do not mix: every consumer reads from the worker's first stream, whichever stream
    /// its lease belongs to.
    ReadsTheFirstStream,
    /// Promise 1: a single list without a shard ends that shard.
    TrustsOneList,
    /// Streams do not mix: a re-created stream is taken for the earlier stream of the same name.
    TrustsNames,
    /// I1: the gate is asked only when a batch is attempted again.
    DeliversOnceMore,
    /// I1: a heartbeat counts from the receipt of its answer, not from its sending.
    TrustsFromReceipt,
    /// I2: a lease whose owner has no session is free at once.
    FreesOrphansEarly,
    /// I5: the child of a merge is created and claimed when one of its parents has ended.
    MergesAlone,
    /// L1: the end of a session is no reason to read the table.
    SkipsReadAtEnd,
    /// L1: an owner that does not know of its lease is not reminded.
    NeverReminds,
    /// Numbers of rows only grow: a late registration replaces a later session that has ended.
    RegistersOverLater,
}

thread_local! {
    static ACTIVE: Cell<Option<Mutant>> = const { Cell::new(None) };
}

/// Restores the rule when it is dropped.
#[derive(Debug)]
#[must_use = "the rule is broken as long as this lives"]
pub struct Broken(());

impl Mutant {
    /// Breaks this rule for all workers on this thread until the returned guard is dropped.
    pub fn begin(self) -> Broken {
        ACTIVE.set(Some(self));
        Broken(())
    }
}

impl Drop for Broken {
    fn drop(&mut self) {
        ACTIVE.set(None);
    }
}

/// True if this rule is broken now.
pub(crate) fn is_active(mutant: Mutant) -> bool {
    ACTIVE.get() == Some(mutant)
}
