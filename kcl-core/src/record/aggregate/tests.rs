use super::deaggregator::hash_key;
use super::*;
use crate::record::{Record, SequenceNumber};
use md5::{Digest, Md5};
use proptest::prelude::*;

const FULL: std::ops::RangeInclusive<u128> = 0..=u128::MAX;

fn record(data: impl Into<bytes::Bytes>) -> Record {
    Record::new(SequenceNumber::parse("77").unwrap(), data).with_partition_key("outer").with_arrival_ms(5)
}

/// An aggregate of this message, with the right checksum.
fn framed(message: &[u8]) -> Vec<u8> {
    [&MAGIC[..], message, &Md5::digest(message)].concat()
}

fn apart(deaggregator: &Deaggregator, data: impl Into<bytes::Bytes>) -> (Outcome, Vec<Record>) {
    let mut parts = Vec::new();
    let outcome = deaggregator.take_apart(record(data), &mut parts);
    (outcome, parts)
}

/// It is given back as it came, for this reason.
fn assert_raw(data: Vec<u8>, why: Corruption) {
    let (outcome, parts) = apart(&Deaggregator::default(), data.clone());
    assert_eq!(outcome, Outcome::Corrupt(why), "{data:02x?}");
    assert_eq!(parts, [record(data)]);
}

#[test]
fn parts_have_the_numbers_of_their_aggregate_and_keys_of_their_own() {
    let mut aggregator = Aggregator::default();
    for (key, data) in [("a", "one"), ("b", "two"), ("a", "three")] {
        aggregator.add(key, None, data.as_bytes()).unwrap();
    }
    let packed = aggregator.finish().unwrap();
    assert_eq!((packed.partition_key.as_str(), packed.records, packed.explicit_hash_key), ("a", 3, None));
    let (outcome, parts) = apart(&Deaggregator::default(), packed.data);
    assert_eq!(outcome, Outcome::Aggregate { parts: 3, foreign: 0 });
    let seen: Vec<_> = parts
        .iter()
        .map(|it| (it.partition_key.as_deref().unwrap(), &it.data[..], it.sub_sequence_number, it.arrived_at_ms))
        .collect();
    assert_eq!(seen, [("a", &b"one"[..], 0, 5), ("b", b"two", 1, 5), ("a", b"three", 2, 5)]);
    assert!(parts.iter().all(|part| part.sequence_number.as_str() == "77"));
    assert!(aggregator.is_empty() && aggregator.finish().is_none());
}

#[test]
fn payloads_are_slices_of_what_was_read() {
    let mut aggregator = Aggregator::default();
    aggregator.add("a", None, &[7; 1_000]).unwrap();
    let data = aggregator.finish().unwrap().data;
    let (within, (_, parts)) = (data.as_ptr_range(), apart(&Deaggregator::default(), data.clone()));
    assert!(within.contains(&parts[0].data.as_ptr()));
}

#[test]
fn what_is_no_aggregate_stays_as_it_is() {
    for data in [&b""[..], b"hello", &MAGIC, &[MAGIC, [0; 4]].concat(), &[1; 100]] {
        let (outcome, parts) = apart(&Deaggregator::default(), data.to_vec());
        assert_eq!((outcome, parts), (Outcome::Plain, vec![record(data.to_vec())]));
    }
}

#[test]
fn an_aggregate_of_nothing_has_no_parts() {
    assert_eq!(apart(&Deaggregator::default(), framed(b"")), (Outcome::Aggregate { parts: 0, foreign: 0 }, vec![]));
}

