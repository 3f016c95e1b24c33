#![cfg(test)]
//! Aggregates made by AWS's own aggregators, and some by hand (`golden/aggregates/make`), unpacked
//! by ours.

use kcl_core::record::aggregate::{Checksum, Corruption, Deaggregator, ForeignRecords, Outcome};
use kcl_core::record::{Record, SequenceNumber};
use md5::{Digest, Md5};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Partition key, explicit hash key, payload in hexadecimal.
type Packed = (String, Option<String>, String);

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/aggregates")
}

fn scenes() -> BTreeMap<String, Vec<Packed>> {
    serde_json::from_slice(&std::fs::read(folder().join("scenes.json")).unwrap()).unwrap()
}

fn record(data: Vec<u8>) -> Record {
    Record::new(SequenceNumber::parse("7").unwrap(), data)
}

fn goldens() -> impl Iterator<Item = (PathBuf, Vec<Packed>)> {
    let of = |language: &'static str| {
        scenes().into_iter().map(move |(name, packed)| (folder().join(language).join(name), packed))
    };
    of("python").chain(of("javascript"))
}

fn hex(data: &[u8]) -> String {
    data.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn aggregates_of_other_producers_are_unpacked() {
    let mut count = 0;
    for (file, packed) in goldens() {
        let mut parts = Vec::new();
        let outcome = Deaggregator::default().deaggregate(record(std::fs::read(&file).unwrap()), &mut parts);
        assert_eq!(outcome, Outcome::Aggregate { parts: packed.len() as u64, foreign: 0 }, "{file:?}");
        for (index, (part, (key, _, data))) in parts.iter().zip(&packed).enumerate() {
            assert_eq!(
                (part.partition_key.as_deref(), &hex(&part.data)),
                (Some(key.as_str()), data),
                "{file:?} {index}"
            );
            assert_eq!(part.sub_sequence_number, index as u64);
        }
        count += 1;
    }
    assert_eq!(count, 24);
}

#[test]
fn explicit_hash_keys_decide_which_shard_owns_a_part() {
    let half = u128::MAX / 2;
    for language in ["python", "javascript"] {
        let packed = &scenes()["explicit_hash_keys"];
        let own = |packed: &&Packed| packed.1.as_ref().unwrap().parse::<u128>().unwrap() <= half;
        let data = std::fs::read(folder().join(language).join("explicit_hash_keys")).unwrap();
        let mut parts = Vec::new();
        let drops = Deaggregator::default().hash_range(0..=half).foreign_records(ForeignRecords::Drop);
        drops.deaggregate(record(data), &mut parts);
        let expected: Vec<&String> = packed.iter().filter(own).map(|packed| &packed.2).collect();
        assert!(!expected.is_empty() && expected.len() < packed.len());
        assert_eq!(parts.iter().map(|part| hex(&part.data)).collect::<Vec<_>>().iter().collect::<Vec<_>>(), expected);
    }
}

/// Ours accepts what Google's parser accepts, however it is encoded, and refuses what it refuses.
#[test]
fn valid_protocol_buffers_are_unpacked_and_invalid_ones_are_delivered_whole() {
    let expected: BTreeMap<String, Option<Vec<Packed>>> =
        serde_json::from_slice(&std::fs::read(folder().join("hand.json")).unwrap()).unwrap();
    assert_eq!((expected.len(), expected.values().flatten().count()), (21, 12));
    let half = u128::MAX / 2;
    for (name, expected) in expected {
        let data = std::fs::read(folder().join("hand").join(&name)).unwrap();
        let mut parts = Vec::new();
        let outcome = Deaggregator::default().hash_range(0..=half).deaggregate(record(data.clone()), &mut parts);
        let Some(packed) = expected else {
            assert!(matches!(outcome, Outcome::Corrupt(why) if why != Corruption::Checksum), "{name}: {outcome:?}");
            assert_eq!(parts, [record(data)], "{name}");
            continue;
        };
        let hash_key = |(key, hash_key, _): &Packed| match hash_key {
            Some(digits) => digits.parse().unwrap(),
            None => u128::from_be_bytes(Md5::digest(key).into()),
        };
        let foreign = packed.iter().filter(|packed| hash_key(packed) > half).count() as u64;
        assert_eq!(outcome, Outcome::Aggregate { parts: packed.len() as u64, foreign }, "{name}");
        let came: Vec<_> = parts.iter().map(|it| (it.partition_key.as_deref().unwrap(), hex(&it.data))).collect();
        assert_eq!(came, packed.iter().map(|it| (it.0.as_str(), it.2.clone())).collect::<Vec<_>>(), "{name}");
    }
}

#[test]
fn damaged_aggregates_are_unpacked_or_delivered_whole() {
    let mut rng = fastrand::Rng::with_seed(1);
    for (file, _) in goldens() {
        let data = std::fs::read(&file).unwrap();
        for _ in 0..400 {
            let mut damaged = data.clone();
            for _ in 0..rng.usize(1..4) {
                let at = rng.usize(0..damaged.len());
                match rng.u8(0..4) {
                    0 => damaged.truncate(at.max(1)),
                    1 => damaged.insert(at, rng.u8(..)),
                    2 => drop(damaged.remove(at)),
                    _ => damaged[at] = rng.u8(..),
                }
                if damaged.is_empty() {
                    damaged.push(0);
                }
            }
            let mut parts = Vec::new();
            let outcome = Deaggregator::default()
                .checksum(Checksum::Skip)
                .hash_range(0..=rng.u128(..))
                .deaggregate(record(damaged.clone()), &mut parts);
            match outcome {
                Outcome::Aggregate { parts: count, .. } => assert_eq!(parts.len() as u64, count),
                Outcome::Plain | Outcome::Corrupt(_) => assert_eq!(parts, [record(damaged)]),
            }
        }
    }
}
