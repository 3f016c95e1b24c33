//! Tests the settings of the engine.

use super::*;
use crate::kinesis::{HashKey, Reshard, ShardEndAnswer, ShardId, Transitions};

const SHARD: &str = "shardId-000000000000";

#[test]
fn a_transition_takes_effect_at_its_time_not_at_the_next_call() {
    let mut config = EngineConfig::in_process();
    config.transitions = Transitions::all(Duration::from_secs(5));
    let mut bench = Bench::with_stream(config, 1);
    bench.wait(Duration::from_secs(5));
    let split = SplitShardInput {
        stream_name: name(),
        shard_to_split: Some(SHARD.to_owned()),
        new_starting_hash_key: Some("1000".to_owned()),
        ..SplitShardInput::default()
    };
    bench.call(split).unwrap();
    let due = bench.now.plus(Duration::from_secs(5));
    bench.wait(Duration::from_secs(3600));
    let ending = bench.shards()[0].sequence_number_range.ending_sequence_number.unwrap();
    assert_eq!(ending.seconds(), due.seconds());
}

#[test]
fn arrival_times_are_skewed_within_bounds_and_sequence_numbers_grow() {
    let mut config = EngineConfig::in_process();
    config.arrival_skew = Duration::from_secs(2);
    let mut bench = Bench::with_stream(config, 1);
    let numbers: Vec<_> = (0..100).map(|_| bench.put("key", "data").sequence_number).collect();
    assert!(numbers.is_sorted());
    let now = bench.now.millis();
    bench.wait(Duration::from_secs(1));
    let arrivals: Vec<_> =
        bench.read(SHARD).records.0.iter().map(|record| record.approximate_arrival_timestamp.0 - now).collect();
    assert!(arrivals.iter().all(|skew| (-2000..=2000).contains(skew)));
    assert!(arrivals.iter().any(|skew| *skew < -500) && arrivals.iter().any(|skew| *skew > 500));
}

#[test]
fn with_a_closing_lag_children_are_listed_while_parents_may_look_open() {
    let mut config = EngineConfig::in_process();
    config.closing_lag = Duration::from_secs(5);
    let mut bench = Bench::with_stream(config, 1);
    let scope = bench.scope.clone();
    bench.engine.reshard(&scope, "s", Reshard::Count(2), bench.now).unwrap();
    let looks_open = |bench: &mut Bench| bench.shards()[0].sequence_number_range.ending_sequence_number.is_none();
    let seen: Vec<_> = (0..50).map(|_| looks_open(&mut bench)).collect();
    assert!(seen.contains(&true) && seen.contains(&false));
    assert_eq!(bench.shards().len(), 3);
    bench.wait(Duration::from_secs(6));
    assert!((0..50).all(|_| !looks_open(&mut bench)));
}

#[test]
fn an_hour_of_retention_can_be_shortened() {
    let mut config = EngineConfig::in_process();
    config.retention_hour = Duration::from_millis(100);
    let mut bench = Bench::with_stream(config, 1);
    bench.put("key", "data");
    bench.wait(Duration::from_millis(2400));
    assert_eq!(bench.read(SHARD).records.0.len(), 1);
    bench.wait(Duration::from_millis(1));
    assert_eq!(bench.read(SHARD).records.0.len(), 0);
}

#[test]
fn the_seed_selects_the_answer_that_ends_a_shard() {
    let mut forms = std::collections::BTreeSet::new();
    for seed in 0..20 {
        let mut config = EngineConfig::in_process();
        config.shard_end = ShardEndAnswer::Seeded;
        let mut bench = Bench::seeded(config, seed);
        bench.create("s", 1).unwrap();
        bench.put("key", "data");
        let scope = bench.scope.clone();
        let split = Reshard::Split(ShardId::new(0), HashKey(1 << 127));
        bench.engine.reshard(&scope, "s", split, bench.now).unwrap();
        forms.insert(bench.read(SHARD).next_shard_iterator.is_none());
    }
    assert_eq!(forms.len(), 2);
}

#[test]
fn operations_have_rate_limits_if_configured() {
    let describe = || DescribeStreamInput { stream_name: name(), ..DescribeStreamInput::default() };
    let mut unlimited = Bench::with_stream(EngineConfig::in_process(), 1);
    assert!((0..100).all(|_| unlimited.call(describe()).is_ok()));

    let mut config = EngineConfig::in_process();
    config.control_rates = true;
    let mut bench = Bench::with_stream(config, 1);
    assert_eq!((0..15).filter(|_| bench.call(describe()).is_ok()).count(), 10);
    assert_eq!(bench.refused(describe()), ErrorCode::LimitExceeded);
    assert!(bench.call(put("key", "data")).is_ok(), "records have separate limits");
    bench.wait(Duration::from_secs(1));
    assert!(bench.call(describe()).is_ok());
}

#[test]
fn the_same_calls_with_the_same_seed_give_the_same_answers() {
    let run = |seed| {
        let mut bench = Bench::seeded(EngineConfig::simulation(), seed);
        bench.create("s", 2).unwrap();
        (0..20)
            .map(|round| {
                bench.put(&round.to_string(), "data");
                bench.wait(Duration::from_millis(700));
                format!("{:?}", bench.read(SHARD))
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}
