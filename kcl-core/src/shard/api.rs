//! Defines [`StreamApi`], the Kinesis calls of a polling consumer.

use super::FanOutApi;
use crate::error::Code;
use crate::lease::row::HashKeyRange;
use crate::record::{Record, SequenceNumber, ShardId, StartingPosition, StreamIdentity};
use async_trait::async_trait;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

/// A shard as Kinesis lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    /// The shard's id.
    pub id: ShardId,
    /// The shards that it replaced: none, one after a split, two after a merge. They may have
    /// expired.
    pub parents: Vec<ShardId>,
    /// Its hash keys, if Kinesis returned them (the API does not guarantee it).
    pub hash_range: Option<HashKeyRange>,
    /// Lower than the sequence number of each of its records. Absent for children that an ended
    /// shard names, and if it could not be parsed.
    pub starting_sequence_number: Option<SequenceNumber>,
    /// True if a reshard closed it. Unknown, and then false, for children that an ended shard
    /// names.
    pub closed: bool,
}

/// The description of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamDescription {
    /// The stream's identity, which a re-created stream does not share.
    pub identity: StreamIdentity,
    /// The retention period in hours.
    pub retention_hours: u32,
    /// The number of open shards.
    pub open_shards: u32,
    /// True if producers choose the records' partition keys; false if the stream distributes
    /// records itself (AUTO).
    pub keyed: bool,
}

impl StreamDescription {
    /// Returns the retention period.
    #[must_use]
    pub fn retention(&self) -> Duration {
        Duration::from_secs(u64::from(self.retention_hours) * 3_600)
    }
}

/// All shards of a stream, from all pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// The shards, in the order of their ids.
    pub shards: Vec<Shard>,
    /// The service's time of the response (its `Date` header), in milliseconds since the Unix
    /// epoch, if present.
    pub answered_at_ms: Option<i64>,
}

/// One page of the list of a stream's shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardPage {
    /// The shards of this page.
    pub shards: Vec<Shard>,
    /// The token of the next page; absent on the last one.
    pub next_token: Option<String>,
    /// The service's time of the response, as for [`Listing`].
    pub answered_at_ms: Option<i64>,
}

/// One response of GetRecords.
#[derive(Clone, Debug, Default)]
pub struct Fetched {
    /// The records, in order. An empty response does not mean that the shard has no more records.
    pub records: Vec<Record>,
    /// The time by which the end of this response is behind the tip, in milliseconds.
    pub millis_behind_latest: Option<u64>,
    /// The next iterator; absent at the end of the shard.
    pub next_iterator: Option<String>,
    /// At the end of the shard, the shards that replaced it.
    pub children: Vec<Shard>,
}

/// The calls of a polling consumer to one stream. Each method makes one attempt, without retries.
#[async_trait]
pub trait StreamApi: Debug + Send + Sync + 'static {
    /// Describes the stream (DescribeStreamSummary).
    async fn describe(&self) -> Result<StreamDescription, ApiError>;

    /// Lists all shards that have not expired (ListShards, all pages; complete or an error).
    async fn list_shards(&self, which: ListWhich) -> Result<Listing, ApiError>;

    /// Lists one page: the first one, or the one that `token` names. Implementations that list a
    /// stream in one call need not implement it.
    ///
    /// # Errors
    /// As for any call; an expired token is refused.
    async fn shard_page(&self, which: ListWhich, token: Option<&str>) -> Result<ShardPage, ApiError> {
        let _ = token;
        let Listing { shards, answered_at_ms } = self.list_shards(which).await?;
        Ok(ShardPage { shards, next_token: None, answered_at_ms })
    }

    /// Returns an iterator that starts at `from` (GetShardIterator).
    async fn shard_iterator(&self, shard: &ShardId, from: &StartingPosition) -> Result<String, ApiError>;

    /// Returns the next records of a shard (GetRecords).
    async fn get_records(&self, iterator: &str, limit: u32) -> Result<Fetched, ApiError>;

    /// Returns the calls of enhanced fan-out, if the stream supports it.
    fn fan_out(&self) -> Option<Arc<dyn FanOutApi>> {
        None
    }
}

/// Which shards to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListWhich {
    /// All that have not expired.
    All,
    /// The shards that contain the oldest records (`AT_TRIM_HORIZON`).
    AtTrimHorizon,
    /// The shards that are open now (`AT_LATEST`).
    AtLatest,
    /// The shards that were open at this instant, in milliseconds since the Unix epoch
    /// (`AT_TIMESTAMP`).
    AtTimestamp(i64),
}

/// A failed call of a stream.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
#[non_exhaustive]
pub struct ApiError {
    /// How the caller should react.
    pub kind: ApiErrorKind,
    /// The failure: operation, stream or shard, and the service's message.
    pub message: String,
    /// The page about it, if one is known.
    pub code: Option<Code>,
    /// The underlying error.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl ApiError {
    /// An error without a cause.
    pub fn new(kind: ApiErrorKind, message: impl Into<String>) -> Self {
        ApiError { kind, message: message.into(), code: None, source: None }
    }
}

/// How a caller should react to an [`ApiError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ApiErrorKind {
    /// Too many calls or bytes: retry later, and less often.
    Throttled,
    /// The iterator is older than 300 s or invalid: get a new one after the last accepted record.
    IteratorExpired,
    /// The stream or shard does not exist.
    NotFound,
    /// The stream is being created or deleted.
    NotReady,
    /// Credentials, a permission or the stream's encryption key are refused. The same call succeeds
    /// once an operator has fixed the cause: retry with growing pauses until then.
    Denied,
    /// The request itself is refused: the same request would fail again.
    Refused,
    /// The start position is refused: it does not belong to this shard (another shard's, in the
    /// future, or not a sequence number).
    PositionRefused,
    /// The start time is later than the service's clock: the same call succeeds once that time has
    /// come.
    StartAhead,
    /// No answer, or a failure of the service: retry.
    Unavailable,
}
