//! Polling: limits, empty answers, the distance to the tip. K39 to K43.

use std::time::Duration;

use kcl_local::kinesis::EngineConfig;

use super::failure::{VALIDATION, assert_refused};
use super::server::{Server, check, check_engine, check_engine_with_seed};
use super::stream::{From, data, entry};

const SHARD: &str = "shardId-000000000000";
const MIB: usize = 1024 * 1024;

#[test]
fn k39_a_limit_is_kept() {
    check(async |server: &Server| {
        let stream = server.stream(1).await;
        for _ in 0..21 {
            stream.put_all(vec![entry("key", "data"); 500]).await.unwrap();
        }
        let iterator = stream.iterator(SHARD, From::TrimHorizon).await.unwrap();
        let answer = stream.read_up_to(&iterator, 7).await.unwrap();
        assert_eq!(answer.records.len(), 7);
        assert_eq!(stream.read(&iterator).await.unwrap().records.len(), 10_000);
        assert_eq!(stream.read_up_to(&iterator, 10_000).await.unwrap().records.len(), 10_000);
        let refused = stream.read_up_to(&iterator, 10_001).await.unwrap_err();
        assert!(refused.code == VALIDATION || refused.code == super::failure::ARGUMENT, "{refused:?}");
        assert_refused(stream.read_up_to(&iterator, 0).await, VALIDATION);
    });
}

#[test]
fn k40_an_answer_holds_ten_mebibytes_and_at_most_one_record_more() {
    check(async |server: &Server| {
        let stream = server.stream(1).await;
        let record = vec![b'x'; MIB - 3];
        for _ in 0..12 {
            stream.try_put("key", &record).await.unwrap();
        }
        let mut iterator = stream.iterator(SHARD, From::TrimHorizon).await.unwrap();
        let mut total = 0;
        loop {
            let answer = stream.read(&iterator).await.unwrap();
            assert!(answer.records.len() <= 11);
            total += answer.records.len();
            if answer.millis_behind_latest == Some(0) {
                break;
            }
            iterator = answer.next_shard_iterator.unwrap();
        }
        assert_eq!(total, 12);
    });
}

#[test]
fn k41_an_empty_answer_of_an_open_shard_leads_on() {
    check(async |server: &Server| {
        let stream = server.stream(1).await;
        let mut iterator = stream.iterator(SHARD, From::TrimHorizon).await.unwrap();
        for _ in 0..3 {
            let answer = stream.read(&iterator).await.unwrap();
            assert!(answer.records.is_empty());
            iterator = answer.next_shard_iterator.unwrap();
        }
        stream.put("key", "data").await;
        assert_eq!(data(&stream.read(&iterator).await.unwrap().records), ["data"]);
    });
}

#[test]
fn k42_records_arrive_in_order_and_once_through_empty_answers() {
    for seed in 0..20 {
        let mut config = EngineConfig::in_process();
        config.empty_answers = 3;
        check_engine_with_seed(config, seed, async |server: &Server| {
            let stream = server.stream(1).await;
            let sent: Vec<_> = (0..20).map(|number| number.to_string()).collect();
            for data in &sent {
                stream.put("key", data).await;
            }
            let mut iterator = stream.iterator(SHARD, From::TrimHorizon).await.unwrap();
            let (mut received, mut empty, mut in_a_row) = (Vec::new(), 0, 0);
            while received.len() < sent.len() {
                let answer = stream.read_up_to(&iterator, 3).await.unwrap();
                if answer.records.is_empty() {
                    empty += 1;
                    in_a_row += 1;
                    assert!(answer.millis_behind_latest.unwrap() > 0);
                } else {
                    in_a_row = 0;
                }
                assert!(in_a_row <= 3);
                received.extend(data(&answer.records));
                iterator = answer.next_shard_iterator.unwrap();
            }
            assert_eq!(received, sent);
            assert!(empty > 0);
        });
    }
}

#[test]
fn k43_the_distance_to_the_tip_is_zero_there_and_grows_while_nobody_reads() {
    check_engine(EngineConfig::in_process(), async |server: &Server| {
        let stream = server.stream(1).await;
        for data in ["a", "b", "c"] {
            stream.put("key", data).await;
            server.advance(Duration::from_secs(1)).await;
        }
        let iterator = stream.iterator(SHARD, From::TrimHorizon).await.unwrap();
        let behind = async |limit| stream.read_up_to(&iterator, limit).await.unwrap().millis_behind_latest.unwrap();
        assert_eq!(behind(1).await, 3000);
        assert_eq!(behind(2).await, 2000);
        assert_eq!(behind(3).await, 0);
        server.advance(Duration::from_secs(60)).await;
        assert_eq!(behind(1).await, 63_000);
        assert_eq!(behind(3).await, 0);
        let tip = stream.iterator(SHARD, From::Latest).await.unwrap();
        assert_eq!(stream.read(&tip).await.unwrap().millis_behind_latest, Some(0));
    });
}
