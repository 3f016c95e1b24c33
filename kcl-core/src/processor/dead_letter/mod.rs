//! Defines dead letters and the sinks that take them.

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

/// A record that the error policy gave up, with the reason.
///
/// Its `Debug` output omits the payload and the partition key, which do not belong in logs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DeadLetter {
    /// The stream, as the worker's builder names it.
    pub stream: StreamRef,
    /// Identifies the stream even if another account has one of the same name, or it is deleted and
    /// created again. `None` only outside a worker, in tests.
    pub stream_id: Option<StreamId>,
    /// The shard.
    pub shard: ShardId,
    /// The record: payload, partition key, sequence number and arrival time.
    pub record: Record,
    /// How often the handler was called with the record, alone or within a batch, since this
    /// consumer first read it or it was resumed from quarantine.
    pub attempts: u32,
    /// The last error, as text.
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

    /// A key that identifies the record: `<account>:<stream>:<creation time>/<shard>/<sequence
    /// number>.<sub-sequence number>`. The same record has the same key, no matter which worker
    /// sends the letter, and how often. A sink that stores letters under this key stores each
    /// record once.
    #[must_use]
    pub fn idempotency_key(&self) -> String {
        let stream = self.stream_id.as_ref().map_or(self.stream.name(), StreamId::as_str);
        let record = &self.record;
        format!("{stream}/{}/{}.{}", self.shard, record.sequence_number, record.sub_sequence_number)
    }

    /// The letter as one JSON object on one line, with the fields `key` (the idempotency key),
    /// `stream`, `shard`, `sequence_number`, `sub_sequence_number`, `partition_key`,
    /// `arrived_at_ms`, `attempts` and `error`. The payload is in `text` if it is UTF-8, else in
    /// `base64`.
    #[cfg(feature = "json")]
    #[must_use]
    pub fn to_json(&self) -> String {
        json::of(self)
    }
}

/// Takes the records that the error policy gave up: a dead-letter queue. Passed to a worker by
/// `WorkerBuilder::dead_letters`.
///
/// Implementations of this crate: [`sink_fn`], `JsonLinesFile`, and in the module `aws` a Kinesis
/// stream.
///
/// # What holds
/// A record is acknowledged only after `put` succeeded for it, so no record is lost between the
/// stream and the sink. A letter may arrive more than once: after a crash, or a lost lease, between
/// `put` and the next checkpoint. Store letters by [`DeadLetter::idempotency_key`] to keep each
/// once.
///
/// # Concurrency
/// One sink is shared by all shards of the worker, and `put` is called concurrently. Per lane of a
/// shard there is one call at a time.
///
/// # Examples
/// ```
/// use kcl_core::{BoxError, policy::{DeadLetter, DeadLetterSink}};
///
/// #[derive(Debug)]
/// struct Queue;
///
/// #[async_trait::async_trait]
/// impl DeadLetterSink for Queue {
///     async fn put(&self, letter: &DeadLetter) -> Result<(), BoxError> {
///         // A queue that ignores a key that it has already gets each record once.
///         send(&letter.idempotency_key(), &letter.record.data).await
///     }
/// }
///
/// async fn send(key: &str, data: &[u8]) -> Result<(), BoxError> {
///     # let _ = (key, data);
///     Ok(())
/// }
/// ```
#[async_trait]
pub trait DeadLetterSink: Debug + Send + Sync + 'static {
    /// Stores the letter durably.
    ///
    /// # Errors
    /// The failure is logged and `put` is called again with the same letter, with pauses of up to
    /// 30 s, until it succeeds; later records of the lane wait. (A record that was taken from
    /// quarantine stays there after three failures.) A call that takes longer than the setting
    /// `process_deadline` has failed. A panic is an error.
    ///
    /// # Cancellation
    /// The future is dropped when the lease is lost. The next owner puts the letter again.
    async fn put(&self, letter: &DeadLetter) -> Result<(), BoxError>;
}

/// A [`DeadLetterSink`] that calls a closure. Made by [`sink_fn`].
#[derive(Clone)]
pub struct SinkFn<F>(F);

/// Makes a [`DeadLetterSink`] of an async closure.
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
