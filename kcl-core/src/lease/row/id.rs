//! What rows are called: lease keys, worker ids, session numbers.

use crate::record::{ShardId, StreamId};
use std::fmt;

/// The hash key of a lease row: the shard's id in a table of one stream, `<stream's id>:<shard's id>` in one of several.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseKey(Box<str>);

impl LeaseKey {
    /// Takes the key as the table has it.
    pub fn new(key: impl Into<String>) -> Self {
        LeaseKey(key.into().into_boxed_str())
    }

    /// The key of a shard's lease, in a table of one stream or of several.
    #[must_use]
    pub fn of(stream: Option<&StreamId>, shard: &ShardId) -> Self {
        stream.map_or_else(|| LeaseKey::from(shard), |stream| LeaseKey::new(format!("{stream}:{shard}")))
    }

    /// The stream that the key names, in a table of several.
    #[must_use]
    pub fn stream(&self) -> Option<StreamId> {
        self.0.rsplit_once(':').map(|(stream, _)| StreamId::new(stream))
    }

    /// The key.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&ShardId> for LeaseKey {
    fn from(shard: &ShardId) -> Self {
        LeaseKey::new(shard.as_str())
    }
}

impl fmt::Display for LeaseKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for LeaseKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A worker's name in its fleet.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId(Box<str>);

/// The text is no worker id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{}` is no worker id: it must have 1 to 256 characters, no `/`, no control characters (such as a line break), and not be \
     a name that the table uses itself (`fleet`, `Leader`, `Migration3.0`, `TableMigration3.5`)",
    shortened(.0)
)]
pub struct InvalidWorkerId(String);

/// The text, escaped, as far as a message has room for it.
fn shortened(id: &str) -> String {
    const MOST: usize = 80;
    let shown: String = id.chars().take(MOST).collect();
    let rest = if id.chars().count() > MOST { "..." } else { "" };
    format!("{}{rest}", shown.escape_debug())
}

impl WorkerId {
    /// Reads a worker id.
    ///
    /// # Errors
    /// When it could be taken for another row of the table: empty, with a `/`, or one of the names that KCL and this library
    /// give to rows of their own. When it does not fit: over 256 characters (a row's key has at most 2048 bytes), or with
    /// control characters, which no log line could show.
    pub fn parse(id: impl Into<String>) -> Result<Self, InvalidWorkerId> {
        let id = id.into();
        let reserved = ["fleet", "Leader", "Migration3.0", "TableMigration3.5"];
        let fits = (1..=256).contains(&id.chars().count()) && !id.contains(|c: char| c == '/' || c.is_control());
        if !fits || reserved.contains(&id.as_str()) {
            return Err(InvalidWorkerId(id));
        }
        Ok(WorkerId(id.into_boxed_str()))
    }

    /// Takes an owner's name as a row has it, whoever wrote it.
    #[must_use]
    pub fn from_row(id: &str) -> Self {
        WorkerId(id.into())
    }

    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A session's number: drawn from the fleet row, so that later sessions have higher ones.
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
    /// A worker's plan row.
    Assignment(WorkerId),
    /// One of several streams.
    Stream(StreamId),
}

impl fmt::Display for RowKey {
    /// The `leaseKey` attribute's text.
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
    fn an_id_that_could_be_taken_for_another_row_is_refused() {
        for bad in ["", "a/b", "fleet", "Leader", "Migration3.0", "TableMigration3.5", "a\nb", &"x".repeat(257)] {
            assert!(WorkerId::parse(bad).is_err(), "{bad}");
        }
        for good in ["worker-1.example:7", "w 3 \u{e4}", &"\u{1f980}".repeat(256)] {
            let id = WorkerId::parse(good).unwrap();
            assert!(RowKey::Session(id).to_string().len() <= 2_048, "DynamoDB's bound for a key");
        }
        let shown = WorkerId::parse("x\n".repeat(300)).unwrap_err().to_string();
        assert!(shown.len() < 400 && shown.contains("x\\n...`"), "{shown}");
    }

    #[test]
    fn a_key_says_its_stream_where_a_table_has_several() {
        let (stream, shard) = (StreamId::new("123456789012:orders:1700000000"), ShardId::from("shardId-000000000000"));
        let key = LeaseKey::of(Some(&stream), &shard);
        assert_eq!(key.as_str(), "123456789012:orders:1700000000:shardId-000000000000");
        assert_eq!((key.stream(), LeaseKey::of(None, &shard).stream()), (Some(stream), None));
    }
}
