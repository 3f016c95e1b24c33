//! The events of a subscription, and how it ends. K24, K46, K74, K87 to K90.

use std::time::Duration;

use kcl_local::kinesis::{EngineConfig, HashKey, Reshard, ShardEndAnswer, ShardId};
use tokio::time::Instant;

use super::failure::{NOT_FOUND, THROUGHPUT, assert_refused};
use super::server::{Server, check, check_engine, check_engine_with_seed, visible_transitions};
use super::stream::{From, data, entry};
use super::subscription::{Consumer, End};

const SHARD: &str = "shardId-000000000000";
const MIB: usize = 1024 * 1024;

#[test]
fn k24_a_large_record_goes_through_a_subscription() {
    check(async |server: &Server| {
        let stream = server.stream(1).await;
        let update = server.client.update_max_record_size().stream_arn(&stream.arn).max_record_size_in_kib(10_240);
        update.send().await.unwrap();
        stream.active().await;
        let consumer = Consumer::active(&stream, "app").await;
        stream.try_put("key", b"small").await.unwrap();
        let large = vec![b'x'; 10 * MIB - 3];
        stream.try_put("key", &large).await.unwrap();
        stream.try_put("key", b"small again").await.unwrap();
        let mut subscription = consumer.subscribe(SHARD, From::TrimHorizon).await.unwrap();
        let mut lengths = Vec::new();
        while lengths.len() < 3 {
            let event = subscription.event().await;
            lengths.extend(event.records.iter().map(|record| record.data.as_ref().len()));
        }
        assert_eq!(lengths, [5, large.len(), 11]);
    });
}

#[test]
fn k46_fan_out_leaves_the_polling_budget_alone() {
    let mut config = EngineConfig::in_process();
    config.read_throttling = true;
    check_engine(config, async |server: &Server| {
        let stream = server.stream(1).await;
        for _ in 0..4 {
            stream.try_put("key", &vec![b'x'; MIB - 3]).await.unwrap();
        }
        let iterator = stream.iterator(SHARD, From::TrimHorizon).await.unwrap();
        let consumer = Consumer::active(&stream, "app").await;
        let mut subscription = consumer.subscribe(SHARD, From::TrimHorizon).await.unwrap();
        subscription.records(4).await;
        server.advance(Duration::from_secs(5)).await;
        subscription.event().await;
        stream.read_up_to(&iterator, 1).await.unwrap();
        assert_refused(stream.read(&iterator).await, THROUGHPUT);
        for _ in 0..4 {
            tokio::time::sleep(Duration::from_millis(500)).await;
            stream.read_up_to(&iterator, 1).await.unwrap();
        }
    });
}

#[test]
fn k46_a_consumer_gets_two_mebibytes_a_second_whatever_others_get() {
    let mut config = EngineConfig::in_process();
    config.read_throttling = true;
    check_engine(config, async |server: &Server| {
        let stream = server.stream(1).await;
        for _ in 0..20 {
            stream.try_put("key", &vec![b'x'; MIB - 3]).await.unwrap();
        }
        let (one, two) = (Consumer::active(&stream, "one").await, Consumer::active(&stream, "two").await);
        let started = Instant::now();
        let read = async |consumer: &Consumer<'_>| {
            let mut subscription = consumer.subscribe(SHARD, From::TrimHorizon).await.unwrap();
            let (_, last) = subscription.records(20).await;
            assert_eq!(last.millis_behind_latest, 0);
            started.elapsed()
        };
        let (one, two) = futures_util::future::join(read(&one), read(&two)).await;
        // The last event needs no budget before it arrives.
        assert_eq!((one, two), (Duration::from_millis(9500), Duration::from_millis(9500)));
    });
}

