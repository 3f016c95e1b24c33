//! What happens when a callback fails: again, or not any more.

use super::BoxError;
use crate::record::ShardId;
use crate::retrieval::ReadError;
use crate::shard::ApiErrorKind;
use std::fmt::{Debug, Display};
use std::time::Duration;

/// Why a consumer cannot go on.
#[derive(Debug)]
pub(crate) enum Cause {
    /// A callback returned an error.
    Error(BoxError),
    /// A callback panicked, with this message.
    Panic(String),
    /// The shard cannot be read.
    Read(ReadError),
}

impl Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Cause::Error(error) => write!(f, "{error}"),
            Cause::Panic(message) => write!(f, "panic: {message}"),
            Cause::Read(error) => write!(f, "{error}"),
        }
    }
}

/// One failure, as a policy sees it.
#[derive(Debug)]
pub(crate) struct Failure<'a> {
    /// Where.
    #[allow(dead_code, reason = "for policies that tell shards apart")]
    pub(crate) shard: &'a ShardId,
    /// Why.
    pub(crate) cause: &'a Cause,
    /// How many times in a row, this one included.
    pub(crate) attempt: u32,
    /// Since the first of them.
    pub(crate) age: Duration,
}

/// What is done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// The same again, after a random time of at most this (full jitter).
    Retry {
        /// The longest wait.
        within: Duration,
    },
    /// Give the lease up. Nothing that was not acknowledged is passed over: whoever takes it gets it again.
    #[allow(dead_code, reason = "for policies that give up")]
    StopShard,
    /// Stop the worker with an error.
    StopWorker,
}

/// Decides what is done about failures.
pub(crate) trait ErrorPolicy: Debug + Send + Sync + 'static {
    /// Called once a failure.
    fn decide(&self, failure: &Failure<'_>) -> Decision;
}

/// The default: the same batch again, for ever, with backoff. A shard that cannot be read because its stream is gone, or
/// because permission is refused for longer than `refused_for`, stops the worker instead: no retry mends that.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RetryForEver {
    /// The longest wait after the first failure; doubled with each.
    pub(crate) first: Duration,
    /// It never grows beyond this.
    pub(crate) longest: Duration,
    /// How long a refused read is tried again: permissions that were just granted take a moment.
    pub(crate) refused_for: Duration,
}

impl Default for RetryForEver {
    fn default() -> Self {
        RetryForEver {
            first: Duration::from_millis(200),
            longest: Duration::from_secs(30),
            refused_for: Duration::from_secs(5),
        }
    }
}

impl ErrorPolicy for RetryForEver {
    fn decide(&self, failure: &Failure<'_>) -> Decision {
        let retry = Decision::Retry {
            within: self.first.saturating_mul(1 << failure.attempt.saturating_sub(1).min(16)).min(self.longest),
        };
        match failure.cause {
            Cause::Error(_) | Cause::Panic(_) => retry,
            Cause::Read(error) => match error.source.kind {
                ApiErrorKind::NotFound => Decision::StopWorker,
                ApiErrorKind::Refused if failure.age >= self.refused_for => Decision::StopWorker,
                ApiErrorKind::Refused
                | ApiErrorKind::IteratorExpired
                | ApiErrorKind::Throttled
                | ApiErrorKind::NotReady
                | ApiErrorKind::Unavailable => retry,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::ApiError;

    fn decide(cause: &Cause, attempt: u32, age: u64) -> Decision {
        let shard = ShardId::from("shardId-000000000000");
        RetryForEver::default().decide(&Failure { shard: &shard, cause, attempt, age: Duration::from_secs(age) })
    }

    fn within(millis: u64) -> Decision {
        Decision::Retry { within: Duration::from_millis(millis) }
    }

    fn read(kind: ApiErrorKind) -> Cause {
        let source = ApiError { kind, message: "no".to_owned(), source: None };
        Cause::Read(ReadError { shard: ShardId::from("shardId-000000000000"), source })
    }

    #[test]
    fn a_handler_that_fails_is_called_again_for_ever_less_and_less_often() {
        let panic = Cause::Panic("index out of bounds".to_owned());
        let error = Cause::Error("down".into());
        for cause in [panic, error] {
            let waits: Vec<_> = [1, 2, 3, 8, 9, u32::MAX].map(|attempt| decide(&cause, attempt, 1_000_000)).into();
            assert_eq!(waits, [200, 400, 800, 25_600, 30_000, 30_000].map(within));
        }
    }

    #[test]
    fn a_stream_that_is_gone_stops_the_worker() {
        assert_eq!(decide(&read(ApiErrorKind::NotFound), 1, 0), Decision::StopWorker);
    }

    #[test]
    fn a_refused_read_is_tried_again_for_a_moment_and_then_stops_the_worker() {
        assert_eq!(decide(&read(ApiErrorKind::Refused), 1, 0), within(200));
        assert_eq!(decide(&read(ApiErrorKind::Refused), 4, 5), Decision::StopWorker);
    }
}
