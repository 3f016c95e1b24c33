//! The error policy that most need, as a value.

use super::{Backoff, Cause, Decision, ErrorPolicy, Failure};
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What is done when trying again is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FinalAction {
    /// The failing record goes to the dead-letter sink; see [`Decision::DeadLetter`].
    DeadLetter,
    /// The failing record's key is parked; see [`Decision::Quarantine`].
    Quarantine,
    /// The lease is given up.
    StopShard,
    /// The worker stops with an error.
    StopWorker,
}

impl From<FinalAction> for Decision {
    fn from(last: FinalAction) -> Self {
        match last {
            FinalAction::DeadLetter => Decision::DeadLetter,
            FinalAction::Quarantine => Decision::Quarantine,
            FinalAction::StopShard => Decision::StopShard,
            FinalAction::StopWorker => Decision::StopWorker,
        }
    }
}

/// Answers whether an error is of a kind.
type Matches = Arc<dyn Fn(&(dyn StdError + 'static)) -> bool + Send + Sync>;

/// What is done about failures: how often, how long and with which pauses the same is tried again, and what then.
///
/// By default the same batch comes again for ever, after random pauses of at most 200 ms at first and 30 s in the end, and
/// every failure is logged: no record is passed over.
///
/// A shard that cannot be read (the service refuses: a permission, credentials, a KMS key, a stream that is gone; or does not
/// answer) is read again for ever as well, whatever is said here of handlers: most such outages end by themselves, and ending
/// the worker would end them for no shard. The pauses between reads grow to a few seconds and do not depend on the policy, so
/// reading resumes within 5 s of the end of an outage. The metric `kcl.leases.unreadable` and a log line a minute are the alarm.
/// Whoever wants the worker to stop instead says so: [`when_unreadable`](Self::when_unreadable).
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
///     // What is no text will not be text the next time. (A derived consumer fails with `kcl_core::DecodeError`.)
///     .when::<Utf8Error>(OnError::at_once(FinalAction::DeadLetter));
/// # drop(policy);
/// ```
///
/// | | expected flow | guarantees | assumes |
/// |---|---|---|---|
/// | [`retry`](Self::retry) | the same batch again, until the handler is done with it | order; nothing passed over; a shard with a record that always fails stands | failures pass |
/// | [`FinalAction::DeadLetter`] | the batch is split down to the failing record, the sink acquires it, it is acknowledged | the position passes it only when the sink took it; order otherwise | somebody reads the sink; later records of the key may go on without it |
/// | [`FinalAction::Quarantine`] | the same, but the key is parked: this record and all later ones of its key | order within the key; nothing lost until the stream's retention ends; other keys go on | somebody resumes the key, or has it dead-lettered; at most `max_quarantined` records a shard (and 200 KB), then the shard waits; the lease table keeps the partition key and the begin of the error for as long, so personal data in keys is there too |
/// | [`FinalAction::StopShard`] | the lease is given up | nothing passed over | another worker, or a later attempt, has better luck |
/// | [`FinalAction::StopWorker`] | `run` returns an error | nothing passed over | somebody looks |
#[derive(Clone)]
pub struct OnError {
    backoff: Backoff,
    max_attempts: Option<u32>,
    max_record_age: Option<Duration>,
    split_after: Option<u32>,
    last: Option<FinalAction>,
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
    /// The same batch again, for ever.
    #[must_use]
    pub fn retry() -> Self {
        OnError {
            backoff: Backoff::default(),
            max_attempts: None,
            max_record_age: None,
            split_after: None,
            last: None,
            terminal: None,
            cases: Vec::new(),
            unreadable: None,
        }
    }

    /// No second attempt.
    #[must_use]
    pub fn at_once(last: FinalAction) -> Self {
        OnError { max_attempts: Some(1), last: Some(last), ..OnError::retry() }
    }

    /// The longest pause after the first failure (200 ms by default), doubled with each, and the longest of all (30 s).
    /// Pauses are drawn between zero and these (full jitter).
    #[must_use]
    pub fn backoff(mut self, first: Duration, longest: Duration) -> Self {
        self.backoff = Backoff { first, longest };
        self
    }

    /// How often a batch, or a part of one that was split, is tried, the first time included. Needs [`then`](Self::then).
    #[must_use]
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = Some(attempts);
        self
    }

    /// How old a record may be that is tried again, counted from its arrival in the stream. Needs [`then`](Self::then).
    #[must_use]
    pub fn max_record_age(mut self, age: Duration) -> Self {
        self.max_record_age = Some(age);
        self
    }

    /// What is done when attempts or age are used up, or the error is [terminal](Self::terminal_if).
    #[must_use]
    pub fn then(mut self, last: FinalAction) -> Self {
        self.last = Some(last);
        self
    }

    /// After so many failures a batch is split, so that those of its records that can be handled are: for handlers that
    /// fail as a whole because of one record, and where that record may be tried for ever.
    #[must_use]
    pub fn split_after(mut self, failures: u32) -> Self {
        self.split_after = Some(failures);
        self
    }

    /// Errors for which trying again is of no use: they go straight to what [`then`](Self::then) says.
    #[must_use]
    pub fn terminal_if(
        mut self,
        is_terminal: impl Fn(&(dyn StdError + 'static)) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.terminal = Some(Arc::new(is_terminal));
        self
    }

    /// Another policy for errors that are, or were caused by, an `E`. The first that fits counts.
    #[must_use]
    pub fn when<E: StdError + 'static>(self, policy: OnError) -> Self {
        self.case(On::Error(Arc::new(|error| chain(error).any(|error| error.is::<E>()))), policy)
    }

    /// Another policy for panics.
    #[must_use]
    pub fn when_panicked(self, policy: OnError) -> Self {
        self.case(On::Panic, policy)
    }

    /// Another policy for handlers that took longer than the setting `handler_timeout`.
    #[must_use]
    pub fn when_timed_out(self, policy: OnError) -> Self {
        self.case(On::TimedOut, policy)
    }

    /// What is done about a shard that could not be read for so long, for whatever reason. Without it reads are tried again for
    /// ever. Counts from the first refused read; a service that does not answer at all is counted from half a minute later on.
    ///
    /// [`FinalAction::StopShard`] yields the lease up. [`FinalAction::StopWorker`] ends the worker with KCL-0018: choose it where a supervisor
    /// starts the process again *and* a new process may have what this one lacks, such as fresh credentials. An outage of
    /// Kinesis ends all workers of the fleet that way. [`FinalAction::DeadLetter`] and [`FinalAction::Quarantine`] are for records, and refused.
    ///
    /// ```
    /// use kcl_core::{FinalAction, OnError};
    /// use std::time::Duration;
    ///
    /// let policy = OnError::retry().when_unreadable(Duration::from_secs(900), FinalAction::StopWorker);
    /// # drop(policy);
    /// ```
    #[must_use]
    pub fn when_unreadable(mut self, after: Duration, last: FinalAction) -> Self {
        self.unreadable = Some((after, last));
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
        // A policy for a case may have cases of its own.
        self.cases.iter().find(fits).map_or(self, |case| case.policy.for_cause(cause))
    }

    fn is_used_up(&self, failure: &Failure<'_>) -> bool {
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
            Some((after, last)) if failure.age >= after => last.into(),
            Some(_) | None => Decision::Retry { within: self.backoff.after(failure.attempt) },
        }
    }
}

/// An error and what caused it.
fn chain<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn StdError + 'static)| (*error).source())
}

