//! Splits, merges and changes of the shard count. K55 to K62.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_kinesis::types::{ScalingType, Shard, StreamMode, StreamModeDetails};
use md5::{Digest as _, Md5};

use super::decimal::less;
use super::failure::{ARGUMENT, LIMIT, VALIDATION, assert_refused};
use super::server::{Server, check, check_engine, visible_transitions};
use super::stream::{From, ids, is_open, range, tile};

const PARENT: &str = "shardId-000000000000";

fn numbers(shard: &Shard) -> (&str, Option<&str>) {
    let range = shard.sequence_number_range().unwrap();
    (range.starting_sequence_number(), range.ending_sequence_number())
}

#[test]
fn k55_numbers_grow_from_parent_to_child() {
    check(async |server: &Server| {
        let stream = server.stream(1).await;
        let last = stream.put("key", "a").await.sequence_number().to_owned();
        let children = stream.split(PARENT).await;
        let parent = stream.shard(PARENT).await;
        let ending = numbers(&parent).1.unwrap();
        assert!(less(&last, ending));
        for child in &children {
            assert!(less(ending, numbers(child).0) && numbers(child).1.is_none());
        }
        let next = stream.put("key", "b").await.sequence_number().to_owned();
        assert!(less(numbers(&children[0]).0, &next));
    });
}

#[test]
fn k56_children_have_the_next_ids_the_lower_range_first() {
    check(async |server: &Server| {
        let stream = server.stream(2).await;
        let children = stream.split("shardId-000000000001").await;
        assert_eq!(ids(&children), ["shardId-000000000002", "shardId-000000000003"]);
        assert!(range(&children[0]) < range(&children[1]));
        for child in &children {
            assert_eq!(child.parent_shard_id(), Some("shardId-000000000001"));
            assert_eq!(child.adjacent_parent_shard_id(), None);
        }
        let merged = stream.merge(PARENT, "shardId-000000000002").await;
        assert_eq!(merged.shard_id(), "shardId-000000000004");
        assert_eq!(merged.parent_shard_id(), Some(PARENT));
        assert_eq!(merged.adjacent_parent_shard_id(), Some("shardId-000000000002"));
    });
}

#[test]
fn k57_a_split_point_must_lie_inside() {
    check(async |server: &Server| {
        let stream = server.stream(2).await;
        let (start, end) = range(&stream.shard("shardId-000000000001").await);
        for outside in [0, start - 1, start, start + 1, end] {
            assert_refused(stream.begin_split_at("shardId-000000000001", outside).await, ARGUMENT);
        }
        stream.begin_split_at("shardId-000000000001", start + 2).await.unwrap();
        stream.active().await;
        assert!(tile(&stream.open_shards().await));
    });
}

#[test]
fn k58_only_neighbours_merge_and_the_lower_one_is_named_first() {
    check(async |server: &Server| {
        let stream = server.stream(3).await;
        assert_refused(stream.begin_merge(PARENT, "shardId-000000000002").await, ARGUMENT);
        let refused = assert_refused(stream.begin_merge("shardId-000000000001", PARENT).await, ARGUMENT);
        assert!(refused.message.contains("not an adjacent pair of shards eligible for merging"), "{}", refused.message);
        assert_refused(stream.begin_merge(PARENT, PARENT).await, ARGUMENT);
        stream.merge(PARENT, "shardId-000000000001").await;
        // A closed shard is not split or merged again.
        assert_refused(stream.begin_split(PARENT).await, ARGUMENT);
    });
}

#[test]
fn k59_a_new_shard_count_is_reached_by_splits_and_merges() {
    check(async |server: &Server| {
        let stream = server.stream(2).await;
        for (count, total, parents) in [(4, 6, 1), (2, 8, 2)] {
            stream.rescale(count).await.unwrap();
            let shards = stream.shards().await;
            let open: Vec<_> = shards.iter().filter(|shard| is_open(shard)).cloned().collect();
            assert_eq!((shards.len(), open.len()), (total, usize::try_from(count).unwrap()));
            assert!(tile(&open));
            for shard in &open {
                let named = [shard.parent_shard_id(), shard.adjacent_parent_shard_id()];
                assert_eq!(named.iter().flatten().count(), parents);
            }
        }
        stream.rescale(3).await.unwrap();
        assert!(tile(&stream.open_shards().await));
        assert_eq!(stream.open_shards().await.len(), 3);
    });
}

