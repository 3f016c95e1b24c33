//! Tests streams with the distribution strategy `AUTO`.

use super::*;
use crate::kinesis::SequenceNumber;

fn without_key() -> PutRecordInput {
    PutRecordInput { partition_key: None, ..put("", "data") }
}

#[test]
fn a_record_without_a_key_is_refused_without_the_strategy_auto() {
    let mut bench = Bench::with_stream(EngineConfig::in_process(), 1);
    let refused = bench.call(without_key()).unwrap_err();
    assert_eq!(refused.code, ErrorCode::Validation);
    assert!(refused.message.contains("Value null at 'partitionKey'"), "{}", refused.message);
}

#[test]
fn auto_spreads_records_over_all_shards_and_keeps_partition_keys() {
    let mut bench = Bench::new(EngineConfig::in_process());
    bench.create_on_demand("s", Some("AUTO")).unwrap();
    let mut shards = std::collections::BTreeSet::new();
    for _ in 0..100 {
        shards.insert(bench.put("always the same", "data").shard_id);
    }
    assert_eq!(shards.len(), 4);
    for _ in 0..100 {
        bench.call(without_key()).unwrap();
    }
    let keys: std::collections::BTreeSet<_> =
        bench.read("0").records.0.iter().map(|record| record.partition_key.clone()).collect();
    assert_eq!(keys, [None, Some("always the same".into())].into());
}

#[test]
fn the_strategy_needs_an_on_demand_stream() {
    let mut bench = Bench::with_stream(EngineConfig::in_process(), 1);
    let update = UpdateStreamRecordDistributionStrategyInput {
        stream_arn: arn(),
        record_distribution_strategy: Some("AUTO".to_owned()),
    };
    assert_eq!(bench.refused(update.clone()), ErrorCode::Validation);
    let on_demand = UpdateStreamModeInput {
        stream_arn: arn(),
        stream_mode_details: Some(StreamModeDetailsInput { stream_mode: Some("ON_DEMAND".to_owned()) }),
        warm_throughput_mibps: None,
    };
    bench.call(on_demand).unwrap();
    bench.call(update).unwrap();
    assert_eq!(bench.summary().record_distribution_strategy, Some(RecordDistributionStrategy::Auto));
}

#[test]
fn a_forged_sequence_number_for_ordering_does_not_use_up_the_numbers_of_a_shard() {
    let mut bench = Bench::with_stream(EngineConfig::in_process(), 1);
    let first = bench.put("key", "data").sequence_number;
    let ahead =
        |index| SequenceNumber::new(first.shard_created(), first.shard_id(), index, first.seconds()).to_string();
    let ordered = |floor: String| PutRecordInput { sequence_number_for_ordering: Some(floor), ..put("key", "data") };
    for forged in [1 << 41, 1 << 62, SequenceNumber::LAST_INDEX - 1, SequenceNumber::LAST_INDEX] {
        assert_eq!(bench.refused(ordered(ahead(forged))), ErrorCode::InvalidArgument, "{forged}");
    }
    assert_eq!(bench.put("key", "data").sequence_number.index(), first.index() + 1);
    bench.call(ordered(ahead(1 << 20))).unwrap();
    assert!(bench.put("key", "data").sequence_number.index() > 1 << 20);
}

#[test]
fn writes_trim_old_records_that_are_not_read() {
    let mut bench = Bench::with_stream(EngineConfig::in_process(), 1);
    let stored = |bench: &mut Bench| {
        let (scope, now) = (bench.scope.clone(), bench.now);
        bench.engine.with(&scope, now, |account, call| {
            account.named(call, "s").unwrap().shards.iter().map(|shard| shard.log.len()).sum::<usize>()
        })
    };
    for _ in 0..10 {
        bench.put("key", "data");
    }
    bench.wait(Duration::from_secs(23 * 3_600));
    bench.put("key", "data");
    assert_eq!(stored(&mut bench), 11);
    bench.wait(Duration::from_secs(3_601));
    bench.put("key", "data");
    assert_eq!(stored(&mut bench), 2);
    let entry = PutRecordsRequestEntry {
        data: Some("data".into()),
        partition_key: Some("key".to_owned()),
        explicit_hash_key: None,
    };
    bench.wait(Duration::from_secs(25 * 3_600));
    bench
        .call(PutRecordsInput { records: Some(vec![entry]), stream_name: name(), ..PutRecordsInput::default() })
        .unwrap();
    assert_eq!(stored(&mut bench), 1);
}
