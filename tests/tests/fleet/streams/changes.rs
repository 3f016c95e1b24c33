//! Streams that are added and removed while the fleet runs.

use super::{Ledger, run};
use kcl_core::Code;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(15);

#[tokio::test(start_paused = true)]
async fn an_added_stream_is_read_and_a_removed_one_keeps_its_leases_until_it_is_added_again() {
    let ledger = Ledger::with(&[("orders", 2), ("payments", 2)]).await;
    let (a, b) = (ledger.start("a", &["orders"]).await, ledger.start("b", &["orders"]).await);
    ledger.put("payments", 0..10).await;
    ledger.shared(&[("a", "orders", 1), ("b", "orders", 1)], SOON).await;
    a.handle.add_stream(ledger.config("a", "payments")).await.unwrap();
    ledger.seen("payments", 10, SOON).await;
    // All leases are balanced together: nothing needs to move when the other worker serves the
    // stream too.
    let balanced = [("a", "payments", 2), ("b", "orders", 2)];
    ledger.shared(&balanced, SOON).await;
    b.handle.add_stream(ledger.config("b", "payments")).await.unwrap();
    tokio::time::sleep(SOON).await;
    ledger.shared(&balanced, Duration::ZERO).await;

    a.handle.remove_stream("payments").await.unwrap();
    ledger.shared(&[("a", "orders", 2), ("b", "payments", 2)], SOON).await;
    ledger.put("payments", 10..20).await;
    ledger.seen("payments", 20, SOON).await;
    b.handle.remove_stream("payments").await.unwrap();
    ledger.shared(&[("a", "orders", 1), ("b", "orders", 1)], SOON).await;
    ledger.put("payments", 20..30).await;
    ledger.put("orders", 0..10).await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    ledger.seen("orders", 10, SOON).await;
    ledger.seen("payments", 20, SOON).await;
    assert_eq!(ledger.owners().await.len(), 4, "they rest, and are not deleted");

    b.handle.add_stream(ledger.config("b", "payments")).await.unwrap();
    ledger.seen("payments", 30, SOON).await;
    a.stop().await.unwrap();
    b.stop().await.unwrap();
    ledger.assert_seen_once("payments", 0..30);
    ledger.assert_seen_once("orders", 0..10);
}

