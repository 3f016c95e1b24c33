//! What a stream is made of: records, their sequence numbers, and the positions between them.

pub mod aggregate;
mod partition_key;
mod position;
mod sequence_number;
mod stream;
mod text;
mod unix;

pub use partition_key::PartitionKey;
pub use position::{Checkpoint, Position};
pub use sequence_number::{InvalidSequenceNumber, SequenceNumber};
pub use stream::{ShardId, StreamId, StreamIdentity, StreamRef};
pub(crate) use unix::{system_time, unix_millis};

unstable_store! {
    use position::{StartingPosition};
}

use bytes::Bytes;
use std::time::SystemTime;

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
    pub(crate) arrived_at_ms: i64,
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

    /// Sets the arrival time. Kinesis has whole milliseconds.
    #[must_use]
    pub fn with_arrival(mut self, arrived_at: impl Into<SystemTime>) -> Self {
        self.arrived_at_ms = unix_millis(arrived_at.into());
        self
    }

    #[cfg(test)]
    pub(crate) fn with_arrival_ms(self, arrived_at_ms: i64) -> Self {
        self.with_arrival(system_time(arrived_at_ms))
    }

    /// When Kinesis accepted the record, by the service's clock; 1970 for a record without an arrival time.
    #[must_use]
    pub fn arrived_at(&self) -> SystemTime {
        system_time(self.arrived_at_ms)
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
