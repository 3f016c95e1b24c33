//! Opening subscriptions: consumers, starting positions, and takeover. K81, K85, K86.

use std::time::Duration;

use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::{ShardIteratorType, StartingPosition};
use kcl_local::kinesis::EngineConfig;

use super::failure::{ARGUMENT, IN_USE, LIMIT, NOT_FOUND, VALIDATION, assert_refused};
use super::server::{Server, check, check_engine, visible_transitions};
use super::stream::From;
use super::subscription::{Consumer, End, Subscription};

const SHARD: &str = "shardId-000000000000";

#[test]
fn k81_a_consumer_that_is_not_active_is_in_use_and_what_is_not_there_is_not_found() {
    check(async |server: &Server| {
        let stream = server.stream(1).await;
        let creating = Consumer::register(&stream, "creating").await;
        let refused = assert_refused(creating.subscribe(SHARD, From::Latest).await, IN_USE);
        assert!(refused.message.contains("is not in ACTIVE status"), "{}", refused.message);

        let consumer = Consumer::active(&stream, "app").await;
        assert_refused(consumer.subscribe("shardId-000000000007", From::Latest).await, NOT_FOUND);
        assert_refused(consumer.subscribe("no shard", From::Latest).await, VALIDATION);
        let stranger = Consumer { stream: &stream, arn: format!("{}/consumer/stranger:1", stream.arn) };
        assert_refused(stranger.subscribe(SHARD, From::Latest).await, NOT_FOUND);

        consumer.deregister().await;
        assert_refused(consumer.subscribe(SHARD, From::Latest).await, IN_USE);
        while consumer.status().await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_refused(consumer.subscribe(SHARD, From::Latest).await, NOT_FOUND);
    });
}

