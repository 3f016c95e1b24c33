//! The end of a closed shard. K47 to K54.

use aws_sdk_kinesis::operation::get_records::GetRecordsOutput;
use kcl_local::kinesis::{EngineConfig, ShardEndAnswer};

use super::server::{Server, check, check_engine};
use super::stream::{From, data};

const PARENT: &str = "shardId-000000000000";

fn is_end(answer: &GetRecordsOutput) -> bool {
    assert_eq!(answer.next_shard_iterator.is_none(), answer.child_shards.is_some(), "the end is a pair");
    answer.next_shard_iterator.is_none()
}

fn children(answer: &GetRecordsOutput) -> Vec<(&str, Vec<&str>)> {
    let children = answer.child_shards().iter();
    children.map(|child| (child.shard_id(), child.parent_shards().iter().map(String::as_str).collect())).collect()
}

#[test]
fn k47_a_drained_closed_shard_has_no_iterator_but_children() {
    check(async |server: &Server| {
        let stream = server.stream(1).await;
        stream.put("key", "a").await;
        let split = stream.split(PARENT).await;
        let rest = stream.rest(PARENT, From::TrimHorizon).await;
        assert_eq!(data(&rest.records), ["a"]);
        assert!(is_end(&rest.last));
        for (child, listed) in rest.last.child_shards().iter().zip(&split) {
            assert_eq!(child.shard_id(), listed.shard_id());
            assert_eq!(child.hash_key_range(), listed.hash_key_range());
            assert!(!child.parent_shards().is_empty());
        }
        assert_eq!(rest.last.millis_behind_latest, Some(0));
    });
}

#[test]
fn k48_an_open_shard_has_no_children() {
    check(async |server: &Server| {
        let stream = server.stream(2).await;
        stream.put_at(u128::MAX, "a").await;
        stream.split(PARENT).await;
        let rest = stream.rest("shardId-000000000001", From::TrimHorizon).await;
        assert_eq!((rest.records.len(), rest.last.child_shards.is_none()), (1, true));
        assert!(!is_end(&rest.last));
    });
}

#[test]
fn k49_a_closed_shard_that_is_not_drained_has_an_iterator_and_no_children() {
    check(async |server: &Server| {
        let stream = server.stream(1).await;
        for data in ["a", "b", "c"] {
            stream.put("key", data).await;
        }
        stream.split(PARENT).await;
        let iterator = stream.iterator(PARENT, From::TrimHorizon).await.unwrap();
        let answer = stream.read_up_to(&iterator, 2).await.unwrap();
        assert_eq!(data(&answer.records), ["a", "b"]);
        assert!(!is_end(&answer));
        assert!(answer.millis_behind_latest.unwrap() > 0);
    });
}

#[test]
fn k50_a_split_has_two_children_and_a_merge_one_with_both_parents() {
    check(async |server: &Server| {
        let stream = server.stream(1).await;
        stream.split(PARENT).await;
        let (lower, upper) = ("shardId-000000000001", "shardId-000000000002");
        let end = stream.rest(PARENT, From::TrimHorizon).await.last;
        assert_eq!(children(&end), [(lower, vec![PARENT]), (upper, vec![PARENT])]);
        stream.merge(lower, upper).await;
        for parent in [lower, upper] {
            let end = stream.rest(parent, From::TrimHorizon).await.last;
            assert_eq!(children(&end), [("shardId-000000000003", vec![lower, upper])]);
        }
        // Only direct children, also when they are closed themselves.
        assert_eq!(children(&stream.rest(PARENT, From::TrimHorizon).await.last).len(), 2);
    });
}

#[test]
fn k51_positions_behind_the_last_record_of_a_closed_shard_end_at_once() {
    check(async |server: &Server| {
        let stream = server.stream(1).await;
        let last = stream.put("key", "a").await.sequence_number().to_owned();
        stream.split(PARENT).await;
        let ending = stream.shard(PARENT).await.sequence_number_range.unwrap().ending_sequence_number.unwrap();
        for from in [From::Latest, From::After(&last), From::At(&ending), From::After(&ending)] {
            let iterator = stream.iterator(PARENT, from.clone()).await.unwrap();
            let answer = stream.read(&iterator).await.unwrap();
            assert!(answer.records.is_empty() && is_end(&answer), "{from:?}");
            assert_eq!(children(&answer).len(), 2);
            // And again with the same iterator.
            assert!(is_end(&stream.read(&iterator).await.unwrap()));
        }
    });
}

#[test]
fn k52_an_iterator_from_before_a_split_reaches_the_end() {
    check(async |server: &Server| {
        let stream = server.stream(1).await;
        let iterator = stream.iterator(PARENT, From::Latest).await.unwrap();
        stream.put("key", "a").await;
        stream.split(PARENT).await;
        stream.put("key", "in a child").await;
        let rest = stream.rest_of(iterator).await;
        assert_eq!(data(&rest.records), ["a"]);
        assert!(is_end(&rest.last));
    });
}

#[test]
fn k53_an_empty_closed_shard_ends_at_once() {
    check(async |server: &Server| {
        let stream = server.stream(1).await;
        stream.split(PARENT).await;
        let iterator = stream.iterator(PARENT, From::TrimHorizon).await.unwrap();
        let answer = stream.read(&iterator).await.unwrap();
        assert!(answer.records.is_empty() && is_end(&answer));
    });
}

#[test]
fn k54_the_end_comes_with_the_last_records_or_after_them() {
    for (form, with_last) in [(ShardEndAnswer::WithLastRecords, true), (ShardEndAnswer::Separate, false)] {
        let mut config = EngineConfig::in_process();
        config.shard_end = form;
        check_engine(config, async |server: &Server| {
            let stream = server.stream(1).await;
            stream.put("key", "a").await;
            stream.split(PARENT).await;
            let iterator = stream.iterator(PARENT, From::TrimHorizon).await.unwrap();
            let answer = stream.read(&iterator).await.unwrap();
            assert_eq!((data(&answer.records), is_end(&answer)), (vec!["a".to_owned()], with_last));
            if let Some(next) = answer.next_shard_iterator {
                let end = stream.read(&next).await.unwrap();
                assert!(end.records.is_empty() && is_end(&end));
            }
        });
    }
}
