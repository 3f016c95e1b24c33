//! Records that producers packed into one: the aggregates of the Kinesis Producer Library, taken apart and made.
//!
//! A worker acquires aggregates apart by itself (settings `deaggregate`, `aggregate_checksum`, `foreign_records`,
//! `corrupt_aggregates`); this module can be used alone as well.
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
//! let outcome = Deaggregator::default().take_apart(record, &mut parts);
//! assert_eq!(outcome, Outcome::Aggregate { parts: 2, foreign: 0 });
//! assert_eq!((&parts[1].data[..], parts[1].sub_sequence_number), (&b"second"[..], 1));
//! # Ok::<(), kcl_core::record::InvalidSequenceNumber>(())
//! ```
//!
//! # The format
//! `f3 89 9a c2`, a protocol-buffers message, and the MD5 of that message
//! ([awslabs, "KPL Aggregated Record Format"](https://github.com/awslabs/amazon-kinesis-producer/blob/master/aggregation-format.md)).
//! The message has a table of partition keys, one of explicit hash keys, and records that name both by their indices. Fields
//! it does not describe are passed over.
//!
//! # Guarantees
//! - A part has its aggregate's sequence number and arrival time, and its own index as sub-sequence number, from 0 on, as in
//!   the KCL: positions within an aggregate mean the same to both.
//! - A payload is a slice of what was read: nothing is copied.
//! - Whatever bytes come, nothing panics, and nothing is left out unless [`ForeignRecords::Drop`] says so: a record that is no
//!   whole aggregate is given back as it came.

mod aggregator;
mod deaggregator;
mod message;
#[cfg(test)]
mod tests;

pub use aggregator::{Aggregator, Full, Packed};
pub use deaggregator::{Checksum, Deaggregator, ForeignRecords, Outcome};
pub(crate) use deaggregator::{Opened, Parts};
pub use message::Corruption;

/// What every aggregate begins with.
const MAGIC: [u8; 4] = [0xf3, 0x89, 0x9a, 0xc2];
/// The MD5 at its end.
const DIGEST: usize = 16;
