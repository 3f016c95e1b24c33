//! Splits and merges under a running fleet: children are read after their parents, nothing is lost,
//! and order is kept.

use crate::stage::{STREAM, Stage};
use std::time::Duration;

const MIDDLE_OF_THE_LOWER_HALF: &str = "85070591730234615865843651857942052864";

#[tokio::test(start_paused = true)]
async fn order_holds_across_a_split() {
    let stage = Stage::with_shards(2).await;
    let worker = stage.start("a").await;
    stage.put(0..100).await;
    split(&stage).await;
    stage.put(100..200).await;
    stage.seen(200, Duration::from_secs(10)).await;
    worker.stop().await.unwrap();
    stage.assert_all_seen(0);
    stage.assert_ordered();
    let shards: std::collections::BTreeSet<String> = stage.log.all().into_iter().map(|seen| seen.shard).collect();
    assert!(shards.len() >= 3, "{shards:?}");
}

#[tokio::test(start_paused = true)]
async fn order_holds_across_a_merge_of_shards_that_two_workers_read() {
    let stage = Stage::with_shards(2).await;
    let a = stage.start("a").await;
    let b = stage.start("b").await;
    stage.shared(&[("a", 1), ("b", 1)], Duration::from_secs(10)).await;
    stage.put(0..100).await;
    stage
        .aws
        .kinesis()
        .merge_shards()
        .stream_name(STREAM)
        .shard_to_merge("shardId-000000000000")
        .adjacent_shard_to_merge("shardId-000000000001")
        .send()
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(10)).await;
    stage.put(100..200).await;
    stage.seen(200, Duration::from_secs(10)).await;
    a.stop().await.unwrap();
    b.stop().await.unwrap();
    stage.assert_all_seen(0);
    stage.assert_ordered();
}

#[tokio::test(start_paused = true)]
async fn a_backlog_that_was_resharded_many_times_is_read_in_order() {
    let stage = Stage::with_shards(2).await;
    for round in 0..3 {
        stage.put(round * 100..(round + 1) * 100).await;
        let target = if round % 2 == 0 { 4 } else { 2 };
        let update = stage.aws.kinesis().update_shard_count().stream_name(STREAM).target_shard_count(target);
        update.scaling_type(aws_sdk_kinesis::types::ScalingType::UniformScaling).send().await.unwrap();
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    stage.put(300..400).await;
    let (a, b) = (stage.start("a").await, stage.start("b").await);
    stage.seen(400, Duration::from_secs(30)).await;
    a.stop().await.unwrap();
    b.stop().await.unwrap();
    stage.assert_all_seen(0);
    stage.assert_ordered();
}

#[tokio::test(start_paused = true)]
async fn a_child_is_read_within_a_second_of_its_parents_end() {
    let stage = Stage::with_shards(1).await;
    let worker = stage.start("a").await;
    stage.put(0..10).await;
    stage.seen(10, Duration::from_secs(5)).await;
    split(&stage).await;
    stage.put(10..20).await;
    stage.seen(20, Duration::from_secs(1)).await;
    worker.stop().await.unwrap();
}

async fn split(stage: &Stage) {
    stage
        .aws
        .kinesis()
        .split_shard()
        .stream_name(STREAM)
        .shard_to_split("shardId-000000000000")
        .new_starting_hash_key(MIDDLE_OF_THE_LOWER_HALF)
        .send()
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(10)).await;
}
