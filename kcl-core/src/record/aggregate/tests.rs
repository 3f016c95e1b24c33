use super::deaggregator::hash_key;
use super::*;
use crate::record::{Record, SequenceNumber};
use md5::{Digest, Md5};
use proptest::prelude::*;

const FULL: std::ops::RangeInclusive<u128> = 0..=u128::MAX;

fn record(data: impl Into<bytes::Bytes>) -> Record {
    Record::new(SequenceNumber::parse("77").unwrap(), data).with_partition_key("outer").with_arrival_ms(5)
}

/// An aggregate of this message, with a valid checksum.
fn framed(message: &[u8]) -> Vec<u8> {
    [&MAGIC[..], message, &Md5::digest(message)].concat()
}

fn deaggregated(deaggregator: &Deaggregator, data: impl Into<bytes::Bytes>) -> (Outcome, Vec<Record>) {
    let mut parts = Vec::new();
    let outcome = deaggregator.deaggregate(record(data), &mut parts);
    (outcome, parts)
}

/// Asserts that the record is returned unchanged, for this reason.
fn assert_unchanged(data: Vec<u8>, why: Corruption) {
    let (outcome, parts) = deaggregated(&Deaggregator::default(), data.clone());
    assert_eq!(outcome, Outcome::Corrupt(why), "{data:02x?}");
    assert_eq!(parts, [record(data)]);
}

