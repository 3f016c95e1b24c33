//! Tests dry runs.

use super::*;

#[test]
fn a_dry_run_that_would_succeed_returns_its_error_and_changes_nothing() {
    let mut bench = Bench::with_stream(EngineConfig::in_process(), 1);
    let dry = PutRecordInput { dry_run: Some(true), ..put("key", "data") };
    assert_eq!(bench.refused(dry), ErrorCode::DryRunOperation);
    let entry = PutRecordsRequestEntry {
        data: Some("data".into()),
        partition_key: Some("key".to_owned()),
        explicit_hash_key: None,
    };
    let dry = PutRecordsInput {
        records: Some(vec![entry]),
        stream_name: name(),
        dry_run: Some(true),
        ..PutRecordsInput::default()
    };
    assert_eq!(bench.refused(dry), ErrorCode::DryRunOperation);
    assert!(bench.read("0").records.0.is_empty());

    let dry = GetShardIteratorInput {
        stream_name: name(),
        shard_id: Some("0".to_owned()),
        shard_iterator_type: Some("LATEST".to_owned()),
        dry_run: Some(true),
        ..GetShardIteratorInput::default()
    };
    assert_eq!(bench.refused(dry), ErrorCode::DryRunOperation);
    let shard_iterator = Some(bench.iterator("0"));
    let dry = GetRecordsInput { shard_iterator, dry_run: Some(true), ..GetRecordsInput::default() };
    assert_eq!(bench.refused(dry), ErrorCode::DryRunOperation);

    let register = RegisterStreamConsumerInput {
        stream_arn: arn(),
        consumer_name: Some("app".to_owned()),
        ..RegisterStreamConsumerInput::default()
    };
    let Ok(Response::RegisterStreamConsumer(registered)) = bench.call(register) else { panic!("not registered") };
    let subscribe = |dry_run| SubscribeToShardInput {
        consumer_arn: Some(registered.consumer.consumer_arn.clone()),
        shard_id: Some("0".to_owned()),
        starting_position: Some(StartingPositionInput {
            r#type: Some("LATEST".to_owned()),
            ..StartingPositionInput::default()
        }),
        dry_run,
    };
    assert_eq!(bench.refused(subscribe(Some(true))), ErrorCode::DryRunOperation);
    assert!(matches!(bench.call(subscribe(None)), Ok(Response::SubscribeToShard(_))));
}

#[test]
fn a_dry_run_that_would_fail_returns_the_same_error() {
    let mut bench = Bench::with_stream(EngineConfig::in_process(), 1);
    let missing = PutRecordInput { stream_name: Some("t".to_owned()), dry_run: Some(true), ..put("key", "data") };
    assert_eq!(bench.refused(missing), ErrorCode::ResourceNotFound);
    let too_large = PutRecordInput { dry_run: Some(true), ..put("key", &"x".repeat(1024 * 1024)) };
    assert_eq!(bench.refused(too_large), ErrorCode::InvalidArgument);
}

#[test]
fn dry_runs_do_not_count_against_the_throughput_of_a_shard() {
    let mut bench = Bench::with_stream(EngineConfig { read_throttling: true, ..EngineConfig::in_process() }, 1);
    let shard_iterator = Some(bench.iterator("0"));
    let read =
        |dry_run| GetRecordsInput { shard_iterator: shard_iterator.clone(), dry_run, ..GetRecordsInput::default() };
    for _ in 0..20 {
        assert_eq!(bench.refused(read(Some(true))), ErrorCode::DryRunOperation);
    }
    for _ in 0..5 {
        bench.call(read(None)).unwrap();
    }
    assert_eq!(bench.refused(read(None)), ErrorCode::ProvisionedThroughputExceeded);
}