#[test]
fn k85_a_subscription_starts_at_the_given_position() {
    check(async |server: &Server| {
        let stream = server.stream(1).await;
        let mut numbers = Vec::new();
        for data in ["a", "b", "c"] {
            numbers.push(stream.put("key", data).await.sequence_number);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let records = stream.rest(SHARD, From::TrimHorizon).await.records;
        let arrival = *records[1].approximate_arrival_timestamp().unwrap();
        let cases = [
            (From::TrimHorizon, vec!["a", "b", "c"]),
            (From::At(&numbers[1]), vec!["b", "c"]),
            (From::After(&numbers[1]), vec!["c"]),
            (From::Time(arrival), vec!["b", "c"]),
            (From::Time(DateTime::from_secs(0)), vec!["a", "b", "c"]),
            (From::Latest, vec![]),
        ];
        for (place, (from, expected)) in cases.into_iter().enumerate() {
            let consumer = Consumer::active(&stream, &format!("app-{place}")).await;
            let mut subscription = consumer.subscribe(SHARD, from.clone()).await.unwrap();
            if expected.is_empty() {
                assert!(subscription.event().await.records.is_empty());
            }
            stream.put("key", "later").await;
            let (records, _) = subscription.records(expected.len() + 1).await;
            let expected: Vec<_> = expected.into_iter().chain(["later"; 6].into_iter().take(records.len())).collect();
            assert_eq!(records, expected[..records.len()], "{from:?}");
        }
    });
}

#[test]
fn k85_a_position_that_makes_no_sense_is_refused() {
    check(async |server: &Server| {
        let stream = server.stream(2).await;
        let number = stream.put_at(u128::MAX, "a").await.sequence_number;
        let consumer = Consumer::active(&stream, "app").await;
        let refused = assert_refused(consumer.subscribe(SHARD, From::At(&number)).await, ARGUMENT);
        assert!(refused.message.contains("shardId-000000000001") && refused.message.contains(SHARD));
        let position = |kind| StartingPosition::builder().r#type(kind);
        for position in [
            position(ShardIteratorType::AtSequenceNumber),
            position(ShardIteratorType::AtTimestamp),
            position(ShardIteratorType::Latest).sequence_number(&number),
            position(ShardIteratorType::AtTimestamp).timestamp(DateTime::from_secs(32_503_680_000)),
        ] {
            let position = position.build().unwrap();
            assert_refused(Subscription::open_at(&consumer, SHARD, position).await, ARGUMENT);
        }
        let unknown = position(ShardIteratorType::from("SOMEWHERE")).build().unwrap();
        assert_refused(Subscription::open_at(&consumer, SHARD, unknown).await, VALIDATION);
    });
}

#[test]
fn k86_a_second_subscription_is_refused_for_five_seconds_and_then_takes_over() {
    check(async |server: &Server| {
        let stream = server.stream(2).await;
        let consumer = Consumer::active(&stream, "app").await;
        let mut first = consumer.subscribe(SHARD, From::Latest).await.unwrap();
        let refused = assert_refused(consumer.subscribe(SHARD, From::Latest).await, IN_USE);
        assert!(refused.message.starts_with("Another active subscription exists for this consumer"));
        // Another shard and another consumer are not affected.
        consumer.subscribe("shardId-000000000001", From::Latest).await.unwrap();
        Consumer::active(&stream, "other").await.subscribe(SHARD, From::Latest).await.unwrap();

        tokio::time::sleep(Duration::from_millis(5100)).await;
        let mut second = consumer.subscribe(SHARD, From::Latest).await.unwrap();
        assert_eq!(first.rest().await.1, End::Error(IN_USE.to_owned()));
        drop(first);
        stream.put_at(0, "a").await;
        assert_eq!(second.records(1).await.0, ["a"]);
        assert_refused(consumer.subscribe(SHARD, From::Latest).await, IN_USE);
    });
}

#[test]
fn k86_a_waiting_reader_gets_the_takeover_at_once() {
    check_engine(visible_transitions(), async |server: &Server| {
        let stream = server.stream(1).await;
        let consumer = Consumer::active(&stream, "app").await;
        let mut first = consumer.subscribe(SHARD, From::Latest).await.unwrap();
        first.event().await;
        tokio::time::sleep(Duration::from_secs(7)).await;
        first.event().await;
        let told = async {
            let end = first.rest().await.1;
            (end, tokio::time::Instant::now())
        };
        let takes_over = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            (consumer.subscribe(SHARD, From::Latest).await.unwrap(), tokio::time::Instant::now())
        };
        let ((end, told), (_second, taken)) = futures_util::future::join(told, takes_over).await;
        assert_eq!((end, told), (End::Error(IN_USE.to_owned()), taken));
    });
}

#[test]
fn k86_a_subscription_that_ended_is_followed_at_once_unless_the_rule_is_strict() {
    for strict in [false, true] {
        let mut config = EngineConfig::in_process();
        config.strict_resubscription = strict;
        check_engine(config, async |server: &Server| {
            let stream = server.stream(1).await;
            let consumer = Consumer::active(&stream, "app").await;
            drop(consumer.subscribe(SHARD, From::Latest).await.unwrap());
            let second = consumer.subscribe(SHARD, From::Latest).await;
            if !strict {
                second.unwrap();
                return;
            }
            assert_refused(second, IN_USE);
            server.advance(Duration::from_secs(5)).await;
            consumer.subscribe(SHARD, From::Latest).await.unwrap();
        });
    }
}

#[test]
fn k86_a_consumer_may_call_once_a_second_for_each_shard() {
    let mut config = EngineConfig::in_process();
    config.read_throttling = true;
    check_engine(config, async |server: &Server| {
        let stream = server.stream(2).await;
        let consumer = Consumer::active(&stream, "app").await;
        drop(consumer.subscribe(SHARD, From::Latest).await.unwrap());
        assert_refused(consumer.subscribe(SHARD, From::Latest).await, LIMIT);
        consumer.subscribe("shardId-000000000001", From::Latest).await.unwrap();
        server.advance(Duration::from_secs(1)).await;
        consumer.subscribe(SHARD, From::Latest).await.unwrap();
    });
}
