//! How a fleet shares its leases, and what it does when a worker dies.

use crate::stage::Stage;
use kcl_core::{Code, Settings};
use kcl_local::{Fault, Service};
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn a_joining_worker_gets_its_share_and_nothing_is_repeated() {
    let stage = Stage::with_shards(8).await;
    stage.put(0..100).await;
    let a = stage.start("a").await;
    stage.seen(100, Duration::from_secs(5)).await;
    let b = stage.start("b").await;
    stage.shared(&[("a", 4), ("b", 4)], Duration::from_secs(3)).await;
    stage.put(100..200).await;
    stage.seen(200, Duration::from_secs(5)).await;
    a.stop().await.unwrap();
    b.stop().await.unwrap();
    stage.assert_all_seen(0);
}

#[tokio::test(start_paused = true)]
async fn a_dead_workers_leases_are_read_again_within_the_failover_time_and_two_seconds() {
    let stage = Stage::with_shards(4).await;
    let leader = stage.start("a").await;
    stage.shared(&[("a", 4)], Duration::from_secs(5)).await;
    let _dead = stage.start("b").await;
    stage.shared(&[("a", 2), ("b", 2)], Duration::from_secs(5)).await;
    stage.put(0..40).await;
    stage.seen(40, Duration::from_secs(3)).await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    stage.cut_off("b");
    stage.put(40..80).await;
    stage.seen(80, Duration::from_secs(12)).await;
    leader.stop().await.unwrap();
    stage.assert_all_seen(0);
}

