//! The user's error policy, for one of several streams: what cannot be read there stops nobody else.

use crate::processor::{Cause, Decision, ErrorPolicy, Failure};
use std::sync::Arc;
use std::time::Duration;

/// Between two attempts at most.
const AGAIN: Duration = Duration::from_secs(10);
/// After so long another worker is to try, whose credentials may be better.
const GIVEN_UP: Duration = Duration::from_secs(60);

/// Decides as the user's policy, but that a stream that cannot be read does not stop the worker: its shards are tried again,
/// and given to others after a minute.
#[derive(Debug)]
pub(super) struct Lenient(pub(super) Arc<dyn ErrorPolicy>);

impl ErrorPolicy for Lenient {
    fn decide(&self, failure: &Failure<'_>) -> Decision {
        let decision = self.0.decide(failure);
        let unreadable = matches!(failure.cause, Cause::Read(_)) && decision == Decision::StopWorker;
        match unreadable {
            true if failure.age < GIVEN_UP => Decision::Retry { within: AGAIN },
            true => Decision::StopShard,
            false => decision,
        }
    }

    fn may_dead_letter(&self) -> bool {
        self.0.may_dead_letter()
    }

    fn may_quarantine(&self) -> bool {
        self.0.may_quarantine()
    }

    fn check(&self) -> Result<(), String> {
        self.0.check()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::processor::OnError;
    use crate::record::ShardId;
    use crate::retrieval::ReadError;
    use crate::shard::{ApiError, ApiErrorKind};

    fn decided(cause: &Cause, age: u64) -> Decision {
        let shard = ShardId::from("shardId-000000000000");
        let age = Duration::from_secs(age);
        let failure = Failure { shard: &shard, cause, records: &[], attempt: 3, age, record_age: Duration::ZERO };
        Lenient(Arc::new(OnError::at_once(crate::Last::StopWorker))).decide(&failure)
    }

    #[test]
    fn what_cannot_be_read_is_tried_again_then_by_others_and_stops_nobody() {
        let source = ApiError { kind: ApiErrorKind::Refused, message: "no".to_owned(), source: None };
        let read = Cause::Read(ReadError { shard: ShardId::from("shardId-000000000000"), source });
        assert!(matches!(decided(&read, 59), Decision::Retry { .. }));
        assert_eq!(decided(&read, 60), Decision::StopShard);
    }

    #[test]
    fn what_a_handler_fails_with_is_the_policys_to_decide() {
        assert_eq!(decided(&Cause::Error("no".into()), 0), Decision::StopWorker);
    }
}
