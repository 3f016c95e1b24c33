//! `ListShards`: pages, tokens and filters. K63 to K71.

use std::time::Duration;

use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::{ShardFilter, ShardFilterType};
use kcl_local::kinesis::model::ErrorCode;
use kcl_local::kinesis::{EngineConfig, HashKey, Reshard, ShardId};

use super::failure::{ARGUMENT, IN_USE, assert_refused};
use super::server::{Server, check, check_engine};
use super::stream::{Stream, filter, ids, is_open, tile};

const FIRST: &str = "shardId-000000000000";

fn at(kind: ShardFilterType, millis: i64) -> ShardFilter {
    ShardFilter::builder().r#type(kind).timestamp(DateTime::from_millis(millis)).build().unwrap()
}

#[test]
fn k63_pages_neither_repeat_nor_miss_a_shard() {
    check(async |server: &Server| {
        let stream = server.stream(10).await;
        for size in [1, 3, 5, 10] {
            let mut listed = Vec::new();
            let mut page =
                server.client.list_shards().stream_name(&stream.name).max_results(size).send().await.unwrap();
            loop {
                assert!(page.shards().len() <= usize::try_from(size).unwrap() && !page.shards().is_empty());
                listed.extend(page.shards().iter().map(|shard| shard.shard_id().to_owned()));
                match page.next_token() {
                    Some(token) => {
                        page = server.client.list_shards().next_token(token).max_results(size).send().await.unwrap()
                    }
                    None => break,
                }
            }
            assert_eq!(listed, (0..10).map(|id| format!("shardId-{id:012}")).collect::<Vec<_>>());
        }
    });
}

#[test]
fn k63_the_number_of_results_may_change_from_page_to_page() {
    check(async |server: &Server| {
        let stream = server.stream(5).await;
        let first = server.client.list_shards().stream_name(&stream.name).max_results(2).send().await.unwrap();
        let second = server.client.list_shards().next_token(first.next_token().unwrap()).send().await.unwrap();
        assert_eq!((second.shards().len(), second.next_token()), (3, None));
        let after =
            server.client.list_shards().stream_name(&stream.name).exclusive_start_shard_id("shardId-000000000003");
        assert_eq!(ids(after.send().await.unwrap().shards()), ["shardId-000000000004"]);
    });
}

#[test]
fn k64_a_token_excludes_other_parameters() {
    check(async |server: &Server| {
        let stream = server.stream(3).await;
        let first = server.client.list_shards().stream_name(&stream.name).max_results(1).send().await.unwrap();
        let next = || server.client.list_shards().next_token(first.next_token().unwrap());
        let refused = assert_refused(next().stream_name(&stream.name).send().await, ARGUMENT);
        assert_eq!(refused.message, "NextToken and StreamName cannot be provided together.");
        let refused = assert_refused(next().shard_filter(filter(ShardFilterType::AtLatest)).send().await, ARGUMENT);
        assert_eq!(refused.message, "NextToken and ShardFilter cannot be provided together.");
        assert_refused(next().exclusive_start_shard_id(FIRST).send().await, ARGUMENT);
        // The Java KCL repeats the ARN.
        assert_eq!(next().stream_arn(&stream.arn).send().await.unwrap().shards().len(), 2);
        let other = server.stream(1).await;
        assert_refused(next().stream_arn(&other.arn).send().await, ARGUMENT);
    });
}

#[test]
fn k65_a_token_lives_for_five_minutes_and_garbage_is_refused() {
    check_engine(EngineConfig::in_process(), async |server: &Server| {
        let stream = server.stream(3).await;
        let first = server.client.list_shards().stream_name(&stream.name).max_results(1).send().await.unwrap();
        let token = first.next_token().unwrap();
        server.advance(Duration::from_secs(300)).await;
        assert!(server.client.list_shards().next_token(token).send().await.is_ok());
        server.advance(Duration::from_secs(1)).await;
        assert_refused(server.client.list_shards().next_token(token).send().await, ErrorCode::ExpiredNextToken.name());
        for garbage in ["garbage", "AAAA", &token[4..]] {
            assert_refused(server.client.list_shards().next_token(garbage).send().await, ARGUMENT);
        }
        // A token of another list is refused too.
        let streams = server.client.list_streams().next_token(token).send().await;
        assert_refused(streams, ARGUMENT);
    });
}

#[test]
fn k66_the_filter_of_the_first_page_holds_for_all() {
    check(async |server: &Server| {
        let stream = server.stream(2).await;
        stream.split(FIRST).await;
        stream.split("shardId-000000000001").await;
        let list =
            server.client.list_shards().stream_name(&stream.name).shard_filter(filter(ShardFilterType::AtLatest));
        let mut page = list.max_results(1).send().await.unwrap();
        let mut listed = page.shards().to_vec();
        while let Some(token) = page.next_token() {
            page = server.client.list_shards().next_token(token).max_results(1).send().await.unwrap();
            listed.extend(page.shards().to_vec());
        }
        assert_eq!(listed.len(), 4);
        assert!(listed.iter().all(is_open) && tile(&listed));
    });
}

#[test]
fn k67_at_latest_lists_open_shards_only() {
    check(async |server: &Server| {
        let stream = server.stream(2).await;
        stream.split(FIRST).await;
        let open = stream.listed(Some(filter(ShardFilterType::AtLatest))).await.unwrap();
        assert_eq!(ids(&open), ["shardId-000000000001", "shardId-000000000002", "shardId-000000000003"]);
        assert!(tile(&open));
    });
}

