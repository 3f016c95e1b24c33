//! Tests the isolation of accounts and Regions.

use super::*;

#[test]
fn the_same_name_is_another_stream_in_another_account_or_region() {
    let mut bench = Bench::with_stream(EngineConfig::in_process(), 1);
    bench.put("key", "mine");
    let token = bench.iterator("0");
    for other in [Scope::new("999999999999", "eu-west-1"), Scope::new("123456789012", "us-east-1")] {
        bench.scope = other;
        assert_eq!(bench.refused(put("key", "data")), ErrorCode::ResourceNotFound);
        bench.create("s", 1).unwrap();
        assert!(bench.read("0").records.0.is_empty());
        let foreign = GetRecordsInput { shard_iterator: Some(token.clone()), ..GetRecordsInput::default() };
        assert_eq!(bench.refused(foreign), ErrorCode::InvalidArgument);
        let by_arn = DescribeStreamInput { stream_arn: arn(), ..DescribeStreamInput::default() };
        assert_eq!(bench.refused(by_arn), ErrorCode::ResourceNotFound);
    }
}
