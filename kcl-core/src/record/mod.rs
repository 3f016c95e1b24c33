//! What a stream is made of: records, their sequence numbers, and the positions between them.

pub mod aggregate;
mod partition_key;
mod position;
mod sequence_number;
mod stream;
mod text;

pub use partition_key::PartitionKey;
pub use position::{Checkpoint, Position, StartingPosition};
pub use sequence_number::{InvalidSequenceNumber, SequenceNumber};
pub use stream::{ShardId, StreamId, StreamIdentity, StreamRef};

use bytes::Bytes;

/// One record of a stream, as a handler gets it.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record {
    /// The record's number: unique in the stream, growing within its shard.
    pub sequence_number: SequenceNumber,
    /// The index within an aggregated record; 0 for a record that stands alone.
    pub sub_sequence_number: u64,
    /// What the producer keyed the record by. Absent where the stream distributes records by itself
    /// (on-demand streams whose record distribution strategy is AUTO).
    pub partition_key: Option<PartitionKey>,
    /// When Kinesis accepted the record, in milliseconds since the Unix epoch, by the service's clock.
    pub arrived_at_ms: i64,
    /// The payload.
    pub data: Bytes,
}

impl Record {
    /// A record that stands alone.
    #[must_use]
    pub fn new(sequence_number: SequenceNumber, data: impl Into<Bytes>) -> Self {
        Record { sequence_number, sub_sequence_number: 0, partition_key: None, arrived_at_ms: 0, data: data.into() }
    }

    /// Sets the partition key.
    #[must_use]
    pub fn with_partition_key(mut self, key: impl Into<PartitionKey>) -> Self {
        self.partition_key = Some(key.into());
        self
    }

    /// Sets the arrival time, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn with_arrival_ms(mut self, arrived_at_ms: i64) -> Self {
        self.arrived_at_ms = arrived_at_ms;
        self
    }

    /// Where this record stands in its shard.
    #[must_use]
    pub fn position(&self) -> Position {
        Position { sequence_number: self.sequence_number.clone(), sub_sequence_number: self.sub_sequence_number }
    }
}

/// Shows everything but the payload, which never belongs in a log.
impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Record")
            .field("sequence_number", &self.sequence_number)
            .field("sub_sequence_number", &self.sub_sequence_number)
            .field("arrived_at_ms", &self.arrived_at_ms)
            .field("bytes", &self.data.len())
            .finish_non_exhaustive()
    }
}
