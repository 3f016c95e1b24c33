//! Tests with random writes and reshards that every record is read once, in order, from parents to
//! children.

use std::collections::{BTreeMap, VecDeque};

use super::*;
use crate::kinesis::{HashKey, Reshard, SequenceNumber, ShardId};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Put(u8),
    Reshard(u32),
    SplitOne(u8),
    Wait(u16),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => any::<u8>().prop_map(Step::Put),
        1 => (1..6_u32).prop_map(Step::Reshard),
        1 => any::<u8>().prop_map(Step::SplitOne),
        1 => (0..3000_u16).prop_map(Step::Wait),
    ];
    proptest::collection::vec(step, 0..80)
}

/// Reads every shard after its parents, from the oldest record on, as a consumer does.
fn consume(bench: &mut Bench, limit: i64) -> Vec<(String, SequenceNumber, ShardId)> {
    let roots: Vec<_> =
        bench.shards().iter().filter(|shard| shard.parent_shard_id.is_none()).map(|shard| shard.shard_id).collect();
    let mut ready: VecDeque<ShardId> = roots.into();
    let mut waiting: BTreeMap<ShardId, usize> = BTreeMap::new();
    let mut read = Vec::new();
    while let Some(shard) = ready.pop_front() {
        let mut iterator = Some(bench.iterator(&shard.to_string()));
        while let Some(token) = iterator.take() {
            let input =
                GetRecordsInput { shard_iterator: Some(token), limit: Some(limit), ..GetRecordsInput::default() };
            let Ok(Response::GetRecords(answer)) = bench.call(input) else { panic!("refused") };
            for record in &answer.records.0 {
                read.push((record.partition_key.clone().unwrap().into(), record.sequence_number, shard));
            }
            for child in answer.child_shards.iter().flatten() {
                let missing = waiting.entry(child.shard_id).or_insert(child.parent_shards.len());
                *missing -= 1;
                if *missing == 0 {
                    ready.push_back(child.shard_id);
                }
            }
            let at_tip = answer.millis_behind_latest == 0 && answer.records.0.is_empty();
            iterator = answer.next_shard_iterator.filter(|_| !at_tip);
        }
    }
    read
}

proptest! {
    #[test]
    fn every_record_is_read_once_and_in_the_order_of_its_key(shards in 1..5_i64, steps in steps(), limit in 1..7_i64, seed in any::<u64>()) {
        let mut config = EngineConfig::simulation();
        config.read_throttling = false;
        let mut bench = Bench::seeded(config, seed);
        bench.create("s", shards).unwrap();
        let scope = bench.scope.clone();
        let mut written: BTreeMap<String, Vec<SequenceNumber>> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Put(key) => {
                    let key = key.to_string();
                    let put = bench.put(&key, "data");
                    let is_in_range = bench.shards().iter().any(|shard| shard.shard_id == put.shard_id && shard.hash_key_range.contains(HashKey::of(&key)));
                    prop_assert!(is_in_range);
                    written.entry(key).or_default().push(put.sequence_number);
                }
                Step::Reshard(count) => bench.engine.reshard(&scope, "s", Reshard::Count(count), bench.now).unwrap(),
                Step::SplitOne(key) => {
                    let hash_key = HashKey::of(&key.to_string());
                    let open = bench.shards().into_iter().filter(|shard| shard.sequence_number_range.ending_sequence_number.is_none());
                    let shard = open.filter(|shard| shard.hash_key_range.contains(hash_key)).map(|shard| shard.shard_id).next().unwrap();
                    bench.engine.reshard(&scope, "s", Reshard::Split(shard, hash_key), bench.now).unwrap();
                }
                Step::Wait(millis) => bench.wait(Duration::from_millis(millis.into())),
            }
        }
        let mut read: BTreeMap<String, Vec<SequenceNumber>> = BTreeMap::new();
        for (key, number, shard) in consume(&mut bench, limit) {
            prop_assert_eq!(number.shard_id(), shard);
            read.entry(key).or_default().push(number);
        }
        prop_assert!(written.values().all(|numbers| numbers.is_sorted()), "numbers of a key grow across reshards");
        prop_assert_eq!(read, written);
    }
}