/// Old workers know one stream, new ones two; an old worker leads at first, and does not know the
/// second stream.
#[tokio::test(start_paused = true)]
async fn a_rolling_deploy_that_adds_a_stream_reads_it_from_the_first_new_worker_on() {
    let ledger = Ledger::with(&[("orders", 4), ("payments", 2)]).await;
    let old = [ledger.start("old-1", &["orders"]).await, ledger.start("old-2", &["orders"]).await];
    ledger.shared(&[("old-1", "orders", 2), ("old-2", "orders", 2)], SOON).await;
    ledger.put("payments", 0..20).await;
    ledger.put("orders", 0..20).await;
    let both = ["orders", "payments"];
    let first = ledger.start("new-1", &both).await;
    ledger.seen("payments", 20, SOON).await;
    ledger.shared(&[("old-1", "orders", 2), ("old-2", "orders", 2), ("new-1", "payments", 2)], SOON).await;
    let [one, two] = old;
    one.stop().await.unwrap();
    let second = ledger.start("new-2", &both).await;
    two.stop().await.unwrap();
    ledger.put("payments", 20..40).await;
    ledger.put("orders", 20..40).await;
    for name in both {
        ledger.seen(name, 40, SOON).await;
        ledger.assert_seen_once(name, 0..40);
    }
    let owners = ledger.owners().await;
    assert_eq!(owners.values().filter(|owner| owner.as_deref() == Some("new-1")).count(), 3, "{owners:?}");
    first.stop().await.unwrap();
    second.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn workers_may_serve_different_streams_for_as_long_as_they_like() {
    let ledger = Ledger::with(&[("orders", 3), ("payments", 3)]).await;
    let (a, b) = (ledger.start("a", &["orders"]).await, ledger.start("b", &["payments"]).await);
    ledger.shared(&[("a", "orders", 3), ("b", "payments", 3)], SOON).await;
    let split = ledger.aws.kinesis().split_shard().stream_name("payments").shard_to_split("shardId-000000000000");
    split.new_starting_hash_key("1000").send().await.unwrap();
    ledger.put("payments", 0..30).await;
    tokio::time::sleep(Duration::from_secs(200)).await;
    ledger.put("orders", 0..30).await;
    for name in ["orders", "payments"] {
        ledger.seen(name, 30, SOON).await;
    }
    // No other worker can take the leases of a stream that only `a` served.
    a.stop().await.unwrap();
    ledger.put("orders", 30..40).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    ledger.seen("orders", 30, SOON).await;
    let a = ledger.start("a", &["orders"]).await;
    ledger.seen("orders", 40, SOON).await;
    a.stop().await.unwrap();
    b.stop().await.unwrap();
    ledger.assert_seen_once("orders", 0..40);
}

#[tokio::test(start_paused = true)]
async fn a_worker_may_start_without_streams_and_refuses_what_it_cannot_do() {
    let ledger = Ledger::with(&[("orders", 2)]).await;
    let worker = run(ledger.builder("a")).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    let missing = worker.handle.add_stream(ledger.config("a", "order")).await.unwrap_err();
    assert_eq!(missing.code(), Code::StreamMissing, "{missing}");
    let unknown = worker.handle.remove_stream("orders").await.unwrap_err();
    assert_eq!(unknown.code(), Code::WorkerState, "{unknown}");
    worker.handle.add_stream(ledger.config("a", "orders")).await.unwrap();
    ledger.put("orders", 0..10).await;
    ledger.seen("orders", 10, SOON).await;
    let twice = worker.handle.add_stream(ledger.config("a", "orders")).await.unwrap_err();
    assert_eq!(twice.code(), Code::Setting, "{twice}");
    let handle = worker.handle.clone();
    worker.stop().await.unwrap();
    let over = handle.add_stream(ledger.config("a", "orders")).await.unwrap_err();
    assert_eq!(over.code(), Code::WorkerState, "{over}");
}

#[tokio::test(start_paused = true)]
async fn a_removal_that_nobody_waits_for_is_carried_out_all_the_same() {
    let ledger = Ledger::with(&[("orders", 2), ("payments", 2)]).await;
    let worker = ledger.start("a", &["orders", "payments"]).await;
    ledger.shared(&[("a", "orders", 2), ("a", "payments", 2)], SOON).await;
    tokio::select! {
        biased;
        outcome = worker.handle.remove_stream("payments") => panic!("{outcome:?}, at once"),
        () = std::future::ready(()) => {}
    }
    tokio::time::sleep(SOON).await;
    ledger.shared(&[("a", "orders", 2)], Duration::ZERO).await;
    worker.handle.add_stream(ledger.config("a", "payments")).await.unwrap();
    ledger.put("payments", 0..10).await;
    ledger.seen("payments", 10, SOON).await;
    worker.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn streams_added_and_removed_before_the_worker_runs_are_effective_from_its_start() {
    let ledger = Ledger::with(&[("orders", 2), ("payments", 2)]).await;
    let worker = ledger.builder("a").stream(ledger.config("a", "orders")).build().await.unwrap();
    let handle = worker.handle();
    handle.add_stream(ledger.config("a", "payments")).await.unwrap();
    handle.remove_stream("orders").await.unwrap();
    let task = tokio::spawn(worker.run());
    ledger.put("payments", 0..10).await;
    ledger.seen("payments", 10, SOON).await;
    ledger.shared(&[("a", "payments", 2)], SOON).await;
    super::Running { handle, task }.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_first_fill_that_was_cut_short_is_finished_with_the_same_instant() {
    let ledger = Ledger::with(&[("orders", 4)]).await;
    let latest = |worker| ledger.config(worker, "orders").start(kcl_core::Start::Latest);
    let mut created = 0;
    ledger.aws.faults().rule(move |call| {
        created += usize::from(call.caller == Some("a") && call.operation == "PutItem");
        // Fleet, session, assignment, stream, and one lease.
        (call.caller == Some("a") && created > 5).then_some(kcl_local::Fault::LostRequest)
    });
    let dies = run(ledger.builder("a").stream(latest("a"))).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    dies.task.abort_handle().abort();
    assert_eq!(ledger.owners().await.len(), 1);
    ledger.put("orders", 0..40).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    let worker = run(ledger.builder("b").stream(latest("b"))).await;
    ledger.seen("orders", 40, Duration::from_secs(30)).await;
    worker.stop().await.unwrap();
    ledger.assert_seen_once("orders", 0..40);
}
