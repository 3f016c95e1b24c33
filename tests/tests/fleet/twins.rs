//! Several processes with one worker id.

use crate::stage::{Running, STREAM, Stage};
use kcl_core::{Code, Settings};
use std::collections::BTreeSet;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

/// Restarts a replica a second after each end, like a supervisor, and records starts and errors.
async fn supervised(stage: &Stage, worker: &str, until: tokio::time::Instant) -> (usize, Vec<kcl_core::Error>) {
    let (mut starts, mut errors) = (0, Vec::new());
    while tokio::time::Instant::now() < until {
        starts += 1;
        let mut running = stage.start_with(worker, Settings::default(), Duration::ZERO).await;
        tokio::select! {
            outcome = &mut running.task => errors.extend(outcome.unwrap().err()),
            () = tokio::time::sleep_until(until) => running.stop().await.unwrap(),
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    (starts, errors)
}

#[tokio::test(start_paused = true)]
async fn of_three_replicas_with_one_worker_id_one_goes_on_and_the_others_leave_it_alone() {
    let stage = Stage::with_shards(4).await;
    let end = tokio::time::Instant::now() + 10 * MINUTE;
    let replica = || supervised(&stage, "a", end);
    let producer = async {
        for second in 0..595 {
            stage.put(second * 7..(second + 1) * 7).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    let (one, two, three, ()) = tokio::join!(replica(), replica(), replica(), producer);
    stage.assert_all_seen(0);
    let replicas = [one, two, three];
    for (starts, errors) in &replicas {
        for error in errors {
            assert_eq!(error.code(), Code::Replaced);
            assert!(error.to_string().contains("its id is in use by another process (session "), "{error}");
        }
        assert!(*starts == errors.len() || *starts == errors.len() + 1, "{starts} {errors:?}");
    }
    assert_eq!(replicas.iter().filter(|(starts, errors)| *starts == 1 && errors.is_empty()).count(), 1, "{replicas:?}");
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_died_is_taken_over_under_its_id_after_the_failover_time() {
    let stage = Stage::with_shards(2).await;
    let dead = stage.start("a").await;
    stage.shared(&[("a", 2)], Duration::from_secs(10)).await;
    stage.put(0..20).await;
    stage.seen(20, Duration::from_secs(10)).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    stage.cut_off("a");
    // Its last heartbeat may have been sent a moment ago and still be on its way.
    tokio::time::sleep(Duration::from_secs(1)).await;
    stage.put(20..40).await;
    let began = tokio::time::Instant::now();
    let again = started_elsewhere(&stage, "a").await;
    stage.seen(40, Duration::from_secs(13)).await;
    assert!(began.elapsed() > Duration::from_secs(6), "nobody knew before that the first one is dead");
    stage.reconnect("a");
    let error = dead.task.await.unwrap().unwrap_err();
    assert_eq!(error.code(), Code::Replaced);
    again.stop().await.unwrap();
    assert_eq!(stage.log.all().iter().map(|seen| &seen.sequence).collect::<BTreeSet<_>>().len(), 40);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_stopped_is_taken_over_under_its_id_at_once() {
    let stage = Stage::with_shards(2).await;
    let other = stage.start("b").await;
    stage.start("a").await.stop().await.unwrap();
    let again = stage.start("a").await;
    stage.shared(&[("a", 1), ("b", 1)], Duration::from_secs(4)).await;
    again.stop().await.unwrap();
    other.stop().await.unwrap();
}

/// A process under this id that is not cut off where the other one is.
async fn started_elsewhere(stage: &Stage, worker: &str) -> Running {
    let worker = kcl_core::Worker::builder(crate::stage::APPLICATION, STREAM)
        .worker_id(worker)
        .with_seed(99)
        .sdk_config(&stage.aws.sdk_config_for("elsewhere"))
        .on_current_runtime()
        .processor(stage.recorders("elsewhere"))
        .build()
        .await
        .unwrap();
    let handle = worker.handle();
    Running { handle, task: tokio::spawn(worker.run()) }
}

#[tokio::test(start_paused = true)]
async fn a_process_that_waits_for_its_twins_end_can_be_stopped() {
    let stage = Stage::with_shards(2).await;
    let first = stage.start("a").await;
    stage.shared(&[("a", 2)], Duration::from_secs(10)).await;
    let second = started_elsewhere(&stage, "a").await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let began = tokio::time::Instant::now();
    second.stop().await.unwrap();
    assert!(began.elapsed() <= Duration::from_secs(3), "{:?}", began.elapsed());
    stage.put(0..20).await;
    stage.seen(20, Duration::from_secs(5)).await;
    first.stop().await.unwrap();
    stage.assert_all_seen(0);
}
