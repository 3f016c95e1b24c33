//! Streams: their states, names, pages and deletion. K1 to K14.

use std::time::Duration;

use aws_sdk_kinesis::types::{ScalingType, ShardIteratorType, StreamMode, StreamModeDetails, StreamStatus};
use kcl_local::kinesis::{EngineConfig, ShardId};

use super::every_operation::{Address, every_operation};
use super::failure::{ARGUMENT, IN_USE, NOT_FOUND, VALIDATION, assert_refused};
use super::server::{Server, TRANSITION, check, check_engine, visible_transitions};
use super::stream::{From, ids, range, tile};

fn on_demand() -> StreamModeDetails {
    StreamModeDetails::builder().stream_mode(StreamMode::OnDemand).build().unwrap()
}

#[test]
fn k01_a_new_stream_is_creating_and_then_active() {
    check(async |server: &Server| {
        let name = server.name();
        server.client.create_stream().stream_name(&name).shard_count(1).send().await.unwrap();
        assert_eq!(server.status(&name).await, Ok(StreamStatus::Creating));
        let described = server.client.describe_stream().stream_name(&name).send().await.unwrap();
        assert!(described.stream_description.unwrap().shards.is_empty());
        server.await_active(&name).await;
    });
}

#[test]
fn k02_a_name_is_taken_once() {
    check(async |server: &Server| {
        let stream = server.stream(1).await;
        let again = server.client.create_stream().stream_name(&stream.name).shard_count(1).send().await;
        assert_refused(again, IN_USE);
    });
}

#[test]
fn k03_on_demand_starts_with_four_shards_and_provisioned_needs_a_number() {
    check(async |server: &Server| {
        let name = server.name();
        let create = server.client.create_stream().stream_name(&name).stream_mode_details(on_demand());
        create.send().await.unwrap();
        server.await_active(&name).await;
        let summary = server.client.describe_stream_summary().stream_name(&name).send().await.unwrap();
        let summary = summary.stream_description_summary.unwrap();
        assert_eq!(summary.open_shard_count, 4);
        assert_eq!(summary.stream_mode_details.unwrap().stream_mode, StreamMode::OnDemand);
        let without = server.client.create_stream().stream_name(server.name()).send().await;
        assert!([VALIDATION, ARGUMENT].contains(&super::failure::Failure::from(without.unwrap_err()).code.as_str()));
    });
}

#[test]
fn k04_shards_tile_the_hash_space() {
    check(async |server: &Server| {
        let shards = server.stream(2).await.shards().await;
        assert_eq!(ids(&shards), ["shardId-000000000000", "shardId-000000000001"]);
        assert_eq!(range(&shards[0]).1, 170_141_183_460_469_231_731_687_303_715_884_105_727);
        assert!(tile(&shards));
        for count in [1, 3, 7] {
            let shards = server.stream(count).await.shards().await;
            assert_eq!(shards.len(), usize::try_from(count).unwrap());
            assert!(tile(&shards));
        }
    });
}

#[test]
fn k05_describe_stream_gives_shards_in_pages() {
    check(async |server: &Server| {
        let stream = server.stream(105).await;
        let page = async |limit: Option<i32>, after: Option<&str>| {
            let describe = server.client.describe_stream().stream_name(&stream.name).set_limit(limit);
            let output = describe.set_exclusive_start_shard_id(after.map(str::to_owned)).send().await.unwrap();
            let description = output.stream_description.unwrap();
            (
                ids(&description.shards).iter().map(|id| (*id).to_owned()).collect::<Vec<_>>(),
                description.has_more_shards,
            )
        };
        let (first, more) = page(Some(3), None).await;
        assert_eq!((first.len(), more), (3, true));
        let (rest, more) = page(None, Some(&first[2])).await;
        assert_eq!((rest.len(), rest[0].as_str(), more), (100, "shardId-000000000003", true));
        let (rest, more) = page(None, Some("shardId-000000000004")).await;
        assert_eq!((rest.len(), more), (100, false));
        assert_eq!(page(Some(10_000), None).await.0.len(), 100);
    });
}

