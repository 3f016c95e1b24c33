//! The seam to the stream: the few calls that a polling consumer makes.

use super::FanOutApi;
use crate::lease::row::HashKeyRange;
use crate::record::{Record, SequenceNumber, ShardId, StartingPosition, StreamIdentity};
use async_trait::async_trait;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

/// A shard as Kinesis lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Its name.
    pub id: ShardId,
    /// The shards it came from: none, one after a split, two after a merge. They may be gone.
    pub parents: Vec<ShardId>,
    /// Which hash keys it acquires, if Kinesis says so (the API does not promise it).
    pub hash_range: Option<HashKeyRange>,
    /// Less than every record's number in it; its own creation shows in it. Absent for the children that an ended shard
    /// names, and where it could not be read.
    pub starting_sequence_number: Option<SequenceNumber>,
    /// Whether it was closed by a reshard. (Unknown for the children that an ended shard names: false.)
    pub closed: bool,
}

/// What describes a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamDescription {
    /// Which stream, for ever.
    pub identity: StreamIdentity,
    /// How long it keeps records, in hours.
    pub retention_hours: u32,
    /// Open shards.
    pub open_shards: u32,
    /// Whether producers key the records: not where the stream distributes them by itself (AUTO).
    pub keyed: bool,
}

impl StreamDescription {
    /// How long it keeps records.
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
    /// The service's own time at the answer (its `Date` header), in milliseconds since the Unix epoch, if it said.
    pub answered_at_ms: Option<i64>,
}

/// One page of the list of a stream's shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardPage {
    /// The shards of this page.
    pub shards: Vec<Shard>,
    /// Names the next page; absent on the last one.
    pub next_token: Option<String>,
    /// The service's own time at the answer, as for [`Listing`].
    pub answered_at_ms: Option<i64>,
}

/// One answer of a shard.
#[derive(Clone, Debug, Default)]
pub struct Fetched {
    /// The records, in order. An empty answer says nothing but that it is empty.
    pub records: Vec<Record>,
    /// How far behind the tip this answer ends, in milliseconds.
    pub millis_behind_latest: Option<u64>,
    /// Where to go on; absent at the end of the shard.
    pub next_iterator: Option<String>,
    /// At the end of the shard, the shards it ended in.
    pub children: Vec<Shard>,
}

/// The calls a polling consumer makes of one stream. One attempt a call, no retries inside.
#[async_trait]
pub trait StreamApi: Debug + Send + Sync + 'static {
    /// What the stream is (DescribeStreamSummary).
    async fn describe(&self) -> Result<StreamDescription, ApiError>;

    /// All shards that have not expired (ListShards, every page; complete or nothing).
    async fn list_shards(&self, which: ListWhich) -> Result<Listing, ApiError>;

    /// One page of that list: the first one, or the one that the page before it named. A stream that is listed in one call
    /// needs no pages.
    ///
    /// # Errors
    /// As for any call; a token that is too old is refused.
    async fn shard_page(&self, which: ListWhich, token: Option<&str>) -> Result<ShardPage, ApiError> {
        let _ = token;
        let Listing { shards, answered_at_ms } = self.list_shards(which).await?;
        Ok(ShardPage { shards, next_token: None, answered_at_ms })
    }

    /// An iterator that starts there (GetShardIterator).
    async fn shard_iterator(&self, shard: &ShardId, from: &StartingPosition) -> Result<String, ApiError>;

    /// The next records of a shard (GetRecords).
    async fn get_records(&self, iterator: &str, limit: u32) -> Result<Fetched, ApiError>;

    /// The calls of enhanced fan-out, where the stream has it.
    fn fan_out(&self) -> Option<Arc<dyn FanOutApi>> {
        None
    }
}

/// Which shards to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListWhich {
    /// All that have not expired.
    All,
    /// Those that held the oldest records (`AT_TRIM_HORIZON`).
    AtTrimHorizon,
    /// Those open now (`AT_LATEST`).
    AtLatest,
    /// Those open at this instant, in milliseconds since the Unix epoch (`AT_TIMESTAMP`).
    AtTimestamp(i64),
}

/// A call that was not answered as asked.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// What the caller should do about it.
    pub kind: ApiErrorKind,
    /// What happened: operation, stream or shard, the service's own words.
    pub message: String,
    /// Where it came from.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// What a caller should do about an [`ApiError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ApiErrorKind {
    /// Too many calls or bytes: later, and less often.
    Throttled,
    /// The iterator is over 300 s old or not understood: take a new one after the last accepted record.
    IteratorExpired,
    /// The stream or shard does not exist.
    NotFound,
    /// The stream is being created or deleted.
    NotReady,
    /// Credentials, a permission or the stream's encryption key are refused. A person ends that, and then the same call
    /// succeeds: repeat it, with growing pauses, for as long as it acquires.
    Denied,
    /// The request itself is refused, for example its position: the same request fails again.
    Refused,
    /// The position to start from is refused: it is none of this shard (of another one, in the future, no sequence number).
    PositionRefused,
    /// No answer, or the service's own failure: again.
    Unavailable,
}