#[test]
fn every_kind_of_damage_has_a_name() {
    let good = framed(&[0x0a, 1, b'k', 0x1a, 5, 0x08, 0, 0x1a, 1, b'x']);
    assert_eq!(apart(&Deaggregator::default(), good.clone()).0, Outcome::Aggregate { parts: 1, foreign: 0 });
    let mut wrong = good;
    wrong[6] = b'q';
    assert_raw(wrong, Corruption::Checksum);
    assert_raw(framed(&[0x0a, 9, b'k']), Corruption::CutOff);
    assert_raw(framed(&[0x0a]), Corruption::CutOff);
    assert_raw(framed(&[0x1a, 3, 0x08, 0, 0x1a]), Corruption::CutOff);
    assert_raw(framed(&[0x21, 1, 2, 3]), Corruption::CutOff);
    assert_raw(framed(&[0x0b]), Corruption::Malformed);
    assert_raw(framed(&[0x02, 0]), Corruption::Malformed);
    assert_raw(framed(&[0x08, 0]), Corruption::Malformed);
    assert_raw(framed(&[0x80, 0x80, 0x80, 0x80, 0x10, 0]), Corruption::Malformed);
    assert_raw(framed(&[0xff; 11]), Corruption::Malformed);
    assert_raw(framed(&[0x0a, 1, b'k', 0x1a, 5, 0x08, 1, 0x1a, 1, b'x']), Corruption::NoSuchKey);
    assert_raw(framed(&[0x0a, 1, b'k', 0x1a, 7, 0x08, 0, 0x10, 0, 0x1a, 1, b'x']), Corruption::NoSuchKey);
    assert_raw(framed(&[0x0a, 1, b'k', 0x1a, 2, 0x08, 0]), Corruption::Incomplete);
    assert_raw(framed(&[0x0a, 1, b'k', 0x1a, 3, 0x1a, 1, b'x']), Corruption::Incomplete);
    assert_raw(framed(&[0x0a, 1, 0xff]), Corruption::KeyText);
    assert_raw(framed(&[0x12, 1, b'z']), Corruption::HashKey);
}

#[test]
fn fields_that_nobody_described_are_passed_over_and_tables_may_come_last() {
    // A tag of the record, fields 9 of each type, the record before its key.
    let message = [
        0x1a, 9, 0x08, 0, 0x1a, 1, b'x', 0x22, 2, 0x0a, 0, 0x48, 1, 0x4d, 1, 2, 3, 4, 0x49, 1, 2, 3, 4, 5, 6, 7, 8,
        0x0a, 1, b'k',
    ];
    let (outcome, parts) = apart(&Deaggregator::default(), framed(&message));
    assert_eq!(outcome, Outcome::Aggregate { parts: 1, foreign: 0 });
    assert_eq!((parts[0].partition_key.as_deref(), &parts[0].data[..]), (Some("k"), &b"x"[..]));
}

#[test]
fn without_a_look_at_the_checksum_it_may_be_wrong() {
    let mut data = framed(&[0x0a, 1, b'k', 0x1a, 5, 0x08, 0, 0x1a, 1, b'x']);
    *data.last_mut().unwrap() ^= 1;
    let (outcome, _) = apart(&Deaggregator::default().checksum(Checksum::Skip), data);
    assert_eq!(outcome, Outcome::Aggregate { parts: 1, foreign: 0 });
}

#[test]
fn what_belongs_to_another_shard_is_told_by_its_explicit_hash_key_or_its_partition_keys() {
    let mut aggregator = Aggregator::default();
    let middle = hash_key("here");
    aggregator.add("here", None, b"own by its key").unwrap();
    aggregator.add("here", Some(middle + 1), b"foreign by its hash key").unwrap();
    aggregator.add("elsewhere", Some(middle), b"own by its hash key").unwrap();
    aggregator.add("elsewhere", None, b"foreign by its key").unwrap();
    let data = aggregator.finish().unwrap().data;
    let drops = Deaggregator::default().hash_range(middle..=middle).foreign_records(ForeignRecords::Drop);
    let (outcome, parts) = apart(&drops, data.clone());
    assert_eq!(outcome, Outcome::Aggregate { parts: 4, foreign: 2 });
    // Those that stay keep their numbers.
    assert_eq!(parts.iter().map(|part| part.sub_sequence_number).collect::<Vec<_>>(), [0, 2]);
    let (outcome, parts) = apart(&Deaggregator::default().hash_range(middle..=middle), data.clone());
    assert_eq!((outcome, parts.len()), (Outcome::Aggregate { parts: 4, foreign: 2 }, 4));
    for nothing_foreign in [Deaggregator::default(), Deaggregator::default().hash_range(FULL)] {
        let drops = nothing_foreign.foreign_records(ForeignRecords::Drop);
        assert_eq!(apart(&drops, data.clone()).1.len(), 4);
    }
}

#[test]
fn a_hash_key_is_the_md5_of_the_partition_key() {
    // MD5("a") is 0cc175b9c0f1b6a831c399e269772661.
    assert_eq!(hash_key("a"), 0x0cc1_75b9_c0f1_b6a8_31c3_99e2_6977_2661);
}

