//! Rules that a build with the feature `mutants` can break on purpose, one at a time, so that the simulation can show
//! that it notices. Without that feature every question is answered `false` when the code is compiled.

/// One rule broken.
#[cfg_attr(not(feature = "mutants"), allow(unreachable_pub, reason = "public only where it can be used"))]
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
    /// I7: a worker takes what its plan row names, old or new, without waiting for the owner.
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
    /// Who may have a lease: a plan gives leases to any worker, whichever streams it serves.
    PlansForAnyone,
    /// Streams do not mix: a lease's consumer reads from the first stream of the worker, whichever it is of.
    ReadsTheFirstStream,
    /// Streams do not mix: a stream that was made again is taken for the one that had its name before.
    TrustsNames,
}

#[cfg(feature = "mutants")]
mod active {
    use super::Mutant;
    use std::cell::Cell;

    thread_local! {
        static ACTIVE: Cell<Option<Mutant>> = const { Cell::new(None) };
    }

    /// Ends the mutation when it is dropped.
    #[derive(Debug)]
    #[must_use = "the rule is broken as long as this lives"]
    pub struct Broken(());

    impl Mutant {
        /// Breaks this rule for all workers on this thread, as long as the answer lives.
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

    pub(crate) fn is(mutant: Mutant) -> bool {
        ACTIVE.get() == Some(mutant)
    }
}

#[cfg(feature = "mutants")]
pub use active::Broken;
#[cfg(feature = "mutants")]
pub(crate) use active::is;

/// Whether this rule is broken now.
#[cfg(not(feature = "mutants"))]
pub(crate) const fn is(_: Mutant) -> bool {
    false
}
