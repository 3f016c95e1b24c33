//! Checks for any payload that it is de-aggregated as protocol buffers define, or delivered
//! unchanged.

use kcl_core::record::aggregate::{Aggregator, Checksum, Corruption, Deaggregator, ForeignRecords, Outcome};
use kcl_core::record::{Record, SequenceNumber};
use md5::{Digest, Md5};
use prost::Message;
use std::ops::RangeInclusive;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const MAGIC: [u8; 4] = [0xf3, 0x89, 0x9a, 0xc2];
const DIGEST: usize = 16;
const MIDDLE: u128 = 1 << 127;

/// Panics if the property does not hold, for the bytes as the payload, and as the message of an
/// aggregate.
pub(crate) fn holds(bytes: &[u8]) {
    payload(bytes);
    payload(&[&MAGIC, bytes, &Md5::digest(bytes)[..]].concat());
}

fn payload(bytes: &[u8]) {
    for checksum in [Checksum::Verify, Checksum::Skip] {
        let expected = expected(bytes, checksum);
        let all = Deaggregator::default().checksum(checksum);
        let (outcome, records) = deaggregate(&all, bytes);
        match (outcome, expected) {
            (Outcome::Plain, Expected::Plain) => unchanged(bytes, &records),
            (Outcome::Corrupt(Corruption::Checksum), Expected::WrongChecksum) => unchanged(bytes, &records),
            // The library does not support groups, which protocol buffers deprecated in 2008 and no
            // aggregate has.
            (Outcome::Corrupt(Corruption::Malformed), Expected::Records(_))
                if bytes.iter().any(|byte| byte & 7 == 3) =>
            {
                unchanged(bytes, &records);
            }
            (Outcome::Corrupt(_), Expected::Corrupt) => unchanged(bytes, &records),
            (Outcome::Aggregate { parts: count, foreign: 0 }, Expected::Records(expected)) => {
                assert_eq!(count, expected.len() as u64);
                same_records(bytes, &records, &expected);
                filtered_by_range(&all, bytes, &records, &expected);
                aggregated_again(&records);
            }
            (outcome, expected) => panic!("{outcome:?}, expected {expected:?}"),
        }
    }
}

/// The record is delivered unchanged.
fn unchanged(bytes: &[u8], records: &[Record]) {
    assert_eq!(records, [record(bytes)]);
}

/// The user records are those of protocol buffers, and their payloads are slices of the aggregate.
fn same_records(bytes: &[u8], records: &[Record], expected: &[UserRecord]) {
    assert_eq!(records.len(), expected.len());
    for (index, (record, expected)) in records.iter().zip(expected).enumerate() {
        assert_eq!(record.partition_key.as_deref(), Some(expected.key.as_str()));
        assert_eq!(record.data, expected.data);
        assert_eq!((record.sub_sequence_number, record.arrived_at()), (index as u64, arrival()));
        assert_eq!(record.sequence_number.as_str(), "77");
    }
    let read = record(bytes);
    let mut again = Vec::new();
    let within = read.data.as_ptr_range();
    Deaggregator::default().checksum(Checksum::Skip).deaggregate(read, &mut again);
    assert_eq!(again, records, "the same bytes have the same user records");
    for record in again.iter().filter(|record| !record.data.is_empty()) {
        let slice = record.data.as_ptr_range();
        assert!(within.start <= slice.start && slice.end <= within.end, "a payload was copied");
    }
}