#[test]
fn k60_a_shard_count_doubles_or_halves_at_most() {
    check(async |server: &Server| {
        let stream = server.stream(4).await;
        assert!([ARGUMENT, LIMIT].contains(&stream_refusal(&stream, 9).await.as_str()));
        assert!([ARGUMENT, LIMIT].contains(&stream_refusal(&stream, 1).await.as_str()));
        let update = server.client.update_shard_count().stream_name(&stream.name).target_shard_count(8);
        let output = update.scaling_type(ScalingType::UniformScaling).send().await.unwrap();
        assert_eq!((output.current_shard_count, output.target_shard_count), (Some(4), Some(8)));
        assert_eq!((output.stream_name, output.stream_arn), (Some(stream.name.clone()), Some(stream.arn.clone())));
    });
}

async fn stream_refusal(stream: &super::stream::Stream<'_>, count: i32) -> String {
    stream.rescale(count).await.unwrap_err().code
}

#[test]
fn k60_the_eleventh_change_in_a_day_is_refused() {
    check_engine(visible_transitions(), async |server: &Server| {
        let stream = server.stream(2).await;
        for round in 0..10 {
            stream.rescale(2 + (round + 1) % 2).await.unwrap();
        }
        assert_refused(stream.rescale(3).await, LIMIT);
        server.advance(Duration::from_secs(86_400)).await;
        stream.rescale(3).await.unwrap();
    });
}

#[test]
fn k61_an_on_demand_stream_is_not_resharded_by_its_user() {
    check(async |server: &Server| {
        let stream = server.stream(2).await;
        let on_demand = StreamModeDetails::builder().stream_mode(StreamMode::OnDemand).build().unwrap();
        server.client.update_stream_mode().stream_arn(&stream.arn).stream_mode_details(on_demand).send().await.unwrap();
        stream.active().await;
        assert_refused(stream.begin_split(PARENT).await, VALIDATION);
        assert_refused(stream.begin_merge(PARENT, "shardId-000000000001").await, VALIDATION);
        assert_refused(stream.rescale(4).await, VALIDATION);
        assert_eq!(stream.open_shards().await.len(), 2);
    });
}

#[test]
fn k62_no_write_is_lost_or_misrouted_while_shards_change_under_load() {
    check(async |server: &Server| {
        let stream = server.stream(2).await;
        let write = async |writer: u32| {
            let mut written = Vec::new();
            for round in 0..100 {
                let key = format!("{writer}-{round}");
                let put = stream.put(&key, &key).await;
                written.push((key, put.shard_id().to_owned(), put.sequence_number().to_owned()));
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            written
        };
        let reshard = async {
            stream.split(PARENT).await;
            stream.merge("shardId-000000000003", "shardId-000000000001").await;
            stream.rescale(4).await.unwrap();
        };
        let (a, b, ()) = tokio::join!(write(0), write(1), reshard);
        let written: BTreeSet<_> = a.into_iter().chain(b).collect();
        assert_eq!(written.len(), 200);

        let mut read = BTreeSet::new();
        for shard in stream.shards().await {
            let (start, end) = range(&shard);
            for record in stream.rest(shard.shard_id(), From::TrimHorizon).await.records {
                let key = record.partition_key.unwrap();
                let hash_key = u128::from_be_bytes(Md5::digest(key.as_bytes()).into());
                assert!((start..=end).contains(&hash_key));
                read.insert((key, shard.shard_id().to_owned(), record.sequence_number));
            }
        }
        assert_eq!(read, written);
        assert!(written.iter().map(|(_, shard, _)| shard).collect::<BTreeSet<_>>().len() > 4);
    });
}
