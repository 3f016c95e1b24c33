//! What must hold of any bytes that a producer could put: they are taken apart as protocol buffers say, or come whole.

use kcl_core::aggregate::{Aggregator, Checksum, Corruption, Deaggregator, ForeignRecords, Outcome};
use kcl_core::record::{Record, SequenceNumber};
use md5::{Digest, Md5};
use prost::Message;
use std::ops::RangeInclusive;

const MAGIC: [u8; 4] = [0xf3, 0x89, 0x9a, 0xc2];
const DIGEST: usize = 16;
const MIDDLE: u128 = 1 << 127;

/// Panics if it does not hold, of the bytes as they are and as the message of an aggregate.
pub(crate) fn holds(bytes: &[u8]) {
    payload(bytes);
    payload(&[&MAGIC, bytes, &Md5::digest(bytes)[..]].concat());
}

fn payload(bytes: &[u8]) {
    for checksum in [Checksum::Verify, Checksum::Skip] {
        let expected = expected(bytes, checksum);
        let all = Deaggregator::default().checksum(checksum);
        let (outcome, parts) = apart(&all, bytes);
        match (outcome, expected) {
            (Outcome::Plain, Expected::Plain) => whole(bytes, &parts),
            (Outcome::Corrupt(Corruption::Checksum), Expected::WrongChecksum) => whole(bytes, &parts),
            // Groups, which protocol buffers gave up in 2008 and no aggregate ever had, are no fields here.
            (Outcome::Corrupt(Corruption::Malformed), Expected::Parts(_)) if bytes.iter().any(|byte| byte & 7 == 3) => {
                whole(bytes, &parts);
            }
            (Outcome::Corrupt(_), Expected::Corrupt) => whole(bytes, &parts),
            (Outcome::Aggregate { parts: count, foreign: 0 }, Expected::Parts(expected)) => {
                assert_eq!(count, expected.len() as u64);
                taken_apart(bytes, &parts, &expected);
                by_range(&all, bytes, &parts, &expected);
                packed_again(&parts);
            }
            (outcome, expected) => panic!("{outcome:?}, but {expected:?}"),
        }
    }
}

/// A record as it came.
fn whole(bytes: &[u8], parts: &[Record]) {
    assert_eq!(parts, [record(bytes)]);
}

fn taken_apart(bytes: &[u8], parts: &[Record], expected: &[Part]) {
    assert_eq!(parts.len(), expected.len());
    for (index, (part, expected)) in parts.iter().zip(expected).enumerate() {
        assert_eq!(part.partition_key.as_deref(), Some(expected.key.as_str()));
        assert_eq!(part.data, expected.data);
        assert_eq!((part.sub_sequence_number, part.arrived_at_ms), (index as u64, 5));
        assert_eq!(part.sequence_number.as_str(), "77");
    }
    // The payloads are places in what was read, in its order or not.
    let read = record(bytes);
    let mut again = Vec::new();
    let within = read.data.as_ptr_range();
    Deaggregator::default().checksum(Checksum::Skip).take_apart(read, &mut again);
    assert_eq!(again, parts, "the same bytes, the same parts");
    for part in again.iter().filter(|part| !part.data.is_empty()) {
        let place = part.data.as_ptr_range();
        assert!(within.start <= place.start && place.end <= within.end, "a payload was copied");
    }
}

/// Each part belongs to one half of the hash keys, and goes there as it is among all.
fn by_range(all: &Deaggregator, bytes: &[u8], parts: &[Record], expected: &[Part]) {
    for half in [0..=MIDDLE - 1, MIDDLE..=u128::MAX] {
        let own = |part: &Part| half.contains(&part.hash_key);
        let foreign = expected.iter().filter(|part| !own(part)).count() as u64;
        let outcome = Outcome::Aggregate { parts: parts.len() as u64, foreign };
        let of = |foreign: ForeignRecords, range: &RangeInclusive<u128>| {
            apart(&all.clone().foreign_records(foreign).hash_range(range.clone()), bytes)
        };
        assert_eq!(of(ForeignRecords::Deliver, &half), (outcome, parts.to_vec()));
        let kept = parts.iter().zip(expected).filter(|(_, part)| own(part)).map(|(part, _)| part.clone());
        assert_eq!(of(ForeignRecords::Drop, &half), (outcome, kept.collect()));
    }
}

/// What came out of an aggregate comes out of one of ours.
fn packed_again(parts: &[Record]) {
    let mut aggregator = Aggregator::default();
    for part in parts {
        if aggregator.add(part.partition_key.as_deref().unwrap_or_default(), None, &part.data).is_err() {
            return;
        }
    }
    match aggregator.finish() {
        Some(packed) => assert_eq!(apart(&Deaggregator::default(), &packed.data).1, parts),
        None => assert!(parts.is_empty()),
    }
}

fn record(bytes: &[u8]) -> Record {
    let number = SequenceNumber::parse("77").expect("digits are a number");
    Record::new(number, bytes.to_vec()).with_partition_key("outer").with_arrival_ms(5)
}

fn apart(deaggregator: &Deaggregator, bytes: &[u8]) -> (Outcome, Vec<Record>) {
    let mut parts = Vec::new();
    let outcome = deaggregator.take_apart(record(bytes), &mut parts);
    (outcome, parts)
}

/// The published schema, as far as it says what comes out.
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
    Parts(Vec<Part>),
}

#[derive(Debug)]
struct Part {
    key: String,
    hash_key: u128,
    data: Vec<u8>,
}

/// What somebody else's parser makes of it.
fn expected(bytes: &[u8], checksum: Checksum) -> Expected {
    let Some((message, digest)) = bytes.strip_prefix(&MAGIC).and_then(|rest| rest.split_last_chunk::<DIGEST>()) else {
        return Expected::Plain;
    };
    if checksum == Checksum::Verify && Md5::digest(message)[..] != digest[..] {
        return Expected::WrongChecksum;
    }
    Aggregated::decode(message).ok().and_then(parts).map_or(Expected::Corrupt, Expected::Parts)
}

fn parts(read: Aggregated) -> Option<Vec<Part>> {
    let hash_keys: Vec<u128> = read.explicit_hash_keys.iter().map(|key| key.parse().ok()).collect::<Option<_>>()?;
    let part = |packed: Packed| {
        let key = read.partition_keys.get(usize::try_from(packed.partition_key?).ok()?)?;
        let hash_key = match packed.explicit_hash_key {
            Some(index) => *hash_keys.get(usize::try_from(index).ok()?)?,
            None => u128::from_be_bytes(Md5::digest(key).into()),
        };
        Some(Part { key: key.clone(), hash_key, data: packed.data? })
    };
    read.records.into_iter().map(part).collect()
}