/// With the hash range of half of the keys, the records of the other half are foreign: delivered or
/// dropped.
fn filtered_by_range(all: &Deaggregator, bytes: &[u8], records: &[Record], expected: &[UserRecord]) {
    for half in [0..=MIDDLE - 1, MIDDLE..=u128::MAX] {
        let is_own = |record: &UserRecord| half.contains(&record.hash_key);
        let foreign = expected.iter().filter(|record| !is_own(record)).count() as u64;
        let outcome = Outcome::Aggregate { parts: records.len() as u64, foreign };
        let with = |foreign: ForeignRecords, range: &RangeInclusive<u128>| {
            deaggregate(&all.clone().foreign_records(foreign).hash_range(range.clone()), bytes)
        };
        assert_eq!(with(ForeignRecords::Deliver, &half), (outcome, records.to_vec()));
        let own = records.iter().zip(expected).filter(|(_, expected)| is_own(expected));
        let kept = own.map(|(record, _)| record.clone());
        assert_eq!(with(ForeignRecords::Drop, &half), (outcome, kept.collect()));
    }
}

/// The user records survive our own aggregation.
fn aggregated_again(records: &[Record]) {
    let mut aggregator = Aggregator::default();
    for record in records {
        if aggregator.add(record.partition_key.as_deref().unwrap_or_default(), None, &record.data).is_err() {
            return;
        }
    }
    match aggregator.finish() {
        Some(packed) => assert_eq!(deaggregate(&Deaggregator::default(), &packed.data).1, records),
        None => assert!(records.is_empty()),
    }
}

fn arrival() -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(5)
}

fn record(bytes: &[u8]) -> Record {
    let number = SequenceNumber::parse("77").expect("digits are a number");
    Record::new(number, bytes.to_vec()).with_partition_key("outer").with_arrival(arrival())
}

fn deaggregate(deaggregator: &Deaggregator, bytes: &[u8]) -> (Outcome, Vec<Record>) {
    let mut records = Vec::new();
    let outcome = deaggregator.deaggregate(record(bytes), &mut records);
    (outcome, records)
}

/// The part of the published schema that the user records depend on
/// (<https://github.com/awslabs/amazon-kinesis-producer/blob/master/aggregation-format.md>).
#[derive(Message)]
struct Aggregated {
    #[prost(string, repeated, tag = "1")]
    partition_keys: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    explicit_hash_keys: Vec<String>,
    #[prost(message, repeated, tag = "3")]
    records: Vec<Packed>,
}

#[derive(Message)]
struct Packed {
    #[prost(uint64, optional, tag = "1")]
    partition_key: Option<u64>,
    #[prost(uint64, optional, tag = "2")]
    explicit_hash_key: Option<u64>,
    #[prost(bytes = "vec", optional, tag = "3")]
    data: Option<Vec<u8>>,
}

#[derive(Debug)]
enum Expected {
    Plain,
    WrongChecksum,
    Corrupt,
    Records(Vec<UserRecord>),
}

#[derive(Debug)]
struct UserRecord {
    key: String,
    hash_key: u128,
    data: Vec<u8>,
}

/// The result of prost, an independent parser.
fn expected(bytes: &[u8], checksum: Checksum) -> Expected {
    let Some((message, digest)) = bytes.strip_prefix(&MAGIC).and_then(|rest| rest.split_last_chunk::<DIGEST>()) else {
        return Expected::Plain;
    };
    if checksum == Checksum::Verify && Md5::digest(message)[..] != digest[..] {
        return Expected::WrongChecksum;
    }
    Aggregated::decode(message).ok().and_then(user_records).map_or(Expected::Corrupt, Expected::Records)
}

fn user_records(read: Aggregated) -> Option<Vec<UserRecord>> {
    let hash_keys: Vec<u128> = read.explicit_hash_keys.iter().map(|key| key.parse().ok()).collect::<Option<_>>()?;
    let user_record = |packed: Packed| {
        let key = read.partition_keys.get(usize::try_from(packed.partition_key?).ok()?)?;
        let hash_key = match packed.explicit_hash_key {
            Some(index) => *hash_keys.get(usize::try_from(index).ok()?)?,
            None => u128::from_be_bytes(Md5::digest(key).into()),
        };
        Some(UserRecord { key: key.clone(), hash_key, data: packed.data? })
    };
    read.records.into_iter().map(user_record).collect()
}