#[test]
fn k06_the_summary_counts_open_shards_and_consumers() {
    check(async |server: &Server| {
        let stream = server.stream(2).await;
        stream.split("shardId-000000000000").await;
        server.client.register_stream_consumer().stream_arn(&stream.arn).consumer_name("app").send().await.unwrap();
        let summary = server.client.describe_stream_summary().stream_name(&stream.name).send().await.unwrap();
        let summary = summary.stream_description_summary.unwrap();
        assert_eq!((summary.open_shard_count, summary.consumer_count), (3, Some(1)));
        assert_eq!(stream.shards().await.len(), 4);
    });
}

#[test]
fn k07_list_streams_pages_by_token_and_by_name() {
    check_engine(EngineConfig::in_process(), async |server: &Server| {
        for name in ["d", "b", "a", "e", "c"] {
            server.client.create_stream().stream_name(name).shard_count(1).send().await.unwrap();
        }
        let first = server.client.list_streams().limit(2).send().await.unwrap();
        assert_eq!((first.stream_names(), first.has_more_streams()), (&["a".to_owned(), "b".to_owned()][..], true));
        assert_eq!(first.stream_summaries()[1].stream_name(), "b");
        let second =
            server.client.list_streams().limit(2).next_token(first.next_token().unwrap()).send().await.unwrap();
        assert_eq!((second.stream_names(), second.has_more_streams()), (&["c".to_owned(), "d".to_owned()][..], true));
        let third = server.client.list_streams().exclusive_start_stream_name("d").send().await.unwrap();
        assert_eq!((third.stream_names(), third.has_more_streams()), (&["e".to_owned()][..], false));
        assert_eq!(third.next_token(), None);
    });
}

#[test]
fn k08_every_operation_takes_the_name_the_arn_or_both() {
    check(async |server: &Server| {
        for address in [Address::of_name, Address::of_arn, Address::of_both] {
            let stream = server.stream(2).await;
            let consumer = server.client.register_stream_consumer().stream_arn(&stream.arn).consumer_name("app");
            consumer.send().await.unwrap();
            for (operation, result) in every_operation(server, &address(&stream)).await {
                assert_eq!(result, Ok(()), "{operation}");
            }
        }
    });
}

#[test]
fn k08_a_name_and_an_arn_that_disagree_are_refused() {
    check(async |server: &Server| {
        let (a, b) = (server.stream(1).await, server.stream(1).await);
        let mixed = server.client.describe_stream().stream_name(&a.name).stream_arn(&b.arn).send().await;
        assert_refused(mixed, ARGUMENT);
    });
}

#[test]
fn k09_an_unknown_stream_is_not_found_by_any_operation() {
    check(async |server: &Server| {
        let address = Address::unknown();
        for (operation, result) in every_operation(server, &address).await {
            let failure = result.unwrap_err();
            assert_eq!((failure.code.as_str(), failure.status), (NOT_FOUND, 400), "{operation}: {}", failure.message);
        }
    });
}

#[test]
fn k10_a_stream_with_consumers_is_deleted_only_by_force() {
    check(async |server: &Server| {
        let stream = server.stream(1).await;
        let register = server.client.register_stream_consumer().stream_arn(&stream.arn).consumer_name("app");
        let consumer = register.send().await.unwrap().consumer.unwrap();
        let refused = assert_refused(server.client.delete_stream().stream_name(&stream.name).send().await, IN_USE);
        assert!(refused.message.starts_with("DeleteStream can't delete"), "{}", refused.message);
        let delete = server.client.delete_stream().stream_name(&stream.name).enforce_consumer_deletion(true);
        delete.send().await.unwrap();
        server.await_gone(&stream.name).await;
        let describe = server.client.describe_stream_consumer().consumer_arn(consumer.consumer_arn());
        assert_refused(describe.send().await, NOT_FOUND);
    });
}

