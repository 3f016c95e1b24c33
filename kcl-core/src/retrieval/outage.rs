//! Tracks whether a shard's reads fail: since when, how often, why, and the one failure that its consumer has not judged yet.
//!
//! The fetching task writes it, a lane of the consumer acquires the failure, and the owner of the lease reads it for its alarm.
//! There is at most one failure, the newest; the next chunk that is read removes it. So a consumer that was busy, or a policy
//! that is slow, never judges an error of an outage that is over.

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
    /// A read was answered, since the lease was claimed.
    answered: AtomicBool,
    /// Notified when there is a failure to judge.
    failed: Notify,
}

/// Reads that fail, in a row.
#[derive(Debug)]
struct Ongoing {
    since: Time,
    attempts: u32,
    kind: ApiErrorKind,
    message: String,
    pending: Option<ReadError>,
}

/// A read that failed, for the consumer to judge.
#[derive(Debug)]
pub(crate) struct FailedRead {
    pub(crate) error: ReadError,
    /// How many times in a row, this one included.
    pub(crate) attempt: u32,
    /// When the first of them was.
    pub(crate) since: Time,
}

/// Why a shard is not read, for the owner of its lease.
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

    /// The outage as the next consumer of the same lease begins with it: as old as it is, and nothing to judge.
    pub(crate) fn going_on(&self) -> Self {
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

    /// A read failed. What was not judged before is replaced.
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

    /// A read was answered.
    pub(crate) fn over(&self) {
        *self.lock() = None;
        self.answered.store(true, Ordering::Relaxed);
    }

    /// Whether a read was answered since the lease was claimed.
    pub(crate) fn was_answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    /// The failure that was not judged yet, if the outage still lasts.
    pub(crate) fn take(&self) -> Option<FailedRead> {
        let mut ongoing = self.lock();
        let ongoing = ongoing.as_mut()?;
        let error = ongoing.pending.take()?;
        Some(FailedRead { error, attempt: ongoing.attempts, since: ongoing.since })
    }

    /// The next failure to judge. Cancelled without a loss.
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

    /// Since when reads fail, and why; nothing where they do not.
    pub(crate) fn seen(&self) -> Option<Unreadable> {
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
        let source = ApiError { kind: ApiErrorKind::Refused, message: message.to_owned(), source: None };
        ReadError { shard: ShardId::from("shardId-000000000000"), source }
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_newest_failure_is_judged_with_its_count_and_the_outages_age() {
        let outage = ReadOutage::new(Arc::new(TokioClock::new()));
        for message in ["first", "second", "third"] {
            outage.failed(error(message));
            advance(Duration::from_secs(10)).await;
        }
        let failed = outage.take().unwrap();
        assert_eq!((failed.attempt, failed.since), (3, Time::ZERO));
        assert!(failed.error.to_string().ends_with("third"), "{}", failed.error);
        assert!(outage.take().is_none(), "it is judged once");
        assert_eq!(outage.seen().map(|seen| seen.since), Some(Time::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_that_is_answered_removes_what_was_not_judged() {
        let outage = ReadOutage::new(Arc::new(TokioClock::new()));
        outage.failed(error("no"));
        outage.over();
        assert!(outage.take().is_none());
        assert_eq!(outage.seen(), None);
        outage.failed(error("no"));
        assert_eq!(outage.take().unwrap().attempt, 1, "another outage is counted anew");
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_consumer_goes_on_with_the_same_outage() {
        let outage = ReadOutage::new(Arc::new(TokioClock::new()));
        outage.failed(error("no"));
        advance(Duration::from_secs(5)).await;
        let next = outage.going_on();
        assert!(next.take().is_none());
        assert_eq!(next.seen(), outage.seen());
    }
}
