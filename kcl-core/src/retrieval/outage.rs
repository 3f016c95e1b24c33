//! Tracks whether a shard's reads fail: since when, how often, why, and the latest failure that its
//! consumer has not processed.
//!
//! The fetching task writes it, a lane of the consumer takes the failure, and the owner of the
//! lease reads it for its alarm. It keeps at most one failure, the newest; the next successful read
//! removes it. So a busy consumer or a slow error policy never decides about an error of an outage
//! that has ended.

use super::ReadError;
use crate::clock::{Clock, Time};
use crate::shard::ApiErrorKind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct ReadOutage {
    clock: Arc<dyn Clock>,
    ongoing: Mutex<Option<Ongoing>>,
    /// True if a read has succeeded since the lease was claimed.
    answered: AtomicBool,
    /// Notified when there is a failure to process.
    failed: Notify,
}

/// Consecutive failed reads.
#[derive(Debug)]
struct Ongoing {
    since: Time,
    attempts: u32,
    kind: ApiErrorKind,
    message: String,
    pending: Option<ReadError>,
}

/// A failed read, for the consumer's error policy.
#[derive(Debug)]
pub(crate) struct FailedRead {
    pub(crate) error: ReadError,
    /// The number of consecutive failures, including this one.
    pub(crate) attempt: u32,
    /// When the first of them failed.
    pub(crate) since: Time,
}

/// Why a shard cannot be read, for the owner of its lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unreadable {
    pub(crate) since: Time,
    pub(crate) kind: ApiErrorKind,
    pub(crate) message: String,
}

impl ReadOutage {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        ReadOutage { clock, ongoing: Mutex::default(), answered: AtomicBool::new(false), failed: Notify::new() }
    }

    /// Returns the outage for the next consumer of the same lease: with its age, but without a
    /// failure to process.
    pub(crate) fn continued(&self) -> Self {
        let ongoing = self.lock().as_ref().map(|ongoing| Ongoing {
            since: ongoing.since,
            attempts: ongoing.attempts,
            kind: ongoing.kind,
            message: ongoing.message.clone(),
            pending: None,
        });
        let answered = AtomicBool::new(self.was_answered());
        ReadOutage { clock: Arc::clone(&self.clock), ongoing: Mutex::new(ongoing), answered, failed: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Ongoing>> {
        self.ongoing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a failed read. It replaces an unprocessed earlier failure.
    pub(crate) fn failed(&self, error: ReadError) {
        let mut ongoing = self.lock();
        let (since, attempts) =
            ongoing.as_ref().map_or((self.clock.now(), 0), |ongoing| (ongoing.since, ongoing.attempts));
        *ongoing = Some(Ongoing {
            since,
            attempts: attempts.saturating_add(1),
            kind: error.source.kind,
            message: error.to_string(),
            pending: Some(error),
        });
        drop(ongoing);
        self.failed.notify_waiters();
    }

    /// Records a successful read.
    pub(crate) fn succeeded(&self) {
        *self.lock() = None;
        self.answered.store(true, Ordering::Relaxed);
    }

    /// True if a read has succeeded since the lease was claimed.
    pub(crate) fn was_answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    /// Takes the unprocessed failure, if the outage still lasts.
    pub(crate) fn take(&self) -> Option<FailedRead> {
        let mut ongoing = self.lock();
        let ongoing = ongoing.as_mut()?;
        let error = ongoing.pending.take()?;
        Some(FailedRead { error, attempt: ongoing.attempts, since: ongoing.since })
    }

    /// Waits for the next unprocessed failure. Cancel safe.
    pub(crate) async fn next(&self) -> FailedRead {
        loop {
            let failed = self.failed.notified();
            tokio::pin!(failed);
            failed.as_mut().enable();
            if let Some(failed) = self.take() {
                return failed;
            }
            failed.await;
        }
    }

    /// Returns since when and why reads fail; `None` if they succeed.
    pub(crate) fn current(&self) -> Option<Unreadable> {
        self.lock().as_ref().map(|ongoing| Unreadable {
            since: ongoing.since,
            kind: ongoing.kind,
            message: ongoing.message.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::TokioClock;
    use crate::record::ShardId;
    use crate::shard::ApiError;
    use std::time::Duration;
    use tokio::time::advance;

    fn error(message: &str) -> ReadError {
        let source = ApiError { kind: ApiErrorKind::Refused, message: message.to_owned(), code: None, source: None };
        ReadError { shard: ShardId::from("shardId-000000000000"), source }
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_newest_failure_is_taken_with_its_count_and_the_outages_age() {
        let outage = ReadOutage::new(Arc::new(TokioClock::new()));
        for message in ["first", "second", "third"] {
            outage.failed(error(message));
            advance(Duration::from_secs(10)).await;
        }
        let failed = outage.take().unwrap();
        assert_eq!((failed.attempt, failed.since), (3, Time::ZERO));
        assert!(failed.error.to_string().ends_with("third"), "{}", failed.error);
        assert!(outage.take().is_none(), "it is taken once");
        assert_eq!(outage.current().map(|seen| seen.since), Some(Time::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn a_successful_read_removes_the_unprocessed_failure() {
        let outage = ReadOutage::new(Arc::new(TokioClock::new()));
        outage.failed(error("no"));
        outage.succeeded();
        assert!(outage.take().is_none());
        assert_eq!(outage.current(), None);
        outage.failed(error("no"));
        assert_eq!(outage.take().unwrap().attempt, 1, "the next outage starts its own count");
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_consumer_inherits_the_outage() {
        let outage = ReadOutage::new(Arc::new(TokioClock::new()));
        outage.failed(error("no"));
        advance(Duration::from_secs(5)).await;
        let next = outage.continued();
        assert!(next.take().is_none());
        assert_eq!(next.current(), outage.current());
    }
}
