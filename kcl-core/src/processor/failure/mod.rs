//! Defines error policies: what is known of a failure, and what can be decided about it.

mod on_error;

pub use on_error::{FinalAction, OnError};

use super::BoxError;
use crate::record::{Record, ShardId};
use crate::retrieval::ReadError;
use std::fmt::{Debug, Display};
use std::time::Duration;

/// Why a callback, an acknowledgement or a read failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum Cause {
    /// A callback returned this error. A decoding error of a derived processor is one, too
    /// (`DecodeError`).
    Error(BoxError),
    /// A callback panicked with this message.
    Panic(String),
    /// A callback did not complete within the setting `handler_timeout`, and was dropped.
    TimedOut(Duration),
    /// A record's handle was dropped without an acknowledgement.
    Dropped,
    /// The shard cannot be read: Kinesis refuses the call, or has not answered for 30 s. The read
    /// is retried whatever the policy decides, unless it decides to stop; see [`ErrorPolicy`].
    Read(ReadError),
}

impl Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Cause::Error(error) => write!(f, "{error}"),
            Cause::Panic(message) => write!(f, "panic: {message}"),
            Cause::TimedOut(after) => write!(f, "did not complete within {after:?}"),
            Cause::Dropped => f.write_str("the record's handle was dropped without an acknowledgement"),
            Cause::Read(error) => write!(f, "{error}"),
        }
    }
}

/// One failure, as an [`ErrorPolicy`] sees it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Failure<'a> {
    /// The shard.
    pub shard: &'a ShardId,
    /// Why it failed.
    pub cause: &'a Cause,
    /// The records of the batch that are not done. Records that the handler is known to be done
    /// with are left out (it returned a `BatchOutcome`, or it is a derived handler). Empty if
    /// another callback than `process_records`, or a read, failed.
    pub records: &'a [Record],
    /// The number of failures in a row, this one included. Starts anew for each part of a batch
    /// that was split, and when another record than before is the first to fail.
    pub attempt: u32,
    /// The time since the first of these failures.
    pub age: Duration,
    /// The time since the oldest of `records` arrived in the stream, by the service's clock. Zero
    /// if there are none.
    pub record_age: Duration,
}

/// What an [`ErrorPolicy`] decides about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decision {
    /// Deliver the same records again, after a random pause of at most `within` (full jitter).
    Retry {
        /// The longest pause.
        within: Duration,
    },
    /// Split the batch in two, and deliver each half as a batch of its own, in order. If the
    /// failing record is known, the batch is split around it. A batch of one record is retried.
    Split,
    /// Pass the failing record to the [`DeadLetterSink`](crate::policy::DeadLetterSink), and
    /// acknowledge it once the sink took it. A batch of several records is split until the failing
    /// record is known.
    DeadLetter,
    /// Quarantine the failing record's key: this record and all later ones of the key are set
    /// aside, and other keys go on. A batch of several records is split until the failing record is
    /// known.
    Quarantine,
    /// Release the lease. The next owner delivers again what was not acknowledged.
    StopShard,
    /// Stop the worker: `run` returns an error. What was not acknowledged is delivered again later.
    StopWorker,
}

/// Decides what happens after a failure. [`OnError`] is the implementation that most applications
/// need.
///
/// # When it is called
/// Once for each failure of `initialize`, `process_records` or `shard_ended`, of a record's handle,
/// of the factory, or of a read. Not for `lease_lost` and `shutdown_requested`, which are not
/// retried, nor for the dead-letter sink, which is retried until it takes the record.
///
/// # Concurrency
/// One policy is shared by all shards of the worker, and called concurrently, on the runtime that
/// runs the handlers. It must not block.
///
/// # Failures without records
/// [`Decision::Split`], [`Decision::DeadLetter`] and [`Decision::Quarantine`] need records. Without
/// any they mean: retry after at most 30 s.
///
/// # Failed reads
/// A failed read ([`Cause::Read`]) is retried independently of the policy, after pauses of a few
/// seconds, so that reading resumes soon after an outage however long a [`Decision::Retry`] would
/// wait. The policy sees the newest failure, with the number and the age of all failures in a row.
/// [`Decision::StopShard`] and [`Decision::StopWorker`] take effect; a worker that stops for a
/// failed read ends with [`Code::CannotRead`](crate::error::Code::CannotRead) (KCL-0018).
///
/// # Examples
/// ```
/// use kcl_core::policy::{Cause, Decision, ErrorPolicy, Failure};
/// use std::time::Duration;
///
/// /// Gives a record up when its handler panics, and retries everything else.
/// #[derive(Debug)]
/// struct PanicsAreBugs;
///
/// impl ErrorPolicy for PanicsAreBugs {
///     fn decide(&self, failure: &Failure<'_>) -> Decision {
///         match failure.cause {
///             Cause::Panic(_) => Decision::DeadLetter,
///             _ => Decision::Retry { within: Duration::from_secs(u64::from(failure.attempt.min(30))) },
///         }
///     }
///
///     fn may_dead_letter(&self) -> bool {
///         true // a worker without a sink is not built
///     }
/// }
/// ```
pub trait ErrorPolicy: Debug + Send + Sync + 'static {
    /// Decides about one failure. See the trait's documentation.
    fn decide(&self, failure: &Failure<'_>) -> Decision;

    /// Whether this policy may decide [`Decision::DeadLetter`]. If so, `build` fails without a
    /// dead-letter sink. The default is `false`.
    fn may_dead_letter(&self) -> bool {
        false
    }

    /// Whether this policy may decide [`Decision::Quarantine`]. If so, `build` fails for a worker
    /// with a [`CheckpointStore`](crate::CheckpointStore), because a store's one position would
    /// pass the quarantined records. The default is `false`; a [`Decision::Quarantine`] with a
    /// store means: retry after at most 30 s.
    fn may_quarantine(&self) -> bool {
        false
    }

    /// Validates the policy. Called by `build`.
    ///
    /// # Errors
    /// A message for the developer that names the contradictory settings; `build` then fails with
    /// it.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }
}

/// Pauses that double with each failure, up to a longest one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Backoff {
    /// The pause after the first failure.
    pub(crate) first: Duration,
    /// The longest pause.
    pub(crate) longest: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Backoff { first: Duration::from_millis(200), longest: Duration::from_secs(30) }
    }
}

impl Backoff {
    /// The upper bound of the pause after this many failures in a row. Callers draw the pause below
    /// it (full jitter), so that shards that failed together do not retry together.
    pub(crate) fn after(self, failures: u32) -> Duration {
        self.first.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(self.longest)
    }
}
