//! Implements the standard error policy: limits, backoff, and cases by type of error.

use super::{Backoff, Cause, Decision, ErrorPolicy, Failure};
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What happens after the last attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FinalAction {
    /// Pass the failing record to the dead-letter sink; see [`Decision::DeadLetter`].
    DeadLetter,
    /// Quarantine the failing record's key; see [`Decision::Quarantine`].
    Quarantine,
    /// Release the lease; see [`Decision::StopShard`].
    StopShard,
    /// Stop the worker with an error; see [`Decision::StopWorker`].
    StopWorker,
}

impl From<FinalAction> for Decision {
    fn from(action: FinalAction) -> Self {
        match action {
            FinalAction::DeadLetter => Decision::DeadLetter,
            FinalAction::Quarantine => Decision::Quarantine,
            FinalAction::StopShard => Decision::StopShard,
            FinalAction::StopWorker => Decision::StopWorker,
        }
    }
}

/// Returns whether an error is of some kind.
type Matches = Arc<dyn Fn(&(dyn StdError + 'static)) -> bool + Send + Sync>;

/// The standard [`ErrorPolicy`]: how often, for how long and with which pauses a failed batch is
/// retried, and what happens then.
///
/// By default ([`OnError::retry`]) the same batch is retried without a limit, after random pauses
/// of at most 200 ms at first and 30 s in the end. Every failure is logged, and no record is
/// skipped.
///
/// ```
/// use kcl_core::{FinalAction, OnError};
/// use std::str::Utf8Error;
/// use std::time::Duration;
///
/// let policy = OnError::retry()
///     .max_attempts(5)
///     .max_record_age(Duration::from_secs(3_600))
///     .then(FinalAction::DeadLetter)
///     // Retrying does not make it UTF-8. (A derived processor fails with `kcl_core::DecodeError`.)
///     .when::<Utf8Error>(OnError::at_once(FinalAction::DeadLetter));
/// # drop(policy);
/// ```
///
/// # Retry without a limit
/// - The same batch is delivered again until the handler succeeds.
/// - Holds: order; no record is skipped.
/// - Costs: a poison record blocks its shard. Choose it if failures are transient.
///
/// # Dead-letter queue ([`FinalAction::DeadLetter`])
/// - The batch is split until the failing record is alone; the sink takes it; it is acknowledged.
/// - Holds: the checkpoint passes the record only after the sink took it.
/// - Costs: later records of the same key are handled without it. Somebody has to read the sink.
///
/// # Quarantine ([`FinalAction::Quarantine`])
/// - The batch is split until the failing record is alone. The record and all later ones of its key
///   are set aside, named in the lease's row, until somebody resumes or dead-letters the key; other
///   keys go on.
/// - Holds: order within each key. A record is lost only if the stream's retention ends before its
///   key is resumed; a log line warns before that.
/// - Costs: at most `max_quarantined` records per shard (100 by default; and at most 200 KB), then
///   the shard waits. The lease table stores the partition key and the beginning of the error
///   meanwhile, including any personal data in them.
///
/// # Stop ([`FinalAction::StopShard`], [`FinalAction::StopWorker`])
/// - The lease is released where it is, or `run` returns an error.
/// - Holds: no record is skipped.
/// - Costs: another worker, or a later attempt, has to succeed where this one failed.
///
/// # Shards that cannot be read
/// A shard that cannot be read is retried without a limit, independently of the rules for handlers:
/// Kinesis refuses the calls (a permission, credentials, a KMS key, a deleted stream) or does not
/// answer. Most such outages end by themselves, and stopping the worker would not end them. Reading
/// resumes within 5 s of the end of an outage. Set an alarm on the metric `kcl.leases.unreadable`;
/// a log line is repeated each minute. To stop the worker instead, use
/// [`when_unreadable`](Self::when_unreadable).
#[derive(Clone)]
pub struct OnError {
    backoff: Backoff,
    max_attempts: Option<u32>,
    max_record_age: Option<Duration>,
    split_after: Option<u32>,
    final_action: Option<FinalAction>,
    terminal: Option<Matches>,
    cases: Vec<Case>,
    unreadable: Option<(Duration, FinalAction)>,
}

#[derive(Clone)]
struct Case {
    matches: On,
    policy: OnError,
}

#[derive(Clone)]
enum On {
    Error(Matches),
    Panic,
    TimedOut,
}

impl Default for OnError {
    fn default() -> Self {
        OnError::retry()
    }
}

impl OnError {
    /// Retries the same batch without a limit.
    #[must_use]
    pub fn retry() -> Self {
        OnError {
            backoff: Backoff::default(),
            max_attempts: None,
            max_record_age: None,
            split_after: None,
            final_action: None,
            terminal: None,
            cases: Vec::new(),
            unreadable: None,
        }
    }

    /// Does not retry: `action` follows the first failure.
    #[must_use]
    pub fn at_once(action: FinalAction) -> Self {
        OnError { max_attempts: Some(1), final_action: Some(action), ..OnError::retry() }
    }

    /// Sets the longest pause after the first failure (200 ms by default), which doubles with each
    /// failure, and the longest pause of all (30 s by default). Pauses are drawn between zero and
    /// that bound (full jitter).
    #[must_use]
    pub fn backoff(mut self, first: Duration, longest: Duration) -> Self {
        self.backoff = Backoff { first, longest };
        self
    }

    /// Limits how often a batch, or a part of one that was split, is delivered, the first time
    /// included. No limit by default. Needs [`then`](Self::then).
    #[must_use]
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = Some(attempts);
        self
    }

    /// Limits the age at which a record is retried, counted from its arrival in the stream. No
    /// limit by default. Needs [`then`](Self::then).
    #[must_use]
    pub fn max_record_age(mut self, age: Duration) -> Self {
        self.max_record_age = Some(age);
        self
    }

    /// Sets what happens when the limit on attempts or age is reached, or the error is
    /// [terminal](Self::terminal_if).
    #[must_use]
    pub fn then(mut self, action: FinalAction) -> Self {
        self.final_action = Some(action);
        self
    }

    /// Splits a batch in two after this many failures, so that the records that can be handled are
    /// handled. Meant for handlers that fail a whole batch because of one record, together with
    /// retries without a limit. (With a final action, a batch is split after the last attempt
    /// anyway.)
    #[must_use]
    pub fn split_after(mut self, failures: u32) -> Self {
        self.split_after = Some(failures);
        self
    }

    /// Does not retry errors for which `is_terminal` returns `true`: the action of
    /// [`then`](Self::then) follows at once.
    #[must_use]
    pub fn terminal_if(
        mut self,
        is_terminal: impl Fn(&(dyn StdError + 'static)) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.terminal = Some(Arc::new(is_terminal));
        self
    }

    /// Uses another policy for errors that are an `E`, or have an `E` among their
    /// [sources](StdError::source). If several cases match, the first one is used.
    #[must_use]
    pub fn when<E: StdError + 'static>(self, policy: OnError) -> Self {
        self.case(On::Error(Arc::new(|error| chain(error).any(|error| error.is::<E>()))), policy)
    }

    /// Uses another policy for panics.
    #[must_use]
    pub fn when_panicked(self, policy: OnError) -> Self {
        self.case(On::Panic, policy)
    }

    /// Uses another policy for handlers that exceeded the setting `handler_timeout`.
    #[must_use]
    pub fn when_timed_out(self, policy: OnError) -> Self {
        self.case(On::TimedOut, policy)
    }

    /// Stops when a shard could not be read for this long, for whatever reason. By default reads
    /// are retried without a limit. The time counts from the first refused read, or from 30 s after
    /// Kinesis stopped answering.
    ///
    /// - [`FinalAction::StopShard`] releases the lease.
    /// - [`FinalAction::StopWorker`] stops the worker with KCL-0018. Choose it if a supervisor
    ///   restarts the process *and* a new process may have what this one lacks, such as fresh
    ///   credentials. An outage of Kinesis then stops all workers of the fleet.
    /// - [`FinalAction::DeadLetter`] and [`FinalAction::Quarantine`] apply to records; `build`
    ///   refuses them here.
    ///
    /// ```
    /// use kcl_core::{FinalAction, OnError};
    /// use std::time::Duration;
    ///
    /// let policy = OnError::retry().when_unreadable(Duration::from_secs(900), FinalAction::StopWorker);
    /// # drop(policy);
    /// ```
    #[must_use]
    pub fn when_unreadable(mut self, after: Duration, action: FinalAction) -> Self {
        self.unreadable = Some((after, action));
        self
    }

    fn case(mut self, matches: On, policy: OnError) -> Self {
        self.cases.push(Case { matches, policy });
        self
    }

    fn for_cause(&self, cause: &Cause) -> &OnError {
        let fits = |case: &&Case| match (&case.matches, cause) {
            (On::Error(matches), Cause::Error(error)) => matches(error.as_ref()),
            (On::Panic, Cause::Panic(_)) | (On::TimedOut, Cause::TimedOut(_)) => true,
            (On::Error(_) | On::Panic | On::TimedOut, _) => false,
        };
        // A case's policy may have cases of its own.
        self.cases.iter().find(fits).map_or(self, |case| case.policy.for_cause(cause))
    }

    fn is_exhausted(&self, failure: &Failure<'_>) -> bool {
        let terminal = match (&self.terminal, failure.cause) {
            (Some(is_terminal), Cause::Error(error)) => is_terminal(error.as_ref()),
            _ => false,
        };
        terminal
            || self.max_attempts.is_some_and(|most| failure.attempt >= most)
            || self.max_record_age.is_some_and(|most| !failure.records.is_empty() && failure.record_age >= most)
    }

    fn on_read(&self, failure: &Failure<'_>) -> Decision {
        match self.unreadable {
            Some((after, action)) if failure.age >= after => action.into(),
            Some(_) | None => Decision::Retry { within: self.backoff.after(failure.attempt) },
        }
    }
}

/// An error and its sources.
fn chain<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn StdError + 'static)| (*error).source())
}

impl ErrorPolicy for OnError {
    fn decide(&self, failure: &Failure<'_>) -> Decision {
        if let Cause::Read(_) = failure.cause {
            return self.on_read(failure);
        }
        let policy = self.for_cause(failure.cause);
        if let Some(action) = policy.final_action.filter(|_| policy.is_exhausted(failure)) {
            return action.into();
        }
        if failure.records.len() > 1 && policy.split_after.is_some_and(|after| failure.attempt >= after) {
            return Decision::Split;
        }
        Decision::Retry { within: policy.backoff.after(failure.attempt) }
    }

    fn may_dead_letter(&self) -> bool {
        self.final_action == Some(FinalAction::DeadLetter)
            || self.cases.iter().any(|case| case.policy.may_dead_letter())
    }

    fn may_quarantine(&self) -> bool {
        self.final_action == Some(FinalAction::Quarantine) || self.cases.iter().any(|case| case.policy.may_quarantine())
    }

    fn check(&self) -> Result<(), String> {
        let wrong = if self.max_attempts == Some(0) {
            "`max_attempts` is 0: it must be at least 1"
        } else if self.split_after == Some(0) {
            "`split_after` is 0: it must be at least 1"
        } else if self.backoff.first.is_zero() {
            "`backoff` has a first pause of zero: a failing handler would be called in a busy loop"
        } else if self.backoff.longest < self.backoff.first {
            "`backoff` has a longest pause that is shorter than the first one"
        } else if self.final_action.is_none() && (self.max_attempts.is_some() || self.max_record_age.is_some()) {
            "`max_attempts` or `max_record_age` without `then`: set the final action"
        } else if let Some((_, FinalAction::DeadLetter | FinalAction::Quarantine)) = self.unreadable {
            "`when_unreadable` with dead-letter or quarantine: a failed read has no record, use `StopShard` or `StopWorker`"
        } else if self.cases.iter().any(|case| case.policy.unreadable.is_some()) {
            "`when_unreadable` on the policy of a case: a case never matches a failed read, set it on the outermost policy"
        } else if self.final_action.is_none() && self.terminal.is_some() {
            "`terminal_if` without `then`: set the final action"
        } else {
            return self.cases.iter().try_for_each(|case| case.policy.check());
        };
        Err(wrong.to_owned())
    }
}

impl fmt::Debug for OnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnError")
            .field("backoff", &self.backoff)
            .field("max_attempts", &self.max_attempts)
            .field("max_record_age", &self.max_record_age)
            .field("split_after", &self.split_after)
            .field("final_action", &self.final_action)
            .field("unreadable", &self.unreadable)
            .field("cases", &self.cases.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