#[test]
fn an_aggregate_takes_no_more_than_it_may() {
    let mut two = Aggregator::default().most_records(2);
    two.add("a", None, b"1").unwrap();
    two.add("a", None, b"2").unwrap();
    assert_eq!(two.add("a", None, b"3"), Err(Full));
    assert_eq!(two.finish().unwrap().records, 2);
    let mut small = Aggregator::default().most_bytes(200);
    while small.add("key", Some(7), &[1; 10]).is_ok() {}
    let packed = small.finish().unwrap();
    let size = packed.data.len() + packed.partition_key.len();
    assert!((180..=200).contains(&size), "{size}");
    assert_eq!(apart(&Deaggregator::default(), packed.data).1.len(), packed.records);
    assert_eq!(Aggregator::default().add("a", None, &vec![0; LARGEST_PAYLOAD]), Err(Full));
}

const LARGEST_PAYLOAD: usize = 1024 * 1024;

fn parts() -> impl Strategy<Value = Vec<(String, Option<u128>, Vec<u8>)>> {
    let key = prop_oneof!["[a-c]", ".{1,20}"];
    let hash = proptest::option::of(prop_oneof![0..4_u128, any::<u128>()]);
    let data = proptest::collection::vec(any::<u8>(), 0..200);
    proptest::collection::vec((key, hash, data), 0..40)
}

fn packed(parts: &[(String, Option<u128>, Vec<u8>)]) -> Option<bytes::Bytes> {
    let mut aggregator = Aggregator::default();
    for (key, hash, data) in parts {
        aggregator.add(key, *hash, data).unwrap();
    }
    aggregator.finish().map(|packed| packed.data)
}

proptest! {
    #[test]
    fn what_was_packed_comes_out(parts in parts(), start: u128, end: u128) {
        let Some(data) = packed(&parts) else { return Ok(()) };
        let range = start.min(end)..=start.max(end);
        let drops = Deaggregator::default().hash_range(range.clone()).foreign_records(ForeignRecords::Drop);
        for deaggregator in [Deaggregator::default(), drops.clone()] {
            let all = deaggregator.clone().hash_range(FULL);
            let (outcome, got) = apart(&all, data.clone());
            prop_assert_eq!(outcome, Outcome::Aggregate { parts: parts.len() as u64, foreign: 0 });
            let got: Vec<_> = got.iter().map(|it| (it.partition_key.as_deref().unwrap(), &it.data[..])).collect();
            prop_assert_eq!(got, parts.iter().map(|(key, _, data)| (key.as_str(), &data[..])).collect::<Vec<_>>());
        }
        let own = |(key, hash, _): &&(String, Option<u128>, Vec<u8>)| range.contains(&hash.unwrap_or_else(|| hash_key(key)));
        prop_assert_eq!(apart(&drops, data).1.len(), parts.iter().filter(own).count());
    }

    /// Nothing panics, and what is not taken apart is given back.
    #[test]
    fn any_bytes_are_parts_or_themselves(message in proptest::collection::vec(any::<u8>(), 0..300), verify: bool) {
        let data = if verify { framed(&message) } else { [&MAGIC[..], &message].concat() };
        for checksum in [Checksum::Verify, Checksum::Skip] {
            let (outcome, parts) = apart(&Deaggregator::default().checksum(checksum), data.clone());
            match outcome {
                Outcome::Aggregate { parts: count, .. } => prop_assert_eq!(parts.len() as u64, count),
                Outcome::Plain | Outcome::Corrupt(_) => prop_assert_eq!(parts, vec![record(data.clone())]),
            }
        }
    }

    /// However an aggregate is damaged, it is noticed.
    #[test]
    fn a_damaged_aggregate_is_given_back(parts in parts(), at: prop::sample::Index, bit in 0..8_u8) {
        let Some(data) = packed(&parts) else { return Ok(()) };
        let mut damaged = data.to_vec();
        let at = at.index(damaged.len());
        damaged[at] ^= 1 << bit;
        let (outcome, got) = apart(&Deaggregator::default(), damaged.clone());
        let expected = if at < MAGIC.len() { Outcome::Plain } else { Outcome::Corrupt(Corruption::Checksum) };
        prop_assert_eq!(outcome, expected);
        prop_assert_eq!(got, vec![record(damaged)]);
    }
}