#[test]
fn k11_a_deleted_stream_is_deleting_then_gone_and_its_name_is_free() {
    check(async |server: &Server| {
        let stream = server.stream(1).await;
        server.client.delete_stream().stream_name(&stream.name).send().await.unwrap();
        assert_eq!(server.status(&stream.name).await, Ok(StreamStatus::Deleting));
        assert_refused(server.client.create_stream().stream_name(&stream.name).shard_count(1).send().await, IN_USE);
        server.await_gone(&stream.name).await;
        assert_refused(server.status(&stream.name).await, NOT_FOUND);
        server.client.create_stream().stream_name(&stream.name).shard_count(3).send().await.unwrap();
        stream.active().await;
        assert_eq!(stream.shards().await.len(), 3);
    });
}

/// Even if no time passes between the two streams.
#[test]
fn k12_an_iterator_and_a_number_of_an_earlier_stream_are_refused() {
    check_engine(EngineConfig::in_process(), async |server: &Server| {
        let stream = server.stream(1).await;
        let put = stream.put("key", "old").await;
        let shard = put.shard_id();
        let iterator = stream.iterator(shard, From::TrimHorizon).await.unwrap();
        stream.delete().await;
        assert_refused(stream.read(&iterator).await, NOT_FOUND);
        server.client.create_stream().stream_name(&stream.name).shard_count(1).send().await.unwrap();
        assert_refused(stream.read(&iterator).await, ARGUMENT);
        let refused = assert_refused(stream.iterator(shard, From::After(put.sequence_number())).await, ARGUMENT);
        assert!(refused.message.contains("did not come from this stream"), "{}", refused.message);
        assert_eq!(stream.data(shard, From::TrimHorizon).await, [""; 0]);
    });
}

#[test]
fn k13_a_stream_is_read_and_written_while_it_is_updating() {
    check(async |server: &Server| {
        let stream = server.stream(2).await;
        stream.begin_split("shardId-000000000000").await.unwrap();
        assert_eq!(server.status(&stream.name).await, Ok(StreamStatus::Updating));
        let put = stream.put_at(0, "during").await;
        assert_eq!(stream.data(put.shard_id(), From::TrimHorizon).await, ["during"]);
        assert_refused(stream.begin_split("shardId-000000000001").await, IN_USE);
        assert_refused(stream.begin_merge("shardId-000000000000", "shardId-000000000001").await, IN_USE);
        let rescale = server.client.update_shard_count().stream_name(&stream.name).target_shard_count(4);
        let refused = assert_refused(rescale.scaling_type(ScalingType::UniformScaling).send().await, IN_USE);
        assert!(refused.message.ends_with("not ACTIVE, instead in state UPDATING"), "{}", refused.message);
    });
}

#[test]
fn k14_nothing_happens_until_time_advances() {
    check_engine(visible_transitions(), async |server: &Server| {
        let name = server.name();
        server.client.create_stream().stream_name(&name).shard_count(1).send().await.unwrap();
        for _ in 0..100 {
            assert_eq!(server.status(&name).await, Ok(StreamStatus::Creating));
        }
        server.advance(TRANSITION - Duration::from_millis(1)).await;
        assert_eq!(server.status(&name).await, Ok(StreamStatus::Creating));
        server.advance(Duration::from_millis(1)).await;
        assert_eq!(server.status(&name).await, Ok(StreamStatus::Active));
        let iterator = server.client.get_shard_iterator().stream_name(&name).shard_id(ShardId::new(0).to_string());
        let iterator = iterator.shard_iterator_type(ShardIteratorType::Latest).send().await.unwrap();
        for _ in 0..100 {
            let read = server.client.get_records().shard_iterator(iterator.shard_iterator().unwrap()).send().await;
            assert_eq!(read.unwrap().millis_behind_latest, Some(0));
        }
    });
}
