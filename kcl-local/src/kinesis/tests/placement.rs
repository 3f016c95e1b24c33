//! Streams whose records are placed by the service.

use super::*;

fn without_key() -> PutRecordInput {
    PutRecordInput { partition_key: None, ..put("", "data") }
}

#[test]
fn a_record_without_a_key_is_refused_unless_the_service_places_it() {
    let mut bench = Bench::with_stream(EngineConfig::in_process(), 1);
    let refused = bench.call(without_key()).unwrap_err();
    assert_eq!(refused.code, ErrorCode::Validation);
    assert!(refused.message.contains("Value null at 'partitionKey'"), "{}", refused.message);
}

#[test]
fn the_service_spreads_records_over_all_shards_and_gives_back_what_key_there_was() {
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
