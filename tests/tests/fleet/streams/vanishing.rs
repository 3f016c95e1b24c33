//! Streams that are deleted, and created again.

use super::{Ledger, put, run};
use kcl_core::prelude::*;
use kcl_local::{Fault, LocalAws};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(15);

#[tokio::test(start_paused = true)]
async fn a_deleted_stream_keeps_its_leases_and_the_others_are_read() {
    let ledger = Ledger::with(&[("orders", 2), ("payments", 2)]).await;
    let all = ["orders", "payments"];
    let (a, b) = (ledger.start("a", &all).await, ledger.start("b", &all).await);
    for name in all {
        ledger.put(name, 0..20).await;
        ledger.seen(name, 20, SOON).await;
    }
    ledger.delete("payments").await;
    tokio::time::sleep(Duration::from_secs(180)).await;
    let owners = ledger.owners().await;
    for (lease, owner) in &owners {
        assert_eq!(owner.is_some(), lease.starts_with("orders"), "{owners:?}");
    }
    ledger.put("orders", 20..40).await;
    ledger.seen("orders", 40, SOON).await;
    assert!(!a.task.is_finished() && !b.task.is_finished());
    a.stop().await.unwrap();
    b.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_recreated_stream_is_another_stream_and_is_read_from_its_start() {
    let ledger = Ledger::with(&[("orders", 1), ("payments", 1)]).await;
    let worker = ledger.start("a", &["orders", "payments"]).await;
    ledger.put("payments", 0..20).await;
    ledger.seen("payments", 20, SOON).await;
    ledger.delete("payments").await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    ledger.create("payments", 1).await;
    ledger.put("payments", 20..30).await;
    ledger.seen("payments", 30, Duration::from_secs(90)).await;
    worker.stop().await.unwrap();
    let rows = ledger.rows().await;
    let of_payments = rows.iter().filter(|row| crate::stage::text(row, "leaseKey").unwrap().contains(":payments:"));
    assert_eq!(of_payments.count(), 2, "the former stream's lease rests: {rows:?}");
}

/// Iterators and sequence numbers belong to one stream; a shard's beginning does not.
#[tokio::test(start_paused = true)]
async fn a_stream_recreated_unnoticed_is_not_read_as_the_former_one() {
    for retrieval in [Retrieval::Polling, Retrieval::Auto, Retrieval::FanOut] {
        let ledger = Ledger::with(&[("orders", 1), ("payments", 2)]).await;
        let payments = ledger.config("a", "payments").retrieval(retrieval);
        let worker = run(ledger.builder("a").stream(ledger.config("a", "orders")).stream(payments)).await;
        ledger.shared(&[("a", "orders", 1), ("a", "payments", 2)], SOON).await;
        tokio::time::sleep(SOON).await;
        // The worker sees nothing of this, and keeps its leases.
        let cut_off = Arc::new(AtomicBool::new(true));
        let cut = Arc::clone(&cut_off);
        ledger.aws.faults().rule(move |call| {
            let is_meant = call.caller.is_some() && call.service == kcl_local::Service::Kinesis;
            (is_meant && cut.load(Ordering::Relaxed)).then_some(Fault::LostRequest)
        });
        ledger.delete("payments").await;
        ledger.create("payments", 2).await;
        ledger.put("payments", 0..20).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        cut_off.store(false, Ordering::Relaxed);
        ledger.seen("payments", 20, Duration::from_secs(60)).await;
        tokio::time::sleep(Duration::from_secs(120)).await;
        ledger.put("payments", 20..40).await;
        ledger.put("orders", 0..5).await;
        ledger.seen("payments", 40, SOON).await;
        ledger.seen("orders", 5, SOON).await;
        worker.stop().await.unwrap();
        ledger.assert_seen_once("payments", 0..40);
        let checkpoints = ledger
            .rows()
            .await
            .into_iter()
            .filter(|row| crate::stage::text(row, "leaseKey").unwrap().contains(":payments:"));
        let mut checkpoints: Vec<String> =
            checkpoints.map(|row| crate::stage::text(&row, "checkpoint").unwrap()).collect();
        checkpoints.sort();
        assert_eq!(checkpoints.len(), 4, "{checkpoints:?}");
        assert_eq!(
            checkpoints[2..],
            ["TRIM_HORIZON"; 2],
            "{retrieval:?}: the former stream's leases stay as they were"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_stops_the_worker_does_not_do_so_for_a_stream_that_vanished() {
    let ledger = Ledger::with(&[("orders", 1), ("payments", 1)]).await;
    let builder = ledger.builder("a").error_policy(OnError::at_once(FinalAction::StopWorker));
    let worker = run(builder.stream(ledger.config("a", "orders")).stream(ledger.config("a", "payments"))).await;
    ledger.put("payments", 0..10).await;
    ledger.seen("payments", 10, SOON).await;
    ledger.delete("payments").await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert!(!worker.task.is_finished());
    ledger.put("orders", 0..10).await;
    ledger.seen("orders", 10, SOON).await;
    worker.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_account_that_refuses_every_call_does_not_concern_the_streams_of_another() {
    let ledger = Ledger::with(&[("orders", 2)]).await;
    let other = LocalAws::builder().account("111111111111").in_process();
    other.kinesis().create_stream().stream_name("payments").shard_count(2).send().await.unwrap();
    let payments = || ledger.config("a", "payments").sdk_config(&other.sdk_config_for("a"));
    let worker = run(ledger.builder("a").stream(ledger.config("a", "orders")).stream(payments())).await;
    put(&other, "payments", 0..10).await;
    ledger.seen("payments", 10, SOON).await;
    let denied = Arc::new(AtomicBool::new(true));
    let denies = Arc::clone(&denied);
    other.faults().rule(move |call| {
        call.caller?;
        denies.load(Ordering::Relaxed).then(|| Fault::Error("AccessDeniedException".to_owned()))
    });
    put(&other, "payments", 10..20).await;
    tokio::time::sleep(Duration::from_secs(300)).await;
    ledger.put("orders", 0..10).await;
    ledger.seen("orders", 10, SOON).await;
    assert!(!worker.task.is_finished());
    denied.store(false, Ordering::Relaxed);
    ledger.seen("payments", 20, Duration::from_secs(120)).await;
    worker.stop().await.unwrap();
}
