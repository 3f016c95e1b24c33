//! Defines the names of rows: lease keys, worker ids, session numbers.

use crate::record::{ShardId, StreamId, string_id};
use std::fmt;

string_id! {
    /// The hash key of a lease row: the shard's id in a table of one stream, `<stream's
    /// id>:<shard's id>` in one of several.
    pub struct LeaseKey(Box<str>);
}

impl LeaseKey {
    /// Wraps a key as the table has it.
    pub fn new(key: impl Into<String>) -> Self {
        LeaseKey(key.into().into_boxed_str())
    }

    /// Returns the key of a shard's lease; `stream` is given in a table of several streams.
    #[must_use]
    pub fn of(stream: Option<&StreamId>, shard: &ShardId) -> Self {
        stream.map_or_else(|| LeaseKey::from(shard), |stream| LeaseKey::new(format!("{stream}:{shard}")))
    }

    /// Returns the stream in the key, in a table of several streams.
    #[must_use]
    pub fn stream(&self) -> Option<StreamId> {
        self.0.rsplit_once(':').map(|(stream, _)| StreamId::new(stream))
    }
}

impl From<&ShardId> for LeaseKey {
    fn from(shard: &ShardId) -> Self {
        LeaseKey::new(shard.as_str())
    }
}

string_id! {
    /// A worker's name, unique in its fleet.
    pub struct WorkerId(Box<str>);
}

/// The text is not a valid worker id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid worker id `{}`: it must have 1 to 256 characters, no `/`, no control characters (such as a line break), and not be \
     a name that the table uses itself (`fleet`, `Leader`, `Migration3.0`, `TableMigration3.5`)",
    shortened(.0)
)]
pub struct InvalidWorkerId(String);

/// Returns the text, escaped and shortened for an error message.
fn shortened(id: &str) -> String {
    const MOST: usize = 80;
    let shown: String = id.chars().take(MOST).collect();
    let rest = if id.chars().count() > MOST { "..." } else { "" };
    format!("{}{rest}", shown.escape_debug())
}

impl WorkerId {
    /// Parses a worker id.
    ///
    /// # Errors
    /// If it could be confused with the key of another row (empty, with a `/`, or a name that KCL
    /// or this library uses for its own rows), is longer than 256 characters (DynamoDB limits a key
    /// to 2048 bytes), or contains control characters, which would corrupt log lines.
    pub fn parse(id: impl Into<String>) -> Result<Self, InvalidWorkerId> {
        let id = id.into();
        let reserved = ["fleet", "Leader", "Migration3.0", "TableMigration3.5"];
        let fits = (1..=256).contains(&id.chars().count()) && !id.contains(|c: char| c == '/' || c.is_control());
        if !fits || reserved.contains(&id.as_str()) {
            return Err(InvalidWorkerId(id));
        }
        Ok(WorkerId(id.into_boxed_str()))
    }

    /// Wraps an owner's name as a row has it, without validation: another program may have written
    /// it.
    #[must_use]
    pub fn from_row(id: &str) -> Self {
        WorkerId(id.into())
    }
}

/// A session's number, taken from a counter in the fleet row: a later session has a higher number.
pub type SessionNumber = u64;

/// The key of any row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RowKey {
    /// A lease.
    Lease(LeaseKey),
    /// A worker's session.
    Session(WorkerId),
    /// The fleet row.
    Fleet,
    /// A worker's assignment row.
    Assignment(WorkerId),
    /// A stream's row, in a table of several streams.
    Stream(StreamId),
}

impl fmt::Display for RowKey {
    /// Writes the value of the `leaseKey` attribute.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RowKey::Lease(key) => write!(f, "{key}"),
            RowKey::Session(worker) => write!(f, "session/{worker}"),
            RowKey::Fleet => write!(f, "fleet"),
            RowKey::Assignment(worker) => write!(f, "assignment/{worker}"),
            RowKey::Stream(stream) => write!(f, "stream/{stream}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_could_be_the_key_of_another_row_is_refused() {
        for bad in ["", "a/b", "fleet", "Leader", "Migration3.0", "TableMigration3.5", "a\nb", &"x".repeat(257)] {
            assert!(WorkerId::parse(bad).is_err(), "{bad}");
        }
        for good in ["worker-1.example:7", "w 3 \u{e4}", &"\u{1f980}".repeat(256)] {
            let id = WorkerId::parse(good).unwrap();
            assert!(RowKey::Session(id).to_string().len() <= 2_048, "DynamoDB's limit for a key");
        }
        let shown = WorkerId::parse("x\n".repeat(300)).unwrap_err().to_string();
        assert!(shown.len() < 400 && shown.contains("x\\n...`"), "{shown}");
    }

    #[test]
    fn a_key_names_its_stream_in_a_table_of_several() {
        let (stream, shard) = (StreamId::new("123456789012:orders:1700000000"), ShardId::from("shardId-000000000000"));
        let key = LeaseKey::of(Some(&stream), &shard);
        assert_eq!(key.as_str(), "123456789012:orders:1700000000:shardId-000000000000");
        assert_eq!((key.stream(), LeaseKey::of(None, &shard).stream()), (Some(stream), None));
    }
}
