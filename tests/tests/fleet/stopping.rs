//! How a fleet stops: nothing is repeated, and only leases remain in the table.

use crate::stage::{self, APPLICATION, Stage, text};
use kcl_core::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn the_last_worker_leaves_a_plain_table() {
    let stage = Stage::with_shards(2).await;
    stage.put(0..10).await;
    let (a, b) = (stage.start("a").await, stage.start("b").await);
    stage.shared(&[("a", 1), ("b", 1)], Duration::from_secs(10)).await;
    stage.seen(10, Duration::from_secs(5)).await;
    a.stop().await.unwrap();
    b.stop().await.unwrap();
    let rows = stage.rows().await;
    let kinds: Vec<_> = rows.iter().map(|row| text(row, "entityType").unwrap()).collect();
    assert_eq!(kinds, ["LEASE", "LEASE"]);
    assert!(rows.iter().all(|row| !row.contains_key("leaseOwner")), "{APPLICATION}: {rows:?}");
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_stops_hands_over_without_a_repetition_or_a_pause() {
    let stage = Stage::with_shards(8).await;
    let (a, b) = (stage.start("a").await, stage.start("b").await);
    stage.shared(&[("a", 4), ("b", 4)], Duration::from_secs(10)).await;
    stage.put(0..200).await;
    let began = tokio::time::Instant::now();
    a.stop().await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(5), "it took {:?}", began.elapsed());
    stage.put(200..400).await;
    stage.seen(400, Duration::from_secs(5)).await;
    assert_eq!(stage.shares().await, [("b".to_owned(), 8)].into());
    b.stop().await.unwrap();
    stage.assert_all_seen(0);
    stage.assert_ordered();
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_is_still_busy_at_the_deadline_is_left_behind() {
    let stage = Stage::with_shards(1).await;
    stage.put(0..10).await;
    let stuck = stage.start_with("a", Settings::default(), Duration::from_secs(3600)).await;
    stage.shared(&[("a", 1)], Duration::from_secs(5)).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let began = tokio::time::Instant::now();
    stuck.handle.shutdown(Duration::from_secs(5)).await;
    assert!(began.elapsed() < Duration::from_secs(9), "it took {:?}", began.elapsed());
    stuck.task.await.unwrap().unwrap();
    let b = stage.start("b").await;
    stage.seen(10, Duration::from_secs(5)).await;
    b.stop().await.unwrap();
    stage.assert_all_seen(0);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_that_waits_for_a_handler_is_ended_by_an_abort() {
    let stage = Stage::with_shards(1).await;
    stage.put(0..10).await;
    let stuck = stage.start_with("a", Settings::default(), Duration::from_secs(3600)).await;
    stage.shared(&[("a", 1)], Duration::from_secs(5)).await;
    let first = tokio::spawn({
        let handle = stuck.handle.clone();
        async move { handle.shutdown(Duration::from_secs(600)).await }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    let began = tokio::time::Instant::now();
    stuck.handle.abort().await;
    assert!(began.elapsed() < Duration::from_secs(4), "it took {:?}", began.elapsed());
    first.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn of_two_shutdowns_the_earlier_deadline_counts() {
    for (first, second) in [(600, 8), (8, 600)] {
        let stage = Stage::with_shards(1).await;
        stage.put(0..10).await;
        let stuck = stage.start_with("a", Settings::default(), Duration::from_secs(3600)).await;
        stage.shared(&[("a", 1)], Duration::from_secs(5)).await;
        let began = tokio::time::Instant::now();
        let shutdown = |grace| stuck.handle.shutdown(Duration::from_secs(grace));
        tokio::join!(shutdown(first), shutdown(second));
        let took = began.elapsed();
        assert!((8..12).contains(&took.as_secs()), "{first} s and {second} s: it took {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_may_stop_in_every_phase_of_its_start() {
    for ms in 0..60 {
        let stage = Stage::with_shards(2).await;
        stage.aws.faults().latency(kcl_local::Service::DynamoDb, Duration::from_millis(5));
        let worker = stage.start("a").await;
        tokio::time::sleep(Duration::from_millis(ms * 5)).await;
        let began = tokio::time::Instant::now();
        worker.stop().await.unwrap();
        assert!(began.elapsed() < Duration::from_secs(4), "after {ms} x 5 ms it took {:?}", began.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn rows_of_dead_workers_are_deleted_in_a_running_fleet() {
    let stage = Stage::with_shards(1).await;
    let stays = stage.start("a").await;
    stage.shared(&[("a", 1)], Duration::from_secs(5)).await;
    let leaves = stage.start("b").await;
    let keys = || async {
        let mut keys: Vec<_> = stage.rows().await.iter().map(|row| text(row, "leaseKey").unwrap()).collect();
        keys.sort();
        keys
    };
    tokio::time::sleep(Duration::from_secs(2)).await;
    leaves.stop().await.unwrap();
    assert!(keys().await.contains(&"session/b".to_owned()));
    tokio::time::sleep(Duration::from_secs(240)).await;
    assert_eq!(keys().await, ["assignment/a", "fleet", "session/a", "shardId-000000000000"]);
    stays.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_cannot_reach_the_table_stops_all_the_same() {
    let stage = Stage::with_shards(1).await;
    // It lists shards all the time, and a list waits longest for an answer.
    let lists = Settings::default().shard_sync_interval(Duration::from_millis(100));
    let worker = stage.start_with("a", lists, Duration::ZERO).await;
    stage.shared(&[("a", 1)], Duration::from_secs(5)).await;
    stage.cut_off("a");
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let began = tokio::time::Instant::now();
    worker.handle.shutdown(Duration::from_secs(2)).await;
    assert!(began.elapsed() <= Duration::from_secs(8), "it took {:?}", began.elapsed());
    worker.task.await.unwrap().unwrap();
}

/// Stops its own worker and awaits the end.
struct StopsItself {
    handle: Arc<OnceLock<WorkerHandle>>,
    handled: Arc<AtomicUsize>,
}

impl RecordProcessor for StopsItself {
    async fn process_records(&mut self, batch: &Batch, _: &ShardContext) -> Result<(), BoxError> {
        self.handle.get().unwrap().shutdown(Duration::from_secs(25)).await;
        self.handled.fetch_add(batch.len(), Ordering::Relaxed);
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_awaits_the_end_of_its_own_worker_is_not_let_wait() {
    let stage = Stage::with_shards(1).await;
    stage.put(0..10).await;
    let (handle, handled) = (Arc::new(OnceLock::new()), Arc::new(AtomicUsize::new(0)));
    let (of_handler, counted) = (Arc::clone(&handle), Arc::clone(&handled));
    let worker = Worker::builder(APPLICATION, stage::STREAM)
        .sdk_config(&stage.aws.sdk_config())
        .worker_id("a")
        .on_current_runtime()
        .processor(move |_: &ShardId| StopsItself { handle: of_handler.clone(), handled: counted.clone() })
        .build()
        .await
        .unwrap();
    handle.set(worker.handle()).unwrap();
    let began = tokio::time::Instant::now();
    worker.run().await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(10), "it took {:?}", began.elapsed());
    let rows = stage.rows().await;
    assert_eq!(handled.load(Ordering::Relaxed), 10);
    assert_ne!(text(&rows[0], "checkpoint").unwrap(), "TRIM_HORIZON", "what was handled is checkpointed");
}