#[tokio::test(start_paused = true)]
async fn a_dead_leaders_leases_are_read_again_within_the_failover_time_and_three_seconds() {
    let stage = Stage::with_shards(4).await;
    let _dead = stage.start("a").await;
    stage.shared(&[("a", 4)], Duration::from_secs(5)).await;
    let b = stage.start("b").await;
    stage.shared(&[("a", 2), ("b", 2)], Duration::from_secs(5)).await;
    stage.put(0..40).await;
    stage.seen(40, Duration::from_secs(3)).await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    stage.cut_off("a");
    stage.put(40..80).await;
    stage.seen(80, Duration::from_secs(13)).await;
    b.stop().await.unwrap();
    stage.assert_all_seen(0);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_was_cut_off_delivers_nothing_and_comes_back() {
    let stage = Stage::with_shards(2).await;
    let a = stage.start("a").await;
    stage.shared(&[("a", 2)], Duration::from_secs(5)).await;
    let b = stage.start("b").await;
    stage.shared(&[("a", 1), ("b", 1)], Duration::from_secs(5)).await;
    stage.cut_off("b");
    stage.shared(&[("a", 2)], Duration::from_secs(14)).await;
    stage.put(0..20).await;
    stage.seen(20, Duration::from_secs(5)).await;
    assert_eq!(stage.log.of("b"), []);
    stage.reconnect("b");
    stage.shared(&[("a", 1), ("b", 1)], Duration::from_secs(10)).await;
    a.stop().await.unwrap();
    b.stop().await.unwrap();
    stage.assert_all_seen(0);
}

#[tokio::test(start_paused = true)]
async fn the_same_worker_id_again_is_refused_while_the_process_that_has_it_is_alive() {
    let stage = Stage::with_shards(2).await;
    stage.put(0..10).await;
    let first = stage.start("a").await;
    stage.seen(10, Duration::from_secs(5)).await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    let began = tokio::time::Instant::now();
    let error = stage.start("a").await.task.await.unwrap().unwrap_err();
    assert_eq!(error.code(), Code::Replaced, "{error}");
    assert!(began.elapsed() <= Duration::from_secs(8), "two heartbeats and a poll: {:?}", began.elapsed());
    stage.put(10..20).await;
    stage.seen(20, Duration::from_secs(5)).await;
    first.stop().await.unwrap();
    stage.assert_all_seen(0);
}

#[tokio::test(start_paused = true)]
async fn an_idle_fleet_of_one_writes_less_than_once_a_second() {
    let stage = Stage::with_shards(8).await;
    let worker = stage.start("a").await;
    stage.shared(&[("a", 8)], Duration::from_secs(5)).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    stage.aws.reset_calls();
    tokio::time::sleep(Duration::from_secs(100)).await;
    let calls = stage.aws.calls();
    let of = |operation| calls.of(Service::DynamoDb, operation);
    let writes = of("UpdateItem") + of("PutItem") + of("DeleteItem");
    assert!(writes <= 90, "{writes} writes in 100 s: {calls:?}");
    worker.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn answers_that_get_lost_and_throttles_cost_time_only() {
    let stage = Stage::with_shards(4).await;
    let mut rng = fastrand::Rng::with_seed(11);
    stage.aws.faults().rule(move |call| {
        call.caller?;
        match (call.service, rng.u32(0..100)) {
            (Service::DynamoDb, 0..4) => Some(Fault::LostResponse),
            (Service::DynamoDb, 4..8) => Some(Fault::LostRequest),
            (Service::DynamoDb, 8..14) => Some(Fault::Throttle),
            _ => None,
        }
    });
    let (a, b) = (stage.start("a").await, stage.start("b").await);
    for n in 0..20 {
        stage.put(n * 10..(n + 1) * 10).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    stage.seen(200, Duration::from_secs(30)).await;
    let b_ends = b.stop().await;
    let a_ends = a.stop().await;
    assert!(a_ends.is_ok() && b_ends.is_ok(), "{a_ends:?} {b_ends:?}");
    stage.assert_all_seen(0);
}

#[tokio::test(start_paused = true)]
async fn a_damaged_row_is_left_alone_and_the_others_go_on() {
    let stage = Stage::with_shards(2).await;
    stage.ran_before().await;
    stage.break_row("shardId-000000000000").await;
    stage.put(0..70).await;
    let expected = stage.in_shard("shardId-000000000001").await;
    assert!(expected > 0 && expected < 70);
    let worker = stage.start_with("a", Settings::default(), Duration::ZERO).await;
    stage.seen(expected, Duration::from_secs(5)).await;
    tokio::time::sleep(Duration::from_secs(70)).await;
    assert_eq!(stage.log.count(), expected);
    let rows = stage.rows().await;
    let broken = rows.iter().find(|row| crate::stage::text(row, "leaseKey").as_deref() == Some("shardId-000000000000"));
    assert_eq!(crate::stage::text(broken.unwrap(), "checkpoint").as_deref(), Some("nonsense"));
    worker.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_fleet_row_deleted_by_hand_is_created_again() {
    let stage = Stage::with_shards(2).await;
    let a = stage.start("a").await;
    stage.shared(&[("a", 2)], Duration::from_secs(5)).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    stage.delete_row("fleet").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let b = stage.start("b").await;
    stage.shared(&[("a", 1), ("b", 1)], Duration::from_secs(15)).await;
    stage.put(0..20).await;
    stage.seen(20, Duration::from_secs(5)).await;
    a.stop().await.unwrap();
    b.stop().await.unwrap();
    stage.assert_all_seen(0);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_starts_during_the_last_workers_cleanup_joins() {
    for ms in 0..80 {
        let stage = Stage::with_shards(1).await;
        stage.aws.faults().latency(Service::DynamoDb, Duration::from_millis(5));
        let last = stage.start("last").await;
        stage.shared(&[("last", 1)], Duration::from_secs(5)).await;
        let leaving = tokio::spawn(last.stop());
        tokio::time::sleep(Duration::from_millis(ms * 5)).await;
        let next = stage.start("next").await;
        stage.put(0..3).await;
        stage.seen(3, Duration::from_secs(8)).await;
        leaving.await.unwrap().unwrap();
        next.stop().await.unwrap();
    }
}
