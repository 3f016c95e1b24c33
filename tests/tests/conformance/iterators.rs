//! Shard iterators: where they start, how long they live, and which are refused. K27 to K38.

use std::time::Duration;

use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::ShardIteratorType;
use kcl_local::kinesis::EngineConfig;

use super::decimal::add;
use super::failure::{ARGUMENT, NOT_FOUND, assert_refused};
use super::server::{Server, check, check_engine};
use super::stream::{From, Stream, data};

const SHARD: &str = "shardId-000000000000";

/// A stream of one shard with the records a, b, c, one every ten seconds, and their numbers.
async fn abc(server: &Server) -> (Stream<'_>, Vec<String>) {
    let stream = server.stream(1).await;
    let mut numbers = Vec::new();
    for data in ["a", "b", "c"] {
        server.advance(Duration::from_secs(10)).await;
        numbers.push(stream.put("key", data).await.sequence_number().to_owned());
    }
    (stream, numbers)
}

fn time(millis: i64) -> DateTime {
    DateTime::from_millis(millis)
}

#[test]
fn k27_the_five_types_start_where_they_should() {
    check_engine(EngineConfig::in_process(), async |server: &Server| {
        let (stream, numbers) = abc(server).await;
        let second = stream.rest(SHARD, From::At(&numbers[1])).await.records[0].approximate_arrival_timestamp.unwrap();
        assert_eq!(stream.data(SHARD, From::TrimHorizon).await, ["a", "b", "c"]);
        assert_eq!(stream.data(SHARD, From::Latest).await, [""; 0]);
        assert_eq!(stream.data(SHARD, From::At(&numbers[1])).await, ["b", "c"]);
        assert_eq!(stream.data(SHARD, From::After(&numbers[1])).await, ["c"]);
        assert_eq!(stream.data(SHARD, From::Time(second)).await, ["b", "c"]);
    });
}

#[test]
fn k28_latest_is_fixed_when_the_iterator_is_made() {
    check(async |server: &Server| {
        let stream = server.stream(1).await;
        stream.put("key", "before").await;
        let latest = stream.iterator(SHARD, From::Latest).await.unwrap();
        stream.put("key", "between").await;
        assert_eq!(data(&stream.rest_of(latest).await.records), ["between"]);
    });
}

#[test]
fn k29_at_is_inclusive_and_after_is_not() {
    check(async |server: &Server| {
        let stream = server.stream(1).await;
        let only = stream.put("key", "only").await;
        assert_eq!(stream.data(SHARD, From::At(only.sequence_number())).await, ["only"]);
        assert_eq!(stream.data(SHARD, From::After(only.sequence_number())).await, [""; 0]);
    });
}

#[test]
fn k30_the_start_of_a_shard_and_numbers_between_records_are_positions() {
    check(async |server: &Server| {
        let stream = server.stream(1).await;
        let start = stream.shard(SHARD).await.sequence_number_range.unwrap().starting_sequence_number;
        for early in [From::At(&start), From::After(&start)] {
            let iterator = stream.iterator(SHARD, early).await.unwrap();
            assert!(stream.read(&iterator).await.unwrap().records.is_empty());
        }
        let first = stream.put("key", "first").await.sequence_number().to_owned();
        stream.put("key", "second").await;
        assert_eq!(stream.data(SHARD, From::At(&start)).await, ["first", "second"]);
        assert_eq!(stream.data(SHARD, From::After(&start)).await, ["first", "second"]);
        // Greater than the first record and smaller than the second, like a subscription's
        // continuation number.
        let continuation = add(&first, 1 << 72);
        assert_eq!(stream.data(SHARD, From::At(&continuation)).await, ["second"]);
        assert_eq!(stream.data(SHARD, From::After(&continuation)).await, ["second"]);
    });
}

#[test]
fn k31_a_number_of_another_shard_is_refused_and_both_are_named() {
    check(async |server: &Server| {
        let stream = server.stream(2).await;
        let put = stream.put_at(u128::MAX, "data").await;
        let refused = assert_refused(stream.iterator(SHARD, From::After(put.sequence_number())).await, ARGUMENT);
        assert!(
            refused.message.contains(SHARD) && refused.message.contains("shardId-000000000001"),
            "{}",
            refused.message
        );
        for nonsense in ["0", "1", "12345678901234567890"] {
            assert_refused(stream.iterator(SHARD, From::At(nonsense)).await, ARGUMENT);
        }
    });
}

