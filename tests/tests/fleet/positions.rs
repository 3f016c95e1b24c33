//! Starting positions of shards that were never read.

use crate::stage::{Stage, text};
use kcl_core::{Settings, Start};
use kcl_local::Fault;
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn at_timestamp_starts_with_what_arrived_since() {
    let stage = Stage::with_shards(2).await;
    stage.put(0..20).await;
    let old: Vec<String> = stage.put.lock().unwrap().iter().cloned().collect();
    tokio::time::sleep(Duration::from_secs(60)).await;
    let since = stage.aws.now();
    stage.put(20..40).await;
    tokio::time::sleep(Duration::from_secs(60)).await;

    let start = Start::at(since);
    let worker = stage.start_with("a", Settings::default().start(start), Duration::ZERO).await;
    stage.seen(20, Duration::from_secs(5)).await;
    worker.stop().await.unwrap();
    stage.put.lock().unwrap().retain(|sequence| !old.contains(sequence));
    stage.assert_all_seen(0);
}

#[tokio::test(start_paused = true)]
async fn a_first_fill_that_was_cut_short_is_finished_with_the_same_instant() {
    let stage = Stage::with_shards(4).await;
    let latest = Settings::default().start(Start::Latest);
    // The first worker creates one lease and dies.
    let mut created = 0;
    stage.aws.faults().rule(move |call| {
        let creates = call.caller == Some("a") && call.operation == "PutItem";
        created += usize::from(creates);
        // The fleet row, its session, and one lease.
        (creates && created > 3).then_some(Fault::LostRequest)
    });
    let dies = stage.start_with("a", latest.clone(), Duration::ZERO).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    stage.cut_off("a");
    dies.task.abort_handle().abort();
    assert_eq!(stage.owners().await.len(), 1);

    stage.put(0..40).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    let worker = stage.start_with("b", latest, Duration::ZERO).await;
    stage.seen(40, Duration::from_secs(25)).await;
    let rows = stage.rows().await;
    let starts: std::collections::BTreeSet<_> = rows
        .iter()
        .filter(|row| text(row, "entityType").as_deref() == Some("LEASE"))
        .map(|row| row.get("kclStart").cloned().map(|n| n.as_n().unwrap().clone()))
        .collect();
    assert_eq!(starts.len(), 1, "{starts:?}");
    worker.stop().await.unwrap();
    stage.assert_all_seen(0);
}
