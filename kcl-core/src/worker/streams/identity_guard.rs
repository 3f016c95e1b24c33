//! Detects that a stream was deleted and created again under its name while a worker reads it.
//!
//! Another stream refuses iterators and sequence numbers of the old one. It does not refuse a list
//! of shards, or a read from the beginning of a shard or from a timestamp. After such an answer the
//! guard asks Kinesis for the stream's creation time. If that is the old one, the answer came from
//! the old stream.

use super::registry::{DESCRIBE, Registry};
use crate::record::{StartingPosition, StreamId, StreamIdentity};
use crate::retrieval::with_call_deadline;
use crate::shard::{ApiError, ApiErrorKind, Shard, StreamApi};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// The pause between two questions: an account may call DescribeStreamSummary 20 times per second,
/// and one answer covers all shards.
const PACE: Duration = Duration::from_secs(1);

/// See the module documentation.
#[derive(Debug)]
pub(super) struct IdentityGuard {
    pub(super) api: Arc<dyn StreamApi>,
    pub(super) stream: StreamId,
    identity: StreamIdentity,
    registry: Weak<Registry>,
    /// When the last question was sent that showed the stream to be the same.
    known: tokio::sync::Mutex<Known>,
    /// The newest creation second of a shard without parents that is known to belong to this
    /// stream.
    newest: Mutex<u64>,
}

#[derive(Debug)]
struct Known {
    same: Instant,
    asked: Instant,
}

impl IdentityGuard {
    /// Guards a stream that was just described.
    pub(super) fn new(
        api: Arc<dyn StreamApi>,
        stream: StreamId,
        identity: StreamIdentity,
        registry: Weak<Registry>,
    ) -> Self {
        let newest = Mutex::new(u64::try_from(identity.created_at).unwrap_or_default());
        let (same, asked) = (Instant::now(), Instant::now());
        let known = tokio::sync::Mutex::new(Known { same, asked });
        IdentityGuard { api, stream, identity, registry, known, newest }
    }

    /// Called when Kinesis reports that the stream does not exist.
    pub(super) fn is_missing(&self) {
        if let Some(registry) = self.registry.upgrade() {
            registry.on_missing(&self.stream);
        }
    }

    /// Called with the answer to a reader that starts at `from`.
    pub(super) async fn after_start<T>(
        &self,
        from: &StartingPosition,
        answer: Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        let doubtful = match (&answer, from) {
            (Ok(_), StartingPosition::TrimHorizon | StartingPosition::AtTimestamp(_)) => true,
            (Ok(_), StartingPosition::At(_) | StartingPosition::After(_)) => false,
            // A stream refuses the position of another stream like any invalid one.
            (Err(error), _) => matches!(error.kind, ApiErrorKind::Refused | ApiErrorKind::PositionRefused),
        };
        if doubtful {
            self.ask().await?;
        }
        answer
    }

    /// Called with a list of shards.
    pub(super) async fn after_list(&self, shards: &[Shard]) -> Result<(), ApiError> {
        let newest = newest_root(shards);
        if newest.is_none_or(|newest| newest <= *self.lock_newest()) {
            return Ok(());
        }
        self.ask().await?;
        if let Some(newest) = newest {
            let mut known = self.lock_newest();
            *known = newest.max(*known);
        }
        Ok(())
    }

    /// Asks which stream has the name, unless that was asked after this call began.
    pub(super) async fn ask(&self) -> Result<(), ApiError> {
        if mutated!(TrustsNames) {
            return Ok(());
        }
        let called = Instant::now();
        let mut known = self.known.lock().await;
        if known.same > called {
            return Ok(());
        }
        sleep_until(known.asked + PACE).await;
        known.asked = Instant::now();
        match with_call_deadline(|| DESCRIBE.to_owned(), self.api.describe()).await {
            Ok(description) if description.identity == self.identity => {
                known.same = known.asked;
                Ok(())
            }
            Ok(description) => {
                let message = format!("stream `{}` was deleted and created again under its name", self.identity.arn);
                if let Some(registry) = self.registry.upgrade() {
                    registry.on_made_again(&self.stream, description);
                }
                Err(ApiError { kind: ApiErrorKind::NotFound, message, code: None, source: None })
            }
            Err(error) if error.kind == ApiErrorKind::NotFound => {
                self.is_missing();
                Err(error)
            }
            // Without an answer the reader might read another stream without notice, so the read
            // fails.
            Err(error) => Err(error),
        }
    }