#[test]
fn k74_a_subscription_to_an_expired_shard_is_refused_and_an_open_one_ends() {
    check_engine(EngineConfig::in_process(), async |server: &Server| {
        let stream = server.stream(1).await;
        let consumer = Consumer::active(&stream, "app").await;
        stream.put("key", "a").await;
        let mut subscription = consumer.subscribe(SHARD, From::TrimHorizon).await.unwrap();
        subscription.event().await;
        server.engine(|engine, scope, now| {
            engine.reshard(scope, &stream.name, Reshard::Count(2), now).unwrap();
            engine.expire_shard(scope, &stream.name, ShardId::new(0), now).unwrap();
        });
        assert_eq!(subscription.next().await, Err(End::Error(NOT_FOUND.to_owned())));
        assert_refused(consumer.subscribe(SHARD, From::TrimHorizon).await, NOT_FOUND);
    });
}

#[test]
fn k87_a_continuation_number_neither_repeats_nor_skips() {
    check(async |server: &Server| {
        let stream = server.stream(1).await;
        let first = Consumer::active(&stream, "app").await;
        let mut subscription = first.subscribe(SHARD, From::TrimHorizon).await.unwrap();
        // Of an empty shard, of one record, of an idle shard behind it.
        let mut continuations = vec![(subscription.event().await, vec!["a", "b", "c"])];
        stream.put("key", "a").await;
        continuations.push((subscription.records(1).await.1, vec!["b", "c"]));
        continuations.push((subscription.event().await, vec!["b", "c"]));
        assert!(continuations[2].0.records.is_empty());
        stream.put("key", "b").await;
        continuations.push((subscription.records(1).await.1, vec!["c"]));
        stream.put("key", "c").await;
        for (place, (event, expected)) in continuations.iter().enumerate() {
            let number = event.continuation_sequence_number();
            for (form, from) in [("at", From::At(number)), ("after", From::After(number))] {
                let consumer = Consumer::active(&stream, &format!("{form}-{place}")).await;
                let mut subscription = consumer.subscribe(SHARD, from.clone()).await.unwrap();
                assert_eq!(subscription.records(expected.len()).await.0, *expected, "{place}: {from:?}");
                // K30: the same holds for an iterator.
                assert_eq!(stream.data(SHARD, from).await, *expected);
            }
        }
    });
}

#[test]
fn k87_continuation_numbers_move_on_while_a_shard_is_idle() {
    check_engine(EngineConfig::in_process(), async |server: &Server| {
        let stream = server.stream(1).await;
        let consumer = Consumer::active(&stream, "app").await;
        let started = Instant::now();
        let mut subscription = consumer.subscribe(SHARD, From::Latest).await.unwrap();
        let mut last = String::new();
        for count in 0..4 {
            let event = subscription.event().await;
            assert!(event.records.is_empty() && event.child_shards.is_none());
            assert!(event.continuation_sequence_number > last);
            assert_eq!(event.millis_behind_latest, 0);
            assert_eq!(started.elapsed(), Duration::from_secs(5 * count));
            last = event.continuation_sequence_number;
        }
    });
}

#[test]
fn k87_a_record_is_pushed_when_it_is_put() {
    check_engine(EngineConfig::in_process(), async |server: &Server| {
        let stream = server.stream(1).await;
        let consumer = Consumer::active(&stream, "app").await;
        let mut subscription = consumer.subscribe(SHARD, From::Latest).await.unwrap();
        subscription.event().await;
        let started = Instant::now();
        let read = async { (data(&subscription.event().await.records), started.elapsed()) };
        let write = async {
            tokio::time::sleep(Duration::from_millis(1234)).await;
            stream.put("key", "a").await
        };
        let (read, _) = futures_util::future::join(read, write).await;
        assert_eq!(read, (vec!["a".to_owned()], Duration::from_millis(1234)));
    });
}