#[test]
fn k32_a_time_gives_the_first_record_from_it_on() {
    check_engine(EngineConfig::in_process(), async |server: &Server| {
        let (stream, _) = abc(server).await;
        let now = server.now().millis();
        assert_eq!(stream.data(SHARD, From::Time(time(now - 15_000))).await, ["b", "c"]);
        assert_eq!(stream.data(SHARD, From::Time(time(now - 10_000))).await, ["b", "c"]);
        assert_eq!(stream.data(SHARD, From::Time(time(now - 9_999))).await, ["c"]);
        assert_eq!(stream.data(SHARD, From::Time(time(now - 100_000_000_000))).await, ["a", "b", "c"]);
        server.advance(Duration::from_secs(10)).await;
        assert_eq!(stream.data(SHARD, From::Time(time(now + 1))).await, [""; 0]);
        assert_refused(stream.iterator(SHARD, From::Time(time(now + 10_001))).await, ARGUMENT);
    });
}

#[test]
fn k33_a_number_that_is_missing_or_superfluous_is_refused() {
    check(async |server: &Server| {
        let stream = server.stream(1).await;
        let put = stream.put("key", "data").await;
        let ask = async |kind: ShardIteratorType, number: Option<&str>| {
            let request = server.client.get_shard_iterator().stream_name(&stream.name).shard_id(SHARD);
            let request = request.shard_iterator_type(kind).set_starting_sequence_number(number.map(str::to_owned));
            assert_refused(request.send().await, ARGUMENT);
        };
        ask(ShardIteratorType::AtSequenceNumber, None).await;
        ask(ShardIteratorType::AfterSequenceNumber, None).await;
        ask(ShardIteratorType::AtTimestamp, None).await;
        ask(ShardIteratorType::TrimHorizon, Some(put.sequence_number())).await;
        ask(ShardIteratorType::Latest, Some(put.sequence_number())).await;
    });
}

#[test]
fn k34_an_unknown_shard_is_not_found() {
    check(async |server: &Server| {
        let stream = server.stream(1).await;
        let refused = assert_refused(stream.iterator("shardId-000000000001", From::TrimHorizon).await, NOT_FOUND);
        assert!(refused.message.contains("shardId-000000000001"), "{}", refused.message);
        assert_refused(stream.iterator("nonsense", From::TrimHorizon).await, NOT_FOUND);
    });
}

#[test]
fn k35_an_iterator_works_twice() {
    check(async |server: &Server| {
        let stream = server.stream(1).await;
        stream.put("key", "a").await;
        let iterator = stream.iterator(SHARD, From::TrimHorizon).await.unwrap();
        for _ in 0..2 {
            assert_eq!(data(&stream.read(&iterator).await.unwrap().records), ["a"]);
        }
        stream.put("key", "b").await;
        assert_eq!(data(&stream.read(&iterator).await.unwrap().records), ["a", "b"]);
    });
}

#[test]
fn k36_an_iterator_lives_for_five_minutes() {
    check_engine(EngineConfig::in_process(), async |server: &Server| {
        let stream = server.stream(1).await;
        let iterator = stream.iterator(SHARD, From::TrimHorizon).await.unwrap();
        server.advance(Duration::from_secs(299)).await;
        let fresh = stream.read(&iterator).await.unwrap().next_shard_iterator.unwrap();
        server.advance(Duration::from_secs(2)).await;
        let refused = assert_refused(stream.read(&iterator).await, "ExpiredIteratorException");
        assert!(
            refused
                .message
                .starts_with("Iterator expired. The iterator was created at time Thu Jan 01 00:00:00 UTC 2026 while")
        );
        server.advance(Duration::from_secs(297)).await;
        assert!(stream.read(&fresh).await.is_ok());
    });
}

#[test]
fn k37_garbage_is_an_invalid_argument() {
    check(async |server: &Server| {
        let stream = server.stream(1).await;
        let good = stream.iterator(SHARD, From::TrimHorizon).await.unwrap();
        for garbage in ["garbage", "AAAA", &good[..good.len() - 8], &good.replace(['A', 'B'], "C"), "ä", " "] {
            assert_refused(stream.read(garbage).await, ARGUMENT);
        }
    });
}

#[test]
fn k38_iterators_fit_512_characters() {
    check_engine(EngineConfig::in_process(), async |server: &Server| {
        let name = "n".repeat(128);
        server.client.create_stream().stream_name(&name).shard_count(1).send().await.unwrap();
        let stream = Stream { server, name, arn: String::new() };
        stream.active().await;
        let iterator = stream.iterator(SHARD, From::Latest).await.unwrap();
        assert!(iterator.len() <= 512, "{}", iterator.len());
        assert!(stream.read(&iterator).await.is_ok());
    });
}
