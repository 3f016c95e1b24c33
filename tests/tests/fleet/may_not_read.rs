//! Workers without permission to read, restarted by their supervisor beside healthy ones.

use crate::stage::{Stage, text};
use kcl_core::prelude::*;
use kcl_core::{Code, Retrieval};
use kcl_local::Fault;
use std::time::Duration;
use tokio::time::{Instant, sleep};

const DENIED: &str = "denied";

async fn with_healthy_workers(retrieval: Retrieval, operation: &'static str) {
    let stage = Stage::with_shards(4).await;
    let settings = Settings::default().retrieval(retrieval);
    let healthy = [
        stage.start_with("a", settings.clone(), Duration::ZERO).await,
        stage.start_with("b", settings.clone(), Duration::ZERO).await,
    ];
    stage.shared(&[("a", 2), ("b", 2)], Duration::from_secs(60)).await;
    stage.aws.faults().rule(move |call| {
        let denied = call.caller == Some(DENIED) && call.operation == operation;
        denied.then(|| Fault::Error("AccessDeniedException".to_owned()))
    });
    sleep(Duration::from_secs(10)).await;
    let mut worst = Duration::ZERO;
    for restart in 0..10 {
        let began = Instant::now();
        let error = stage.build(DENIED, settings.clone(), Duration::ZERO).await.unwrap_err();
        assert_eq!(error.code(), Code::Permission, "{error}");
        assert!(error.to_string().contains(&format!("`kinesis:{operation}`")), "{error}");
        assert!(began.elapsed() < Duration::from_secs(2), "refused after {:?}", began.elapsed());
        for number in restart * 20..restart * 20 + 20 {
            let before = stage.log.count();
            let put = Instant::now();
            stage.put(number..number + 1).await;
            while stage.log.count() == before && put.elapsed() < Duration::from_secs(60) {
                sleep(Duration::from_millis(5)).await;
            }
            worst = worst.max(put.elapsed());
        }
        sleep(Duration::from_secs(1)).await;
    }
    assert!(worst < Duration::from_secs(2), "a record was read after {worst:?}");
    let rows = stage.rows().await;
    assert!(rows.iter().all(|row| !text(row, "leaseKey").unwrap().contains(DENIED)), "it never joined");
    assert_eq!(stage.shares().await.len(), 2);
    for worker in healthy {
        worker.stop().await.unwrap();
    }
    stage.assert_all_seen(0);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_may_not_poll_is_refused_and_stalls_nobody() {
    with_healthy_workers(Retrieval::Polling, "GetRecords").await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_may_not_subscribe_is_refused_and_stalls_nobody() {
    with_healthy_workers(Retrieval::FanOut, "SubscribeToShard").await;
}
