//! Dry runs: requests that only test whether they would succeed. K97.

use aws_sdk_kinesis::error::ProvideErrorMetadata;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{ShardIteratorType, StartingPosition};

use super::failure::{ARGUMENT, NOT_FOUND, assert_refused};
use super::server::{Server, check};
use super::stream::From;

const SHARD: &str = "shardId-000000000000";
const WOULD_SUCCEED: &str = "DryRunOperationException";

#[test]
fn k97_a_dry_run_of_the_data_plane_is_an_error_in_any_case_and_does_nothing() {
    check(async |server: &Server| {
        let (client, stream) = (&server.client, server.stream(1).await);
        let (name, iterator) = (&stream.name, stream.iterator(SHARD, From::TrimHorizon).await.unwrap());
        let put = || client.put_record().stream_name(name).partition_key("key").data(Blob::new("data")).dry_run(true);
        let refused = put().send().await.unwrap_err().into_service_error();
        assert!(refused.is_dry_run_operation_exception() && refused.code() == Some(WOULD_SUCCEED), "{refused:?}");
        let start = || client.get_shard_iterator().stream_name(name).shard_iterator_type(ShardIteratorType::Latest);
        assert_refused(start().shard_id(SHARD).dry_run(true).send().await, WOULD_SUCCEED);
        let read = || client.get_records().shard_iterator(&iterator);
        assert_refused(read().dry_run(true).send().await, WOULD_SUCCEED);
        assert!(read().send().await.unwrap().records().is_empty(), "nothing was put");

        assert_refused(put().stream_name("missing").send().await, NOT_FOUND);
        assert_refused(start().shard_id("shardId-000000000009").dry_run(true).send().await, NOT_FOUND);
        let bad = client.get_records().shard_iterator("no iterator").dry_run(true).send().await;
        assert_refused(bad, ARGUMENT);
    });
}

#[test]
fn k97_a_dry_run_of_a_subscription_opens_none() {
    check(async |server: &Server| {
        let stream = server.stream(1).await;
        let register = server.client.register_stream_consumer().stream_arn(&stream.arn).consumer_name("app");
        let consumer = register.send().await.unwrap().consumer.unwrap().consumer_arn;
        server.advance(std::time::Duration::from_secs(60)).await;
        let latest = StartingPosition::builder().r#type(ShardIteratorType::Latest).build().unwrap();
        let subscribe = || {
            let subscribe = server.client.subscribe_to_shard().consumer_arn(&consumer).shard_id(SHARD);
            subscribe.starting_position(latest.clone())
        };
        for _ in 0..2 {
            let refused = subscribe().dry_run(true).send().await.unwrap_err().into_service_error();
            assert_eq!(refused.code(), Some(WOULD_SUCCEED), "{refused:?}");
        }
        subscribe().send().await.unwrap();
        let nowhere = StartingPosition::builder().r#type(ShardIteratorType::AtSequenceNumber).sequence_number("1");
        let subscribe = subscribe().starting_position(nowhere.build().unwrap()).dry_run(true);
        assert_eq!(subscribe.send().await.unwrap_err().into_service_error().code(), Some(ARGUMENT));
    });
}
