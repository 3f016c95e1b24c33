//! What happens when a callback fails: who decides, and what can be decided.

mod backoff;
mod on_error;

pub(crate) use backoff::Backoff;
pub use on_error::{FinalAction, OnError};

use super::BoxError;
use crate::record::{Record, ShardId};
use crate::retrieval::ReadError;
use std::fmt::{Debug, Display};
use std::time::Duration;

/// Why a consumer cannot go on.
#[derive(Debug)]
#[non_exhaustive]
pub enum Cause {
    /// A callback returned an error.
    Error(BoxError),
    /// A callback panicked, with this message.
    Panic(String),
    /// A callback was not done within the setting `handler_timeout`, and was dropped.
    TimedOut(Duration),
    /// A record's handle was dropped without an acknowledgement.
    Dropped,
    /// The shard cannot be read: the service refuses, or has not answered for half a minute. Tried again, whatever is decided,
    /// unless it is to stop: see [`ErrorPolicy`].
    Read(ReadError),
}

impl Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Cause::Error(error) => write!(f, "{error}"),
            Cause::Panic(message) => write!(f, "panic: {message}"),
            Cause::TimedOut(after) => write!(f, "not done after {after:?}"),
            Cause::Dropped => f.write_str("its handle was dropped without an acknowledgement"),
            Cause::Read(error) => write!(f, "{error}"),
        }
    }
}

/// One failure, as a policy sees it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Failure<'a> {
    /// Where.
    pub shard: &'a ShardId,
    /// Why.
    pub cause: &'a Cause,
    /// The records that the handler was called with; none where another callback or the reading failed.
    pub records: &'a [Record],
    /// How many times in a row, this one included. Counted anew for a part of a batch that was split.
    pub attempt: u32,
    /// Since the first of them.
    pub age: Duration,
    /// How long ago the oldest of the records arrived in the stream, by the service's clock.
    pub record_age: Duration,
}

/// What is done about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decision {
    /// The same again, after a random time of at most this (full jitter).
    Retry {
        /// The longest wait.
        within: Duration,
    },
    /// The batch is split in two, and each half handed over by itself, in order. For one record: again, after a moment.
    Split,
    /// The failing record goes to the dead-letter sink, and is acknowledged when that took it. A batch of several is
    /// split until that record is found.
    DeadLetter,
    /// The failing record's key is parked, and the others go on. A batch of several is split until that record is found.
    Quarantine,
    /// Yield the lease up. Nothing that was not acknowledged is passed over: whoever acquires it gets it again.
    StopShard,
    /// Stop the worker with an error. Nothing that was not acknowledged is passed over.
    StopWorker,
}

/// Decides what is done about failures.
///
/// [`OnError`] is the one that most need. Where a failure has no records, [`Decision::Split`], [`Decision::DeadLetter`] and
/// [`Decision::Quarantine`] mean: again, after half a minute at most.
///
/// A failed read ([`Cause::Read`]) is tried again independently of the policy, after pauses of a few seconds, so that reading
/// resumes soon after an outage however long [`Decision::Retry`] wants to wait. The policy sees the newest failure, with the
/// number and the age of all that came in a row. [`Decision::StopShard`] and [`Decision::StopWorker`] are obeyed; a worker that
/// stops that way ends with [`Code::CannotRead`](crate::error::Code::CannotRead).
pub trait ErrorPolicy: Debug + Send + Sync + 'static {
    /// Called once a failure, on the handler's runtime. Must not block.
    fn decide(&self, failure: &Failure<'_>) -> Decision;

    /// Whether it may decide for the dead-letter sink. A worker that has none is not built then.
    fn may_dead_letter(&self) -> bool {
        false
    }

    /// Whether it may decide to park a key. A worker with a [`CheckpointStore`](crate::CheckpointStore) is not built then, as a
    /// store knows no gaps: [`Decision::Quarantine`] means there what it means where it makes no sense.
    fn may_quarantine(&self) -> bool {
        false
    }

    /// What contradicts itself in it, for the person who wrote it. A worker is not built then.
    ///
    /// # Errors
    /// The contradiction.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }
}
