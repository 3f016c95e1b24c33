//! Defines positions in a shard, checkpoints of lease rows, and starting positions of readers.

use super::SequenceNumber;
use std::fmt;

/// A position in a shard: just after the named record. Positions of one shard compare in the order
/// of the shard.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The sequence number of the record.
    pub sequence_number: SequenceNumber,
    /// Its index within an aggregated record; 0 for a record that is not aggregated.
    pub sub_sequence_number: u64,
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.sequence_number)?;
        if self.sub_sequence_number > 0 { write!(f, ".{}", self.sub_sequence_number) } else { Ok(()) }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// The checkpoint of a lease, as KCL writes it: a position or a sentinel.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Checkpoint {
    /// Nothing is done yet: start with the oldest record.
    TrimHorizon,
    /// Nothing is done yet: start with records that arrived at or after the time in the attribute
    /// `kclStart`, which was the service's time when the first lease was created. A restart
    /// therefore skips nothing (docs/protocol/checkpoints.md).
    Latest,
    /// Nothing is done yet: start with records that arrived at or after the time in the attribute
    /// `kclStart`.
    AtTimestamp,
    /// Every record up to and including this position is done.
    At(Position),
    /// The whole shard is done.
    ShardEnd,
}

impl Checkpoint {
    /// Whether the whole shard is done.
    #[must_use]
    pub fn is_shard_end(&self) -> bool {
        matches!(self, Checkpoint::ShardEnd)
    }

    /// The value of the attribute `checkpoint`, as KCL writes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Checkpoint::TrimHorizon => "TRIM_HORIZON",
            Checkpoint::Latest => "LATEST",
            Checkpoint::AtTimestamp => "AT_TIMESTAMP",
            Checkpoint::At(position) => position.sequence_number.as_str(),
            Checkpoint::ShardEnd => "SHARD_END",
        }
    }

    /// The value of the attribute `checkpointSubSequenceNumber`: 0 for sentinels.
    #[must_use]
    pub fn sub_sequence_number(&self) -> u64 {
        match self {
            Checkpoint::At(position) => position.sub_sequence_number,
            Checkpoint::TrimHorizon | Checkpoint::Latest | Checkpoint::AtTimestamp | Checkpoint::ShardEnd => 0,
        }
    }

    /// Parses the two attributes of a lease row.
    ///
    /// # Errors
    /// `text` is neither a sentinel nor a sequence number.
    pub fn parse(text: &str, sub_sequence_number: u64) -> Result<Self, super::sequence_number::InvalidSequenceNumber> {
        Ok(match text {
            "TRIM_HORIZON" => Checkpoint::TrimHorizon,
            "LATEST" => Checkpoint::Latest,
            "AT_TIMESTAMP" => Checkpoint::AtTimestamp,
            "SHARD_END" => Checkpoint::ShardEnd,
            digits => Checkpoint::At(Position { sequence_number: SequenceNumber::parse(digits)?, sub_sequence_number }),
        })
    }

    /// Whether `other` is further than this checkpoint. The starting sentinels are before every
    /// position and equal to each other; `SHARD_END` is after everything.
    #[must_use]
    pub fn is_before(&self, other: &Checkpoint) -> bool {
        match (self, other) {
            (Checkpoint::At(a), Checkpoint::At(b)) => a < b,
            _ => self.rank() < other.rank(),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Checkpoint::TrimHorizon | Checkpoint::Latest | Checkpoint::AtTimestamp => 0,
            Checkpoint::At(_) => 1,
            Checkpoint::ShardEnd => 2,
        }
    }
}

/// Where a reader starts in a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartingPosition {
    /// The oldest record in the stream.
    TrimHorizon,
    /// The first record that arrived at or after this time, in milliseconds since the Unix epoch.
    AtTimestamp(i64),
    /// This record; if it has expired, the oldest record after it.
    At(SequenceNumber),
    /// The first record after this position. Within an aggregate, the aggregate is read again and
    /// the records up to the position are left out.
    After(Position),
}
