//! Rules of the protocol that a build with `--cfg kcl_mutants` can break, one at a time, to show that the simulation notices.
//!
//! Not a Cargo feature: features of one dependency graph are unified, so any program whose graph enabled it would carry
//! these switches. The hooks are `mutated!(Rule)`, which is the constant `false` in every other build.

use std::cell::Cell;

/// One broken rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mutant {
    /// I1: records are delivered whatever the session's deadline says.
    GateNeverShuts,
    /// I1: an owner counts half as long again as everyone else.
    OwnerCountsTooLong,
    /// I2: a plan has leases taken from sessions that live.
    TakesFromTheLiving,
    /// I3: a session is fenced after a third of the failover time.
    FencesTooEarly,
    /// I5: SHARD_END is written before the children's rows exist.
    EndsBeforeChildren,
    /// I5, promise 3: children are planned and read while their parents are.
    ChildrenDoNotWait,
    /// I6: the end of a shard is told when it is seen, not when all is acknowledged.
    EndsUnacknowledged,
    /// I7: a worker acquires what its plan row names, old or new, without waiting for the owner.
    ObeysAnyPlan,
    /// I8: a claim does not wait until the shard's old consumer is gone.
    ConsumersOverlap,
    /// I9: sessions say the time, and others compare it with their own.
    ComparesClocks,
    /// L1: a claim that got no answer is forgotten, and one that turns out to have worked is not taken up.
    ForgetsClaims,
    /// L1: a lease whose owner has no session is never free.
    OrphansStay,
    /// Promise 1: records are acknowledged when they are handed over.
    AcknowledgesEarly,
    /// Promise 1: an acknowledgement counts for all records before it.
    IgnoresGaps,
    /// Promise 3: a record's lane is drawn from its number, not from its key.
    KeysWander,
    /// Quarantine: a parked record is forgotten when it is taken up, not when it is done.
    UnparksEarly,
    /// Promise 1: a record that is parked is passed, and no row names it.
    ForgetsParked,
    /// Promise 2: a release writes no checkpoint.
    ReleasesWithoutCheckpoint,
    /// Who may have a lease: a plan yields leases to any worker, whichever streams it serves.
    PlansForAnyone,
    /// Streams do not mix: a lease's consumer reads from the first stream of the worker, whichever it is of.
    ReadsTheFirstStream,
    /// Promise 1: one list of shards without a shard is enough to end it.
    TrustsOneList,
    /// Streams do not mix: a stream that was made again is taken for the one that had its name before.
    TrustsNames,
}

thread_local! {
    static ACTIVE: Cell<Option<Mutant>> = const { Cell::new(None) };
}

/// Repairs the rule when it is dropped.
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