#[test]
fn records_have_their_aggregates_sequence_number_and_their_own_keys() {
    let mut aggregator = Aggregator::default();
    for (key, data) in [("a", "one"), ("b", "two"), ("a", "three")] {
        aggregator.add(key, None, data.as_bytes()).unwrap();
    }
    let packed = aggregator.finish().unwrap();
    assert_eq!((packed.partition_key.as_str(), packed.records, packed.explicit_hash_key), ("a", 3, None));
    let (outcome, parts) = deaggregated(&Deaggregator::default(), packed.data);
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
fn payloads_are_slices_of_the_aggregates_payload() {
    let mut aggregator = Aggregator::default();
    aggregator.add("a", None, &[7; 1_000]).unwrap();
    let data = aggregator.finish().unwrap().data;
    let (within, (_, parts)) = (data.as_ptr_range(), deaggregated(&Deaggregator::default(), data.clone()));
    assert!(within.contains(&parts[0].data.as_ptr()));
}

#[test]
fn a_record_that_is_not_an_aggregate_is_returned_unchanged() {
    for data in [&b""[..], b"hello", &MAGIC, &[MAGIC, [0; 4]].concat(), &[1; 100]] {
        let (outcome, parts) = deaggregated(&Deaggregator::default(), data.to_vec());
        assert_eq!((outcome, parts), (Outcome::Plain, vec![record(data.to_vec())]));
    }
}

#[test]
fn an_empty_aggregate_has_no_records() {
    assert_eq!(
        deaggregated(&Deaggregator::default(), framed(b"")),
        (Outcome::Aggregate { parts: 0, foreign: 0 }, vec![])
    );
}

#[test]
fn every_kind_of_damage_is_named() {
    let good = framed(&[0x0a, 1, b'k', 0x1a, 5, 0x08, 0, 0x1a, 1, b'x']);
    assert_eq!(deaggregated(&Deaggregator::default(), good.clone()).0, Outcome::Aggregate { parts: 1, foreign: 0 });
    let mut wrong = good;
    wrong[6] = b'q';
    assert_unchanged(wrong, Corruption::Checksum);
    assert_unchanged(framed(&[0x0a, 9, b'k']), Corruption::CutOff);
    assert_unchanged(framed(&[0x0a]), Corruption::CutOff);
    assert_unchanged(framed(&[0x1a, 3, 0x08, 0, 0x1a]), Corruption::CutOff);
    assert_unchanged(framed(&[0x21, 1, 2, 3]), Corruption::CutOff);
    assert_unchanged(framed(&[0x0b]), Corruption::Malformed);
    assert_unchanged(framed(&[0x02, 0]), Corruption::Malformed);
    assert_unchanged(framed(&[0x08, 0]), Corruption::Malformed);
    assert_unchanged(framed(&[0x80, 0x80, 0x80, 0x80, 0x10, 0]), Corruption::Malformed);
    assert_unchanged(framed(&[0xff; 11]), Corruption::Malformed);
    assert_unchanged(framed(&[0x0a, 1, b'k', 0x1a, 5, 0x08, 1, 0x1a, 1, b'x']), Corruption::NoSuchKey);
    assert_unchanged(framed(&[0x0a, 1, b'k', 0x1a, 7, 0x08, 0, 0x10, 0, 0x1a, 1, b'x']), Corruption::NoSuchKey);
    assert_unchanged(framed(&[0x0a, 1, b'k', 0x1a, 2, 0x08, 0]), Corruption::Incomplete);
    assert_unchanged(framed(&[0x0a, 1, b'k', 0x1a, 3, 0x1a, 1, b'x']), Corruption::Incomplete);
    assert_unchanged(framed(&[0x0a, 1, 0xff]), Corruption::KeyText);
    assert_unchanged(framed(&[0x12, 1, b'z']), Corruption::HashKey);
}

#[test]
fn unknown_fields_are_skipped_and_tables_may_come_last() {
    // A record with a tag, an unknown field 9 of each type, then the key table.
    let message = [
        0x1a, 9, 0x08, 0, 0x1a, 1, b'x', 0x22, 2, 0x0a, 0, 0x48, 1, 0x4d, 1, 2, 3, 4, 0x49, 1, 2, 3, 4, 5, 6, 7, 8,
        0x0a, 1, b'k',
    ];
    let (outcome, parts) = deaggregated(&Deaggregator::default(), framed(&message));
    assert_eq!(outcome, Outcome::Aggregate { parts: 1, foreign: 0 });
    assert_eq!((parts[0].partition_key.as_deref(), &parts[0].data[..]), (Some("k"), &b"x"[..]));
}

#[test]
fn a_wrong_checksum_is_ignored_if_it_is_not_verified() {
    let mut data = framed(&[0x0a, 1, b'k', 0x1a, 5, 0x08, 0, 0x1a, 1, b'x']);
    *data.last_mut().unwrap() ^= 1;
    let (outcome, _) = deaggregated(&Deaggregator::default().checksum(Checksum::Skip), data);
    assert_eq!(outcome, Outcome::Aggregate { parts: 1, foreign: 0 });
}

#[test]
fn a_foreign_record_is_recognized_by_its_explicit_hash_key_or_its_partition_key() {
    let mut aggregator = Aggregator::default();
    let middle = hash_key("here");
    aggregator.add("here", None, b"own by its key").unwrap();
    aggregator.add("here", Some(middle + 1), b"foreign by its hash key").unwrap();
    aggregator.add("elsewhere", Some(middle), b"own by its hash key").unwrap();
    aggregator.add("elsewhere", None, b"foreign by its key").unwrap();
    let data = aggregator.finish().unwrap().data;
    let drops = Deaggregator::default().hash_range(middle..=middle).foreign_records(ForeignRecords::Drop);
    let (outcome, parts) = deaggregated(&drops, data.clone());
    assert_eq!(outcome, Outcome::Aggregate { parts: 4, foreign: 2 });
    // The records that remain keep their sub-sequence numbers.
    assert_eq!(parts.iter().map(|part| part.sub_sequence_number).collect::<Vec<_>>(), [0, 2]);
    let (outcome, parts) = deaggregated(&Deaggregator::default().hash_range(middle..=middle), data.clone());
    assert_eq!((outcome, parts.len()), (Outcome::Aggregate { parts: 4, foreign: 2 }, 4));
    for nothing_foreign in [Deaggregator::default(), Deaggregator::default().hash_range(FULL)] {
        let drops = nothing_foreign.foreign_records(ForeignRecords::Drop);
        assert_eq!(deaggregated(&drops, data.clone()).1.len(), 4);
    }
}

#[test]
fn a_hash_key_is_the_md5_of_the_partition_key() {
    // MD5("a") is 0cc175b9c0f1b6a831c399e269772661.
    assert_eq!(hash_key("a"), 0x0cc1_75b9_c0f1_b6a8_31c3_99e2_6977_2661);
}

#[test]
fn an_aggregate_accepts_no_more_than_its_limits() {
    let mut two = Aggregator::default().max_records(2);
    two.add("a", None, b"1").unwrap();
    two.add("a", None, b"2").unwrap();
    assert_eq!(two.add("a", None, b"3"), Err(Full));
    assert_eq!(two.finish().unwrap().records, 2);
    let mut small = Aggregator::default().max_bytes(200);
    while small.add("key", Some(7), &[1; 10]).is_ok() {}
    let packed = small.finish().unwrap();
    let size = packed.data.len() + packed.partition_key.len();
    assert!((180..=200).contains(&size), "{size}");
    assert_eq!(deaggregated(&Deaggregator::default(), packed.data).1.len(), packed.records);
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
    fn packed_records_are_unpacked(parts in parts(), start: u128, end: u128) {
        let Some(data) = packed(&parts) else { return Ok(()) };
        let range = start.min(end)..=start.max(end);
        let drops = Deaggregator::default().hash_range(range.clone()).foreign_records(ForeignRecords::Drop);
        for deaggregator in [Deaggregator::default(), drops.clone()] {
            let all = deaggregator.clone().hash_range(FULL);
            let (outcome, got) = deaggregated(&all, data.clone());
            prop_assert_eq!(outcome, Outcome::Aggregate { parts: parts.len() as u64, foreign: 0 });
            let got: Vec<_> = got.iter().map(|it| (it.partition_key.as_deref().unwrap(), &it.data[..])).collect();
            prop_assert_eq!(got, parts.iter().map(|(key, _, data)| (key.as_str(), &data[..])).collect::<Vec<_>>());
        }
        let own = |(key, hash, _): &&(String, Option<u128>, Vec<u8>)| range.contains(&hash.unwrap_or_else(|| hash_key(key)));
        prop_assert_eq!(deaggregated(&drops, data).1.len(), parts.iter().filter(own).count());
    }

    /// Nothing panics, and a record that is not de-aggregated is returned unchanged.
    #[test]
    fn any_bytes_are_deaggregated_or_returned_unchanged(message in proptest::collection::vec(any::<u8>(), 0..300), verify: bool) {
        let data = if verify { framed(&message) } else { [&MAGIC[..], &message].concat() };
        for checksum in [Checksum::Verify, Checksum::Skip] {
            let (outcome, parts) = deaggregated(&Deaggregator::default().checksum(checksum), data.clone());
            match outcome {
                Outcome::Aggregate { parts: count, .. } => prop_assert_eq!(parts.len() as u64, count),
                Outcome::Plain | Outcome::Corrupt(_) => prop_assert_eq!(parts, vec![record(data.clone())]),
            }
        }
    }

    /// Any flipped bit is detected.
    #[test]
    fn a_damaged_aggregate_is_returned_unchanged(parts in parts(), at: prop::sample::Index, bit in 0..8_u8) {
        let Some(data) = packed(&parts) else { return Ok(()) };
        let mut damaged = data.to_vec();
        let at = at.index(damaged.len());
        damaged[at] ^= 1 << bit;
        let (outcome, got) = deaggregated(&Deaggregator::default(), damaged.clone());
        let expected = if at < MAGIC.len() { Outcome::Plain } else { Outcome::Corrupt(Corruption::Checksum) };
        prop_assert_eq!(outcome, expected);
        prop_assert_eq!(got, vec![record(damaged)]);
    }
}