#[test]
fn k87_records_arrive_in_order_and_once_through_events_without_any() {
    for seed in 0..10 {
        check_engine_with_seed(EngineConfig::simulation(), seed, async |server: &Server| {
            let stream = server.stream(1).await;
            let consumer = Consumer::active(&stream, "app").await;
            let mut subscription = consumer.subscribe(SHARD, From::TrimHorizon).await.unwrap();
            let sent: Vec<_> = (0..30).map(|number| number.to_string()).collect();
            let mut received = Vec::new();
            for data in &sent {
                stream.put("key", data).await;
                received.extend(subscription.records(1).await.0);
            }
            assert_eq!(received, sent);
        });
    }
}

#[test]
fn k87_many_records_come_in_events_of_a_mebibyte_and_tell_how_far_behind_they_are() {
    check_engine(EngineConfig::in_process(), async |server: &Server| {
        let stream = server.stream(1).await;
        for _ in 0..40 {
            stream.put_all(vec![entry("key", vec![b'x'; 1021]); 100]).await.unwrap();
        }
        server.advance(Duration::from_secs(60)).await;
        let consumer = Consumer::active(&stream, "app").await;
        let mut subscription = consumer.subscribe(SHARD, From::TrimHorizon).await.unwrap();
        for _ in 0..3 {
            let event = subscription.event().await;
            assert_eq!((event.records.len(), event.millis_behind_latest), (1024, 60_000));
        }
        let event = subscription.event().await;
        assert_eq!((event.records.len(), event.millis_behind_latest), (4000 - 3 * 1024, 0));
    });
}

#[test]
fn k88_a_subscription_ends_after_five_minutes_without_an_error() {
    check_engine(EngineConfig::in_process(), async |server: &Server| {
        let stream = server.stream(1).await;
        let consumer = Consumer::active(&stream, "app").await;
        let started = Instant::now();
        let mut subscription = consumer.subscribe(SHARD, From::Latest).await.unwrap();
        let (events, end) = subscription.rest().await;
        assert_eq!((end, started.elapsed()), (End::Clean, Duration::from_secs(300)));
        assert_eq!(events.len(), 60);
        assert!(events.iter().all(|event| event.child_shards.is_none()));
        consumer.subscribe(SHARD, From::After(events[59].continuation_sequence_number())).await.unwrap();
    });
}

fn assert_end_of_shard(events: &[aws_sdk_kinesis::types::SubscribeToShardEvent], children: &[&str]) {
    let (last, before) = events.split_last().unwrap();
    assert!(before.iter().all(|event| event.child_shards.is_none()));
    assert!(before.iter().all(|event| !event.continuation_sequence_number.is_empty()));
    // The SDK turns the missing member into an empty string.
    assert!(last.continuation_sequence_number.is_empty());
    let named: Vec<_> = last.child_shards().iter().map(|child| child.shard_id()).collect();
    assert_eq!(named, children);
    assert!(last.child_shards().iter().all(|child| !child.parent_shards().is_empty()));
}

#[test]
fn k89_a_shard_ends_with_its_children_and_without_a_continuation() {
    check(async |server: &Server| {
        let stream = server.stream(1).await;
        let consumer = Consumer::active(&stream, "app").await;
        stream.put("key", "a").await;
        let children = ["shardId-000000000001", "shardId-000000000002"];
        let mut subscription = consumer.subscribe(SHARD, From::TrimHorizon).await.unwrap();
        let first = subscription.event().await;
        assert_eq!(data(&first.records), ["a"]);
        stream.split(SHARD).await;
        let (events, end) = subscription.rest().await;
        assert_eq!(end, End::Clean);
        assert_end_of_shard(&events, &children);

        // Of a closed shard, from any position, and into a merge.
        for from in [From::TrimHorizon, From::Latest, From::After(first.continuation_sequence_number())] {
            let (events, end) = consumer.subscribe(SHARD, from).await.unwrap().rest().await;
            assert_eq!(end, End::Clean);
            assert_end_of_shard(&events, &children);
        }
        stream.merge(children[0], children[1]).await;
        for parent in children {
            let (events, _) = consumer.subscribe(parent, From::TrimHorizon).await.unwrap().rest().await;
            assert_end_of_shard(&events, &["shardId-000000000003"]);
            assert_eq!(events.last().unwrap().child_shards()[0].parent_shards(), children);
        }
    });
}

