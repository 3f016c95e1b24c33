//! Positions in a shard, and what a lease row's checkpoint says of one.

use super::SequenceNumber;
use std::fmt;

/// A place in a shard: just after the named record.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The record that was passed last.
    pub sequence_number: SequenceNumber,
    /// Its index within an aggregated record; 0 otherwise.
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

/// The checkpoint of a lease, in KCL's terms: a position, or one of its sentinels.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Checkpoint {
    /// Nothing processed yet: start with the oldest record.
    TrimHorizon,
    /// Nothing processed yet: start with what arrives after the instant that `kclStart` pins.
    Latest,
    /// Nothing processed yet: start with what arrived at or after the instant that `kclStart` holds.
    AtTimestamp,
    /// Everything up to and including this position is done.
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

    /// The `checkpoint` attribute's text, as KCL writes it.
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

    /// The `checkpointSubSequenceNumber` attribute's value: 0 for sentinels.
    #[must_use]
    pub fn sub_sequence_number(&self) -> u64 {
        match self {
            Checkpoint::At(position) => position.sub_sequence_number,
            Checkpoint::TrimHorizon | Checkpoint::Latest | Checkpoint::AtTimestamp | Checkpoint::ShardEnd => 0,
        }
    }

    /// Reads the two attributes of a lease row.
    ///
    /// # Errors
    /// When `text` is neither a sentinel nor a sequence number.
    pub fn parse(text: &str, sub_sequence_number: u64) -> Result<Self, super::sequence_number::InvalidSequenceNumber> {
        Ok(match text {
            "TRIM_HORIZON" => Checkpoint::TrimHorizon,
            "LATEST" => Checkpoint::Latest,
            "AT_TIMESTAMP" => Checkpoint::AtTimestamp,
            "SHARD_END" => Checkpoint::ShardEnd,
            digits => Checkpoint::At(Position { sequence_number: SequenceNumber::parse(digits)?, sub_sequence_number }),
        })
    }

    /// How far a checkpoint has come: a later one never has a smaller rank. Sentinels of the start are all before any
    /// position, SHARD_END is after all.
    #[must_use]
    pub fn is_before(&self, other: &Checkpoint) -> bool {
        match (self, other) {
            (Checkpoint::At(a), Checkpoint::At(b)) => a < b,
            _ => self.stage() < other.stage(),
        }
    }

    fn stage(&self) -> u8 {
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
    /// The oldest record there is.
    TrimHorizon,
    /// The first record that arrived at or after this instant, in milliseconds since the Unix epoch.
    AtTimestamp(i64),
    /// This record and what follows; where it is gone, the oldest after it.
    At(SequenceNumber),
    /// The first record after this position. With a sub-sequence number above 0 the record itself is read again and
    /// its first parts are left out.
    After(Position),
}
