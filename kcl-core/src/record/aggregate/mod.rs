//! Packs and unpacks aggregates: several records in one, as the Kinesis Producer Library (KPL)
//! makes them.
//!
//! A worker de-aggregates records itself (settings `deaggregate`, `aggregate_checksum`,
//! `foreign_records`, `corrupt_aggregates`). This module can also be used without a worker.
//!
//! ```
//! use kcl_core::record::aggregate::{Aggregator, Deaggregator, Outcome};
//! use kcl_core::record::{Record, SequenceNumber};
//!
//! let mut aggregator = Aggregator::default();
//! aggregator.add("key-1", None, b"first").unwrap();
//! aggregator.add("key-2", None, b"second").unwrap();
//! let packed = aggregator.finish().unwrap();
//!
//! let record = Record::new(SequenceNumber::parse("7")?, packed.data).with_partition_key(packed.partition_key);
//! let mut parts = Vec::new();
//! let outcome = Deaggregator::default().deaggregate(record, &mut parts);
//! assert_eq!(outcome, Outcome::Aggregate { parts: 2, foreign: 0 });
//! assert_eq!((&parts[1].data[..], parts[1].sub_sequence_number), (&b"second"[..], 1));
//! # Ok::<(), kcl_core::record::InvalidSequenceNumber>(())
//! ```
//!
//! # The format
//! `f3 89 9a c2`, a protocol-buffers message, and the MD5 of that message ([awslabs, "KPL
//! Aggregated Record
//! Format"](https://github.com/awslabs/amazon-kinesis-producer/blob/master/aggregation-format.md)).
//! The message contains a table of partition keys, a table of explicit hash keys, and records that
//! refer to both by index. Unknown fields are skipped.
//!
//! # What holds
//! - A record of an aggregate has the aggregate's sequence number and arrival time, and its index,
//!   from 0, as its sub-sequence number. KCL does the same, so positions within an aggregate mean
//!   the same to both.
//! - A payload is a slice of the aggregate's payload. Nothing is copied.
//! - No input panics, and no record is left out unless [`ForeignRecords::Drop`] is set: a record
//!   that is not a complete aggregate is returned unchanged.

mod aggregator;
mod deaggregator;
mod message;
#[cfg(test)]
mod tests;

pub use aggregator::{Aggregator, Full, Packed};
pub use deaggregator::{Checksum, Deaggregator, ForeignRecords, Outcome};
pub(crate) use deaggregator::{Opened, Parts};
pub use message::Corruption;

/// The first bytes of every aggregate.
const MAGIC: [u8; 4] = [0xf3, 0x89, 0x9a, 0xc2];
/// The length of the MD5 at its end.
const DIGEST: usize = 16;
