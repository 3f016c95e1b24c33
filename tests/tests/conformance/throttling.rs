//! Throttling. K21, K44 and K45.

use std::time::Duration;

use kcl_local::kinesis::EngineConfig;

use super::failure::{THROUGHPUT, assert_refused};
use super::server::{Server, check_engine};
use super::stream::{From, data, entry};

const SHARD: &str = "shardId-000000000000";

#[test]
fn k21_only_the_surplus_of_a_batch_is_throttled() {
    let mut config = EngineConfig::in_process();
    config.write_throttling = true;
    check_engine(config, async |server: &Server| {
        let stream = server.stream(1).await;
        let send = async || stream.put_all(vec![entry("key", "data"); 400]).await.unwrap();
        assert_eq!(send().await.failed_record_count(), Some(0));
        assert_eq!(send().await.failed_record_count(), Some(0));
        let third = send().await;
        assert_eq!(third.failed_record_count(), Some(200));
        for (place, result) in third.records().iter().enumerate() {
            let code = (place >= 200).then_some(THROUGHPUT);
            assert_eq!((result.error_code(), result.shard_id().is_none()), (code, code.is_some()));
        }
        assert_refused(stream.try_put("key", b"data").await, THROUGHPUT);
        server.advance(Duration::from_millis(500)).await;
        assert_eq!(send().await.failed_record_count(), Some(0));
        assert_eq!(stream.rest(SHARD, From::TrimHorizon).await.records.len(), 1400);
    });
}

fn read_throttling() -> EngineConfig {
    let mut config = EngineConfig::in_process();
    config.read_throttling = true;
    config
}

#[test]
fn k44_the_sixth_read_in_a_second_is_refused_and_moves_nothing() {
    check_engine(read_throttling(), async |server: &Server| {
        let stream = server.stream(1).await;
        stream.put("key", "data").await;
        let iterator = stream.iterator(SHARD, From::TrimHorizon).await.unwrap();
        for _ in 0..5 {
            assert!(stream.read(&iterator).await.is_ok());
        }
        assert_refused(stream.read(&iterator).await, THROUGHPUT);
        server.advance(Duration::from_millis(999)).await;
        assert_refused(stream.read(&iterator).await, THROUGHPUT);
        server.advance(Duration::from_millis(1)).await;
        assert_eq!(data(&stream.read(&iterator).await.unwrap().records), ["data"]);
    });
}

#[test]
fn k44_iterators_have_a_budget_of_their_own() {
    check_engine(read_throttling(), async |server: &Server| {
        let stream = server.stream(2).await;
        for _ in 0..5 {
            assert!(stream.iterator(SHARD, From::Latest).await.is_ok());
        }
        assert_refused(stream.iterator(SHARD, From::Latest).await, THROUGHPUT);
        assert!(stream.iterator("shardId-000000000001", From::Latest).await.is_ok());
    });
}

#[test]
fn k45_ten_mebibytes_are_paid_for_in_five_seconds() {
    check_engine(read_throttling(), async |server: &Server| {
        let stream = server.stream(1).await;
        for _ in 0..11 {
            stream.try_put("key", &vec![b'x'; 1024 * 1024 - 3]).await.unwrap();
        }
        let iterator = stream.iterator(SHARD, From::TrimHorizon).await.unwrap();
        let first = stream.read(&iterator).await.unwrap();
        assert_eq!(first.records.len(), 10);
        let next = first.next_shard_iterator.unwrap();
        for _ in 0..4 {
            assert_refused(stream.read(&next).await, THROUGHPUT);
            server.advance(Duration::from_secs(1)).await;
        }
        server.advance(Duration::from_millis(900)).await;
        assert_refused(stream.read(&next).await, THROUGHPUT);
        server.advance(Duration::from_millis(100)).await;
        assert_eq!(stream.read(&next).await.unwrap().records.len(), 1);
    });
}
