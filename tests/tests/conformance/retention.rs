//! Retention: what happens to old records and shards. K72 to K76.

use std::time::Duration;

use kcl_local::kinesis::EngineConfig;

use super::failure::{ARGUMENT, Failure, NOT_FOUND, assert_refused};
use super::server::{Server, check, check_engine};
use super::stream::{From, Stream, data, ids};

const FIRST: &str = "shardId-000000000000";
const HOUR: Duration = Duration::from_secs(3600);

/// A stream of one shard with the records a, b, c, one an hour from hour 0 on; the clock is at hour
/// 3.
async fn abc(server: &Server) -> (Stream<'_>, Vec<String>) {
    let stream = server.stream(1).await;
    let mut numbers = Vec::new();
    for data in ["a", "b", "c"] {
        numbers.push(stream.put("key", data).await.sequence_number().to_owned());
        server.advance(HOUR).await;
    }
    (stream, numbers)
}

async fn change(stream: &Stream<'_>, longer: bool, hours: i32) -> Result<(), Failure> {
    let client = &stream.server.client;
    if longer {
        client
            .increase_stream_retention_period()
            .stream_name(&stream.name)
            .retention_period_hours(hours)
            .send()
            .await?;
    } else {
        client
            .decrease_stream_retention_period()
            .stream_name(&stream.name)
            .retention_period_hours(hours)
            .send()
            .await?;
    }
    Ok(())
}

#[test]
fn k72_records_older_than_the_retention_are_gone() {
    check_engine(EngineConfig::in_process(), async |server: &Server| {
        let (stream, _) = abc(server).await;
        server.advance(HOUR * 21).await;
        assert_eq!(stream.data(FIRST, From::TrimHorizon).await, ["a", "b", "c"]);
        let iterator = stream.iterator(FIRST, From::TrimHorizon).await.unwrap();
        server.advance(Duration::from_millis(1)).await;
        assert_eq!(stream.data(FIRST, From::TrimHorizon).await, ["b", "c"]);
        assert_eq!(data(&stream.rest_of(iterator).await.records), ["b", "c"]);
        server.advance(HOUR * 2).await;
        let rest = stream.rest(FIRST, From::TrimHorizon).await;
        assert!(rest.records.is_empty() && rest.last.next_shard_iterator.is_some());
    });
}

#[test]
fn k73_a_closed_shard_disappears_and_its_children_still_name_it() {
    check_engine(EngineConfig::in_process(), async |server: &Server| {
        let stream = server.stream(1).await;
        stream.split(FIRST).await;
        server.advance(HOUR * 24).await;
        assert_eq!(stream.shards().await.len(), 3);
        server.advance(Duration::from_millis(1)).await;
        let left = stream.shards().await;
        assert_eq!(ids(&left), ["shardId-000000000001", "shardId-000000000002"]);
        assert!(left.iter().all(|shard| shard.parent_shard_id() == Some(FIRST)));
        let described = server.client.describe_stream().stream_name(&stream.name).send().await.unwrap();
        assert_eq!(described.stream_description.unwrap().shards.len(), 2);
    });
}

#[test]
fn k74_an_expired_shard_is_not_found() {
    check_engine(EngineConfig::in_process(), async |server: &Server| {
        let stream = server.stream(1).await;
        stream.put("key", "data").await;
        stream.split(FIRST).await;
        server.advance(HOUR * 24).await;
        let iterator = stream.iterator(FIRST, From::TrimHorizon).await.unwrap();
        assert!(stream.read(&iterator).await.is_ok());
        server.advance(Duration::from_millis(1)).await;
        assert_refused(stream.read(&iterator).await, NOT_FOUND);
        assert_refused(stream.iterator(FIRST, From::TrimHorizon).await, NOT_FOUND);
    });
}

#[test]
fn k75_a_position_before_the_horizon_is_answered_with_nothing_for_a_while() {
    let mut config = EngineConfig::in_process();
    config.empty_answers_before_horizon = 2;
    check_engine(config, async |server: &Server| {
        let (stream, numbers) = abc(server).await;
        server.advance(HOUR * 22 + Duration::from_secs(1)).await;
        let mut iterator = stream.iterator(FIRST, From::After(&numbers[0])).await.unwrap();
        for _ in 0..2 {
            let answer = stream.read(&iterator).await.unwrap();
            assert!(answer.records.is_empty());
            assert_eq!(answer.millis_behind_latest, Some(86_400_000));
            iterator = answer.next_shard_iterator.unwrap();
        }
        assert_eq!(data(&stream.read(&iterator).await.unwrap().records), ["c"]);
        // The horizon itself is not before the horizon.
        let horizon = stream.iterator(FIRST, From::TrimHorizon).await.unwrap();
        assert_eq!(data(&stream.read(&horizon).await.unwrap().records), ["c"]);
    });
}

#[test]
fn k76_a_longer_retention_brings_nothing_back_and_a_shorter_one_cuts_at_once() {
    check_engine(EngineConfig::in_process(), async |server: &Server| {
        let (stream, _) = abc(server).await;
        server.advance(HOUR * 21 + Duration::from_secs(1)).await;
        change(&stream, true, 48).await.unwrap();
        assert_eq!(stream.data(FIRST, From::TrimHorizon).await, ["b", "c"]);
        server.advance(HOUR * 10).await;
        assert_eq!(stream.data(FIRST, From::TrimHorizon).await, ["b", "c"]);
        change(&stream, false, 24).await.unwrap();
        assert_eq!(stream.data(FIRST, From::TrimHorizon).await, [""; 0]);
        change(&stream, true, 48).await.unwrap();
        assert_eq!(stream.data(FIRST, From::TrimHorizon).await, [""; 0]);
    });
}

#[test]
fn k76_bounds_and_direction_are_checked() {
    check(async |server: &Server| {
        let stream = server.stream(1).await;
        for (longer, hours) in [(true, 23), (true, 8761), (false, 23), (false, 48)] {
            assert_refused(change(&stream, longer, hours).await, ARGUMENT);
        }
        change(&stream, true, 24).await.unwrap();
        change(&stream, true, 8760).await.unwrap();
        assert_refused(change(&stream, true, 8759).await, ARGUMENT);
        change(&stream, false, 8760).await.unwrap();
        change(&stream, false, 24).await.unwrap();
    });
}
