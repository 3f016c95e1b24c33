//! Where records go that a policy yields up.

#[cfg(feature = "json")]
mod file;
#[cfg(feature = "json")]
mod json;

#[cfg(feature = "json")]
pub use file::JsonLinesFile;

use super::BoxError;
use crate::record::{Record, ShardId, StreamId, StreamRef};
use async_trait::async_trait;
use std::fmt::{self, Debug};
use std::future::Future;

/// A record that was given up, and why.
///
/// Its `Debug` form shows everything but the payload.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DeadLetter {
    /// The stream it came from, as the worker names it.
    pub stream: StreamRef,
    /// Which stream that is, for ever: a name alone may be that of another account's, or of one that was deleted and created
    /// again. (`None` only outside a worker, in tests.)
    pub stream_id: Option<StreamId>,
    /// Its shard.
    pub shard: ShardId,
    /// The record: payload, partition key, sequence number, arrival.
    pub record: Record,
    /// How often the handler was called with it since it was last taken up, alone or within a batch.
    pub attempts: u32,
    /// The last error.
    pub error: String,
}

impl DeadLetter {
    pub(crate) fn new(
        stream: StreamRef,
        stream_id: Option<StreamId>,
        shard: ShardId,
        record: Record,
        attempts: u32,
        error: String,
    ) -> Self {
        DeadLetter { stream, stream_id, shard, record, attempts, error }
    }

    /// The same for the same record, whoever sends the letter and how often, and different for any other:
    /// `<account>:<stream>:<creation time>/<shard>/<sequence number>.<sub-sequence number>`. A sink that keeps letters by this
    /// key keeps one a record.
    #[must_use]
    pub fn idempotency_key(&self) -> String {
        let stream = self.stream_id.as_ref().map_or(self.stream.name(), StreamId::as_str);
        let record = &self.record;
        format!("{stream}/{}/{}.{}", self.shard, record.sequence_number, record.sub_sequence_number)
    }

    /// One object on one line: `key` (the idempotency key), `stream`, `shard`, `sequence_number`, `sub_sequence_number`,
    /// `partition_key`, `arrived_at_ms`, `attempts`, `error`, and the payload as `text` where it is UTF-8, as `base64`
    /// elsewhere.
    #[cfg(feature = "json")]
    #[must_use]
    pub fn to_json(&self) -> String {
        json::of(self)
    }
}

/// Takes dead letters. The record is acknowledged only when `put` succeeded; until then the same letter comes again, with
/// pauses of up to half a minute, and the records behind it wait.
///
/// # Cancellation
/// The future is dropped when the lease is lost: the next owner hands the letter in again. So does one that crashed after
/// `put` and before its checkpoint; see [`DeadLetter::idempotency_key`].
#[async_trait]
pub trait DeadLetterSink: Debug + Send + Sync + 'static {
    /// Keeps the letter for good, or fails.
    async fn put(&self, letter: &DeadLetter) -> Result<(), BoxError>;
}

/// A sink that is a closure. Made by [`sink_fn`].
#[derive(Clone)]
pub struct SinkFn<F>(F);

/// A sink that is a closure.
///
/// ```
/// let sink = kcl_core::policy::sink_fn(|letter: kcl_core::policy::DeadLetter| async move {
///     eprintln!("given up: {} ({})", letter.idempotency_key(), letter.error);
///     Ok(())
/// });
/// # drop(sink);
/// ```
pub fn sink_fn<F, R>(put: F) -> SinkFn<F>
where
    F: Fn(DeadLetter) -> R + Send + Sync + 'static,
    R: Future<Output = Result<(), BoxError>> + Send,
{
    SinkFn(put)
}

#[async_trait]
impl<F, R> DeadLetterSink for SinkFn<F>
where
    F: Fn(DeadLetter) -> R + Send + Sync + 'static,
    R: Future<Output = Result<(), BoxError>> + Send,
{
    async fn put(&self, letter: &DeadLetter) -> Result<(), BoxError> {
        (self.0)(letter.clone()).await
    }
}

impl<F> Debug for SinkFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SinkFn")
    }
}