    fn lock_newest(&self) -> std::sync::MutexGuard<'_, u64> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The newest creation time of a shard without parents. Such shards are created with their stream,
/// and never later.
fn newest_root(shards: &[Shard]) -> Option<u64> {
    let roots = shards.iter().filter(|shard| shard.parents.is_empty());
    roots.filter_map(|shard| shard.starting_sequence_number.as_ref()?.shard_created_second()).max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{SequenceNumber, ShardId};
    use crate::shard::{FanOutApi, Fetched, ListWhich, Listing, StreamDescription};
    use async_trait::async_trait;
    use std::sync::atomic::{AtomicU32, Ordering};

    const ARN: &str = "arn:aws:kinesis:us-east-1:000000000000:stream/orders";
    /// The creation second of the stream's shard, which is part of its sequence numbers.
    const MADE: i64 = 0x5bf4_e5c2;
    const NUMBER: &str = "49590338271490256608559692538361571095921575989136588898";

    /// A stream that returns its creation time, or an error.
    #[derive(Debug)]
    struct FakeStream {
        created_at: Mutex<Option<i64>>,
        asked: AtomicU32,
    }

    #[async_trait]
    impl StreamApi for FakeStream {
        async fn describe(&self) -> Result<StreamDescription, ApiError> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            let created_at = self.created_at.lock().unwrap().ok_or_else(|| error(ApiErrorKind::Throttled))?;
            let identity = StreamIdentity { arn: ARN.to_owned(), created_at };
            Ok(StreamDescription { identity, retention_hours: 24, open_shards: 1, keyed: true })
        }

        async fn list_shards(&self, _: ListWhich) -> Result<Listing, ApiError> {
            unreachable!()
        }

        async fn shard_iterator(&self, _: &ShardId, _: &StartingPosition) -> Result<String, ApiError> {
            unreachable!()
        }

        async fn get_records(&self, _: &str, _: u32) -> Result<Fetched, ApiError> {
            unreachable!()
        }

        fn fan_out(&self) -> Option<Arc<dyn FanOutApi>> {
            None
        }
    }

    fn error(kind: ApiErrorKind) -> ApiError {
        ApiError { kind, message: "no".to_owned(), code: None, source: None }
    }

    fn of(created_at: i64) -> (Arc<FakeStream>, IdentityGuard) {
        let stream_api = Arc::new(FakeStream { created_at: Mutex::new(Some(created_at)), asked: AtomicU32::new(0) });
        let identity = StreamIdentity { arn: ARN.to_owned(), created_at };
        let stream = identity.id().unwrap();
        (stream_api.clone(), IdentityGuard::new(stream_api, stream, identity, Weak::new()))
    }

    fn listing(parents: &[&str]) -> [Shard; 1] {
        let parents = parents.iter().map(|id| ShardId::from(*id)).collect();
        let (id, number) = (ShardId::from("shardId-000000000000"), SequenceNumber::parse(NUMBER).ok());
        let shard = Shard { id, parents, hash_range: None, starting_sequence_number: number, closed: false };
        [shard]
    }

    fn after() -> StartingPosition {
        StartingPosition::At(SequenceNumber::parse(NUMBER).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_of_the_streams_own_shards_needs_no_question() {
        let (stream_api, guard) = of(MADE);
        guard.after_list(&listing(&[])).await.unwrap();
        let (older, guard_of_older) = of(MADE - 1_000);
        guard_of_older.after_list(&listing(&["shardId-000000000007"])).await.unwrap();
        assert_eq!((stream_api.asked.load(Ordering::Relaxed), older.asked.load(Ordering::Relaxed)), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_shard_without_parents_that_is_newer_than_its_stream_causes_one_question() {
        let (stream_api, guard) = of(MADE - 1_000);
        for _ in 0..3 {
            guard.after_list(&listing(&[])).await.unwrap();
        }
        assert_eq!(stream_api.asked.load(Ordering::Relaxed), 1, "the stream is the same");
        let (stream_api, guard) = of(MADE - 1_000);
        *stream_api.created_at.lock().unwrap() = Some(MADE);
        let error = guard.after_list(&listing(&[])).await.unwrap_err();
        assert!(
            error.kind == ApiErrorKind::NotFound && error.message.contains("created again under its name"),
            "{error}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_start_without_a_sequence_number_is_verified() {
        let (stream_api, guard) = of(MADE);
        *stream_api.created_at.lock().unwrap() = Some(MADE + 1);
        guard.after_start(&after(), Ok(())).await.unwrap();
        for from in [StartingPosition::TrimHorizon, StartingPosition::AtTimestamp(7)] {
            assert_eq!(guard.after_start(&from, Ok(())).await.unwrap_err().kind, ApiErrorKind::NotFound);
        }
        let refused = || Err::<(), _>(error(ApiErrorKind::Refused));
        assert_eq!(guard.after_start(&after(), refused()).await.unwrap_err().kind, ApiErrorKind::NotFound);
        *stream_api.created_at.lock().unwrap() = Some(MADE);
        assert_eq!(guard.after_start(&after(), refused()).await.unwrap_err().kind, ApiErrorKind::Refused);
    }

    #[tokio::test(start_paused = true)]
    async fn many_shards_that_start_together_cause_at_most_two_questions() {
        let (stream_api, guard) = of(MADE);
        tokio::time::sleep(PACE).await;
        let starts = (0..500).map(|_| guard.after_start(&StartingPosition::TrimHorizon, Ok(())));
        let began = Instant::now();
        futures_util::future::try_join_all(starts).await.unwrap();
        assert!(stream_api.asked.load(Ordering::Relaxed) <= 2 && began.elapsed() <= PACE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_fails_while_the_question_is_not_answered() {
        let (stream_api, guard) = of(MADE);
        *stream_api.created_at.lock().unwrap() = None;
        let error = guard.after_start(&StartingPosition::TrimHorizon, Ok(())).await.unwrap_err();
        assert_eq!(error.kind, ApiErrorKind::Throttled);
        *stream_api.created_at.lock().unwrap() = Some(MADE);
        guard.after_start(&StartingPosition::TrimHorizon, Ok(())).await.unwrap();
    }
}
