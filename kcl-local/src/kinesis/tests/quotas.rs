//! Tests the quotas of an account, and the operations that return them.

use super::*;
use crate::kinesis::{AccountLimits, Transitions};

fn limited() -> EngineConfig {
    let limits = AccountLimits { shards: 10, on_demand_streams: 1, ..AccountLimits::default() };
    EngineConfig { account_limits: Some(limits), ..EngineConfig::in_process() }
}

fn rescale(count: i64) -> UpdateShardCountInput {
    UpdateShardCountInput {
        stream_name: name(),
        target_shard_count: Some(count),
        scaling_type: Some("UNIFORM_SCALING".to_owned()),
        ..UpdateShardCountInput::default()
    }
}

#[test]
fn shards_are_limited_over_all_streams() {
    let mut bench = Bench::with_stream(limited(), 6);
    assert_eq!(bench.create("t", 5).unwrap_err().code, ErrorCode::LimitExceeded);
    bench.create("t", 4).unwrap();
    let split = SplitShardInput {
        stream_name: name(),
        shard_to_split: Some("0".to_owned()),
        new_starting_hash_key: Some("1000".to_owned()),
        ..SplitShardInput::default()
    };
    assert_eq!(bench.refused(split), ErrorCode::LimitExceeded);
    assert_eq!(bench.refused(rescale(7)), ErrorCode::LimitExceeded);
    bench.call(rescale(3)).unwrap();
    bench.call(rescale(6)).unwrap();
}

#[test]
fn an_account_without_quotas_has_the_maximum_of_the_engine() {
    let mut bench = Bench::new(EngineConfig { max_shards: 8, ..EngineConfig::in_process() });
    assert_eq!(bench.create("s", 9).unwrap_err().code, ErrorCode::LimitExceeded);
    bench.create("s", 6).unwrap();
    assert_eq!(bench.create("t", 3).unwrap_err().code, ErrorCode::LimitExceeded);
    assert_eq!(bench.create_on_demand("t", None).unwrap_err().code, ErrorCode::LimitExceeded);
    assert_eq!(bench.refused(rescale(9)), ErrorCode::LimitExceeded);
    bench.call(rescale(8)).unwrap();
    let mut bench = Bench::new(EngineConfig::over_http());
    assert_eq!(bench.create("s", 1_000_000).unwrap_err().code, ErrorCode::LimitExceeded);
    bench.create("s", 20_000).unwrap();
}

#[test]
fn on_demand_streams_are_limited() {
    let mut bench = Bench::new(limited());
    bench.create_on_demand("a", None).unwrap();
    assert_eq!(bench.create_on_demand("b", None).unwrap_err().code, ErrorCode::LimitExceeded);
}

#[test]
fn five_streams_may_be_in_creating() {
    let mut config = limited();
    config.transitions = Transitions::all(Duration::from_secs(1));
    let mut bench = Bench::new(config);
    for name in ["a", "b", "c", "d", "e"] {
        bench.create(name, 1).unwrap();
    }
    assert_eq!(bench.create("f", 1).unwrap_err().code, ErrorCode::LimitExceeded);
    bench.wait(Duration::from_secs(1));
    bench.create("f", 1).unwrap();
}

#[test]
fn describe_limits_counts_shards_and_streams() {
    let mut bench = Bench::with_stream(limited(), 3);
    bench.create_on_demand("a", None).unwrap();
    let Ok(Response::DescribeLimits(output)) = bench.call(DescribeLimitsInput {}) else { panic!("refused") };
    assert_eq!((output.shard_limit, output.open_shard_count), (10, 7));
    assert_eq!((output.on_demand_stream_count, output.on_demand_stream_count_limit), (1, 1));
}

#[test]
fn a_commitment_is_stored_and_allows_fifty_consumers() {
    let mut bench = Bench::with_stream(EngineConfig::in_process(), 1);
    let commit = |status: &str| UpdateAccountSettingsInput {
        minimum_throughput_billing_commitment: Some(BillingCommitmentInput { status: Some(status.to_owned()) }),
    };
    let register = |number: i32| RegisterStreamConsumerInput {
        stream_arn: arn(),
        consumer_name: Some(format!("app-{number}")),
        tags: None,
    };
    for number in 0..20 {
        bench.call(register(number)).unwrap();
    }
    assert_eq!(bench.refused(register(20)), ErrorCode::LimitExceeded);
    bench.call(commit("ENABLED")).unwrap();
    let Ok(Response::DescribeAccountSettings(output)) = bench.call(DescribeAccountSettingsInput {}) else {
        panic!("refused")
    };
    assert_eq!(output.minimum_throughput_billing_commitment.status, BillingCommitmentStatus::Enabled);
    bench.call(register(20)).unwrap();
    assert_eq!(bench.refused(commit("PERHAPS")), ErrorCode::Validation);
}
