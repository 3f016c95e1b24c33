//! Defines records, their sequence numbers, positions and keys, and the ids of streams and shards.

pub mod aggregate;
mod id;
mod partition_key;
mod position;
mod sequence_number;
mod stream;
mod text;
mod unix;

pub(crate) use id::string_id;
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

/// One record of a stream.
///
/// Records of aggregates (KPL) are records of their own: they share the aggregate's sequence number
/// and arrival time, and differ in `sub_sequence_number`. A clone is cheap: the payload is shared.
/// `Debug` omits the payload and the partition key, which do not belong in logs.
///
/// # Examples
/// ```
/// use kcl_core::record::{Record, SequenceNumber};
/// use std::time::{Duration, UNIX_EPOCH};
///
/// let arrival = UNIX_EPOCH + Duration::from_millis(1_767_225_600_250);
/// let record = Record::new(SequenceNumber::parse("7")?, "payload").with_partition_key("UA").with_arrival(arrival);
/// assert_eq!(record.partition_key.as_deref(), Some("UA"));
/// assert_eq!((&record.data[..], record.arrived_at()), (&b"payload"[..], arrival));
/// # Ok::<(), kcl_core::record::InvalidSequenceNumber>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record {
    /// The sequence number: unique in the stream, increasing within its shard.
    pub sequence_number: SequenceNumber,
    /// The index within an aggregated record, from 0; 0 for a record that is not aggregated.
    pub sub_sequence_number: u64,
    /// The producer's partition key. `None` on streams that distribute records themselves
    /// (on-demand streams with the record distribution strategy AUTO).
    pub partition_key: Option<PartitionKey>,
    /// When Kinesis accepted the record, by the service's clock, in milliseconds since the Unix
    /// epoch.
    pub(crate) arrived_at_ms: i64,
    /// The payload.
    pub data: Bytes,
}

impl Record {
    /// A record that is not aggregated, without a partition key and an arrival time. For tests of
    /// handlers.
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

    /// Sets the arrival time, rounded down to whole milliseconds, as Kinesis does.
    #[must_use]
    pub fn with_arrival(mut self, arrived_at: impl Into<SystemTime>) -> Self {
        self.arrived_at_ms = unix_millis(arrived_at.into());
        self
    }

    #[cfg(test)]
    pub(crate) fn with_arrival_ms(self, arrived_at_ms: i64) -> Self {
        self.with_arrival(system_time(arrived_at_ms))
    }

    /// When Kinesis accepted the record, by the service's clock. The Unix epoch for a record
    /// without an arrival time.
    #[must_use]
    pub fn arrived_at(&self) -> SystemTime {
        system_time(self.arrived_at_ms)
    }

    /// The record's position in its shard. Positions of one shard compare in the order of the
    /// shard.
    #[must_use]
    pub fn position(&self) -> Position {
        Position { sequence_number: self.sequence_number.clone(), sub_sequence_number: self.sub_sequence_number }
    }
}

/// Omits payload and partition key, which do not belong in logs.
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
