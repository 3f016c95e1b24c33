//! Tests the operations that the API does not have.

use super::*;
use crate::kinesis::{HashKey, Reshard, ShardId};

const FIRST: ShardId = ShardId::new(0);

#[test]
fn an_on_demand_stream_can_be_resharded_at_once() {
    let mut bench = Bench::new(EngineConfig::in_process());
    bench.create_on_demand("s", None).unwrap();
    let (scope, now) = (bench.scope.clone(), bench.now);
    bench.engine.reshard(&scope, "s", Reshard::Split(FIRST, HashKey(1000)), now).unwrap();
    assert_eq!(bench.summary().open_shard_count, 5);
    bench.engine.reshard(&scope, "s", Reshard::Merge(ShardId::new(4), ShardId::new(5)), now).unwrap();
    bench.engine.reshard(&scope, "s", Reshard::Count(3), now).unwrap();
    assert_eq!(bench.summary().open_shard_count, 3);
    assert_eq!(bench.summary().stream_status, StreamStatus::Active);
    let missing = bench.engine.reshard(&scope, "t", Reshard::Count(3), now).unwrap_err();
    assert_eq!(missing.code, ErrorCode::ResourceNotFound);
}

#[test]
fn a_closed_shard_can_be_expired_and_an_open_one_cannot() {
    let mut bench = Bench::with_stream(EngineConfig::in_process(), 1);
    let (scope, now) = (bench.scope.clone(), bench.now);
    assert!(bench.engine.expire_shard(&scope, "s", FIRST, now).is_err());
    bench.engine.reshard(&scope, "s", Reshard::Count(2), now).unwrap();
    let shard_iterator = Some(bench.iterator("0"));
    bench.engine.expire_shard(&scope, "s", FIRST, now).unwrap();
    assert_eq!(bench.shards().len(), 2);
    let read = GetRecordsInput { shard_iterator, ..GetRecordsInput::default() };
    assert_eq!(bench.refused(read), ErrorCode::ResourceNotFound);
}

#[test]
fn records_can_be_trimmed_up_to_a_number() {
    let mut bench = Bench::with_stream(EngineConfig::in_process(), 1);
    let numbers: Vec<_> = (0..3).map(|_| bench.put("key", "data").sequence_number).collect();
    let (scope, now) = (bench.scope.clone(), bench.now);
    bench.engine.trim_to(&scope, "s", FIRST, numbers[2], now).unwrap();
    let left: Vec<_> = bench.read("0").records.0.iter().map(|record| record.sequence_number).collect();
    assert_eq!(left, [numbers[2]]);
}