#[test]
fn k68_at_trim_horizon_lists_the_initial_shards_of_a_young_stream() {
    check(async |server: &Server| {
        let stream = server.stream(2).await;
        stream.split(FIRST).await;
        stream.rescale(6).await.unwrap();
        stream.rescale(4).await.unwrap();
        let initial = stream.listed(Some(filter(ShardFilterType::AtTrimHorizon))).await.unwrap();
        assert_eq!(ids(&initial), [FIRST, "shardId-000000000001"]);
    });
}

#[test]
fn k69_at_any_time_the_shards_listed_hold_every_hash_key_once() {
    check_engine(EngineConfig::in_process(), async |server: &Server| {
        let stream = server.stream(2).await;
        let mut rng = fastrand::Rng::with_seed(69);
        let born = server.now().millis();
        let mut instants = vec![born - 100_000, born - 1, born];
        for pause in [0, 0, 1, 0, 5, 1000, 0, 0, 2, 60_000] {
            server.advance(Duration::from_millis(pause)).await;
            server.engine(|engine, scope, now| {
                let count = rng.u32(1..=8);
                engine.reshard(scope, &stream.name, Reshard::Count(count), now).unwrap();
            });
            let now = server.now().millis();
            instants.extend([now - 1, now, now + 1, now + 2, now + 3]);
        }
        // Reshards without a pause push creation times ahead of the clock: list once that time is
        // past.
        server.advance(Duration::from_secs(3600)).await;
        for instant in instants {
            let shards = stream.listed(Some(at(ShardFilterType::AtTimestamp, instant))).await.unwrap();
            assert!(tile(&shards), "at {}", instant - born);
        }
    });
}

#[test]
fn k69_a_time_in_the_future_is_refused() {
    check_engine(EngineConfig::in_process(), async |server: &Server| {
        let stream = server.stream(1).await;
        let future = server.now().millis() + 1;
        assert_refused(stream.listed(Some(at(ShardFilterType::AtTimestamp, future))).await, ARGUMENT);
    });
}

#[test]
fn k70_the_other_filters_list_what_they_should() {
    check_engine(EngineConfig::in_process(), async |server: &Server| {
        let stream = server.stream(1).await;
        server.advance(Duration::from_secs(10)).await;
        stream.split(FIRST).await;
        let split = server.now().millis();
        server.advance(Duration::from_secs(10)).await;
        stream.split("shardId-000000000001").await;
        let listed = async |filter| {
            let shards = stream.listed(Some(filter)).await.unwrap();
            shards.iter().map(|shard| shard.shard_id().rsplit('0').next().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let all = ["", "1", "2", "3", "4"];
        assert_eq!(listed(filter(ShardFilterType::FromTrimHorizon)).await, all);
        assert_eq!(listed(at(ShardFilterType::FromTimestamp, split)).await, all);
        assert_eq!(listed(at(ShardFilterType::FromTimestamp, split + 1)).await, all[1..]);
        server.advance(Duration::from_secs(1)).await;
        assert_eq!(listed(at(ShardFilterType::FromTimestamp, split + 10_001)).await, ["2", "3", "4"]);
        let after = ShardFilter::builder().r#type(ShardFilterType::AfterShardId).shard_id("shardId-000000000002");
        assert_eq!(listed(after.build().unwrap()).await, ["3", "4"]);
        // A member that the type requires, or does not allow.
        assert_refused(stream.listed(Some(filter(ShardFilterType::AfterShardId))).await, ARGUMENT);
        assert_refused(stream.listed(Some(filter(ShardFilterType::AtTimestamp))).await, ARGUMENT);
        assert_refused(stream.listed(Some(at(ShardFilterType::AtLatest, split))).await, ARGUMENT);
    });
}

#[test]
fn k71_shards_of_a_stream_in_creation_are_not_listed() {
    check(async |server: &Server| {
        let name = server.name();
        server.client.create_stream().stream_name(&name).shard_count(1).send().await.unwrap();
        let stream = Stream { server, name, arn: String::new() };
        assert_refused(stream.listed(None).await, IN_USE);
        stream.active().await;
        assert_eq!(stream.shards().await.len(), 1);
    });
}

#[test]
fn k71_a_stream_with_another_creation_time_is_not_found() {
    check(async |server: &Server| {
        let stream = server.stream(1).await;
        let summary = server.client.describe_stream_summary().stream_name(&stream.name).send().await.unwrap();
        let created = *summary.stream_description_summary().unwrap().stream_creation_timestamp();
        let list = |time| server.client.list_shards().stream_name(&stream.name).stream_creation_timestamp(time).send();
        assert!(list(created).await.is_ok());
        assert_refused(list(DateTime::from_secs(created.secs() - 60)).await, super::failure::NOT_FOUND);
    });
}

/// The service reshards an on-demand stream by itself.
#[test]
fn k69_a_reshard_that_nobody_asked_for_keeps_the_range_complete() {
    check_engine(EngineConfig::in_process(), async |server: &Server| {
        let stream = server.stream(1).await;
        server.engine(|engine, scope, now| {
            engine.reshard(scope, &stream.name, Reshard::Split(ShardId::new(0), HashKey(1 << 120)), now).unwrap();
            engine.reshard(scope, &stream.name, Reshard::Merge(ShardId::new(1), ShardId::new(2)), now).unwrap();
        });
        assert_eq!(stream.shards().await.len(), 4);
        assert!(tile(&stream.open_shards().await));
    });
}