impl ErrorPolicy for OnError {
    fn decide(&self, failure: &Failure<'_>) -> Decision {
        if let Cause::Read(_) = failure.cause {
            return self.on_read(failure);
        }
        let policy = self.for_cause(failure.cause);
        if let Some(last) = policy.last.filter(|_| policy.is_used_up(failure)) {
            return last.into();
        }
        if failure.records.len() > 1 && policy.split_after.is_some_and(|after| failure.attempt >= after) {
            return Decision::Split;
        }
        Decision::Retry { within: policy.backoff.after(failure.attempt) }
    }

    fn may_dead_letter(&self) -> bool {
        self.last == Some(FinalAction::DeadLetter) || self.cases.iter().any(|case| case.policy.may_dead_letter())
    }

    fn may_quarantine(&self) -> bool {
        self.last == Some(FinalAction::Quarantine) || self.cases.iter().any(|case| case.policy.may_quarantine())
    }

    fn check(&self) -> Result<(), String> {
        let wrong = if self.max_attempts == Some(0) {
            "`max_attempts` is 0: a record is tried once at least"
        } else if self.split_after == Some(0) {
            "`split_after` is 0: a batch is tried once at least"
        } else if self.backoff.first.is_zero() {
            "the first pause is zero: a failing handler would be called without a rest"
        } else if self.backoff.longest < self.backoff.first {
            "the longest pause is shorter than the first"
        } else if self.last.is_none() && (self.max_attempts.is_some() || self.max_record_age.is_some()) {
            "`max_attempts` or `max_record_age` without `then`: say what is done when they are used up"
        } else if let Some((_, FinalAction::DeadLetter | FinalAction::Quarantine)) = self.unreadable {
            "`when_unreadable` with dead letters or quarantine: there is no record to put there, stop the shard or the worker"
        } else if self.cases.iter().any(|case| case.policy.unreadable.is_some()) {
            "`when_unreadable` within `when...`: no read fails with a handler's error, say it of the whole policy"
        } else if self.last.is_none() && self.terminal.is_some() {
            "`terminal_if` without `then`: say what is done about such an error"
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
            .field("last", &self.last)
            .field("unreadable", &self.unreadable)
            .field("cases", &self.cases.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