#[test]
fn k89_the_end_comes_with_the_last_records_or_after_them() {
    for (form, records) in [(ShardEndAnswer::WithLastRecords, vec![1]), (ShardEndAnswer::Separate, vec![1, 0])] {
        let mut config = EngineConfig::in_process();
        config.shard_end = form;
        check_engine(config, async |server: &Server| {
            let stream = server.stream(1).await;
            let consumer = Consumer::active(&stream, "app").await;
            stream.put("key", "a").await;
            stream.split(SHARD).await;
            let (events, end) = consumer.subscribe(SHARD, From::TrimHorizon).await.unwrap().rest().await;
            assert_eq!(events.iter().map(|event| event.records.len()).collect::<Vec<_>>(), records);
            assert_end_of_shard(&events, &["shardId-000000000001", "shardId-000000000002"]);
            assert_eq!(end, End::Clean);
        });
    }
}

#[test]
fn k89_a_waiting_reader_gets_the_end_when_it_comes() {
    check_engine(visible_transitions(), async |server: &Server| {
        let stream = server.stream(1).await;
        let consumer = Consumer::active(&stream, "app").await;
        let mut subscription = consumer.subscribe(SHARD, From::Latest).await.unwrap();
        subscription.event().await;
        stream.begin_split(SHARD).await.unwrap();
        let started = Instant::now();
        // No request triggers the end: the stream finishes UPDATING on its own.
        let (events, end) = subscription.rest().await;
        assert_eq!((end, started.elapsed()), (End::Clean, super::server::TRANSITION));
        assert_eq!(events.last().unwrap().child_shards().len(), 2);

        let mut child = consumer.subscribe("shardId-000000000001", From::Latest).await.unwrap();
        child.event().await;
        let started = Instant::now();
        let split = async {
            tokio::time::sleep(Duration::from_millis(700)).await;
            server.engine(|engine, scope, now| {
                engine.reshard(scope, &stream.name, Reshard::Split(ShardId::new(1), HashKey(7)), now).unwrap();
            });
        };
        let ((_, end), ()) = futures_util::future::join(child.rest(), split).await;
        assert_eq!((end, started.elapsed()), (End::Clean, Duration::from_millis(700)));
    });
}

#[test]
fn k90_deregistering_a_consumer_ends_its_subscriptions_and_no_others() {
    check(async |server: &Server| {
        let stream = server.stream(1).await;
        let (gone, stays) = (Consumer::active(&stream, "gone").await, Consumer::active(&stream, "stays").await);
        let mut ends = gone.subscribe(SHARD, From::Latest).await.unwrap();
        let mut goes_on = stays.subscribe(SHARD, From::Latest).await.unwrap();
        ends.event().await;
        gone.deregister().await;
        assert_eq!(ends.rest().await.1, End::Error(NOT_FOUND.to_owned()));
        stream.put("key", "a").await;
        assert_eq!(goes_on.records(1).await.0, ["a"]);
    });
}

#[test]
fn k90_deleting_a_stream_ends_its_subscriptions() {
    check(async |server: &Server| {
        let stream = server.stream(1).await;
        let consumer = Consumer::active(&stream, "app").await;
        let mut subscription = consumer.subscribe(SHARD, From::Latest).await.unwrap();
        subscription.event().await;
        let delete = server.client.delete_stream().stream_name(&stream.name).enforce_consumer_deletion(true);
        let (deleted, (_, end)) = futures_util::future::join(delete.send(), subscription.rest()).await;
        deleted.unwrap();
        assert_eq!(end, End::Error(NOT_FOUND.to_owned()));
    });
}
