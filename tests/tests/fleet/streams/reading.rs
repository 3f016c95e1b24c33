//! Rules for fleets whose workers all read the same streams.

use super::{APPLICATION, Ledger, kinds, put, run};
use crate::stage::text;
use kcl_core::{Code, Start, StreamConfig, Worker};
use kcl_local::LocalAws;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(15);

#[tokio::test(start_paused = true)]
async fn two_workers_share_the_leases_of_all_streams_and_read_each_with_its_own_processor() {
    let ledger = Ledger::with(&[("orders", 4), ("payments", 2), ("refunds", 2)]).await;
    let all = ["orders", "payments", "refunds"];
    for name in all {
        ledger.put(name, 0..50).await;
    }
    let (a, b) = (ledger.start("a", &all).await, ledger.start("b", &all).await);
    for name in all {
        ledger.seen(name, 50, SOON).await;
    }
    let owners = ledger.owners().await;
    assert_eq!(owners.len(), 8);
    assert_eq!(owners.values().filter(|owner| owner.as_deref() == Some("a")).count(), 4, "{owners:?}");
    for name in all {
        ledger.put(name, 50..80).await;
        ledger.seen(name, 80, SOON).await;
    }
    a.stop().await.unwrap();
    b.stop().await.unwrap();
    for name in all {
        ledger.assert_seen_once(name, 0..80);
    }
    assert_eq!(kinds(&ledger).await, ["LEASE".to_owned()].into(), "the last one out leaves a plain table");
    let again = ledger.start("c", &all).await;
    ledger.put("refunds", 80..90).await;
    ledger.seen("refunds", 90, SOON).await;
    again.stop().await.unwrap();
    ledger.assert_seen_once("orders", 0..80);
}

#[tokio::test(start_paused = true)]
async fn streams_of_one_name_in_two_accounts_do_not_get_mixed_up() {
    let ledger = Ledger::with(&[("orders", 2)]).await;
    let other = LocalAws::builder().account("111111111111").region("eu-west-1").in_process();
    other.kinesis().create_stream().stream_name("orders").shard_count(2).send().await.unwrap();
    ledger.put("orders", 0..20).await;
    put(&other, "orders", 100..130).await;
    let arn = "arn:aws:kinesis:eu-west-1:111111111111:stream/orders";
    let here = ledger.config("a", "orders");
    let there = ledger.config("a", "orders").sdk_config(&other.sdk_config_for("a"));
    let worker = run(ledger.builder("a").stream(here).stream(there)).await;
    ledger.seen("orders", 50, SOON).await;
    let log = ledger.log.0.lock().unwrap().clone();
    for (_, seen_in, _, data) in log {
        assert_eq!(seen_in == arn, data.parse::<u32>().unwrap() >= 100, "{seen_in} {data}");
    }
    let ambiguous = worker.handle.remove_stream("orders").await.unwrap_err();
    assert_eq!(ambiguous.code(), Code::WorkerState, "{ambiguous}");
    worker.handle.remove_stream(arn).await.unwrap();
    put(&other, "orders", 130..140).await;
    ledger.put("orders", 20..30).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    ledger.seen("orders", 60, SOON).await;
    worker.stop().await.unwrap();
    // A failure of one is not a failure of the other: every call to the other account's stream is
    // denied, and that is only reported.
    let keys: Vec<String> = ledger.rows().await.iter().map(|row| text(row, "leaseKey").unwrap()).collect();
    assert_eq!(keys.iter().filter(|key| key.starts_with("111111111111:orders:")).count(), 2, "{keys:?}");
}

#[tokio::test(start_paused = true)]
async fn each_stream_has_its_own_start() {
    let ledger = Ledger::with(&[("orders", 2), ("payments", 2)]).await;
    ledger.put("orders", 0..10).await;
    ledger.put("payments", 0..10).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let latest = ledger.config("a", "payments").start(Start::Latest);
    let worker = run(ledger.builder("a").stream(ledger.config("a", "orders")).stream(latest)).await;
    ledger.seen("orders", 10, SOON).await;
    ledger.shared(&[("a", "orders", 2), ("a", "payments", 2)], SOON).await;
    ledger.put("payments", 10..15).await;
    ledger.seen("payments", 5, SOON).await;
    worker.stop().await.unwrap();
    ledger.assert_seen_once("payments", 10..15);
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_splits_is_followed_within_its_stream() {
    let ledger = Ledger::with(&[("orders", 1), ("payments", 1)]).await;
    let worker = ledger.start("a", &["orders", "payments"]).await;
    ledger.put("orders", 0..20).await;
    ledger.put("payments", 0..20).await;
    let split = ledger.aws.kinesis().split_shard().stream_name("payments").shard_to_split("shardId-000000000000");
    split.new_starting_hash_key((1u128 << 127).to_string()).send().await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    ledger.put("payments", 20..60).await;
    ledger.put("orders", 20..60).await;
    for name in ["orders", "payments"] {
        ledger.seen(name, 60, SOON).await;
    }
    worker.stop().await.unwrap();
    for name in ["orders", "payments"] {
        ledger.assert_seen_once(name, 0..60);
    }
    let leases: Vec<String> = ledger.owners().await.into_keys().collect();
    assert_eq!(leases, ["orders/0", "payments/0", "payments/1", "payments/2"]);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_dies_is_replaced_in_all_streams() {
    let ledger = Ledger::with(&[("orders", 2), ("payments", 2)]).await;
    let all = ["orders", "payments"];
    let (a, b) = (ledger.start("a", &all).await, ledger.start("b", &all).await);
    tokio::time::sleep(Duration::from_secs(10)).await;
    let gone = "a";
    ledger.aws.faults().rule(move |call| (call.caller? == gone).then_some(kcl_local::Fault::LostRequest));
    a.task.abort_handle().abort();
    for name in all {
        ledger.put(name, 0..40).await;
        ledger.seen(name, 40, Duration::from_secs(40)).await;
    }
    ledger.shared(&[("b", "orders", 2), ("b", "payments", 2)], SOON).await;
    b.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_table_with_the_other_kind_of_keys_is_refused_both_ways() {
    let ledger = Ledger::with(&[("orders", 1)]).await;
    let one = || {
        let config = ledger.aws.sdk_config_for("one");
        let recorder = ledger_recorder(&ledger);
        Worker::builder(APPLICATION, "orders").sdk_config(&config).on_current_runtime().processor(recorder).build()
    };
    let worker = one().await.unwrap();
    let handle = worker.handle();
    let task = tokio::spawn(worker.run());
    tokio::time::sleep(Duration::from_secs(5)).await;
    handle.shutdown(Duration::from_secs(5)).await;
    task.await.unwrap().unwrap();
    let before = ledger.rows().await;
    let error = ledger.start("a", &["orders"]).await.task.await.unwrap().unwrap_err();
    assert_eq!(error.code(), Code::LeaseKeys, "{error}");
    assert_eq!(ledger.rows().await, before, "nothing was written");

    let other = Ledger::with(&[("orders", 1)]).await;
    let worker = other.start("a", &["orders"]).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    worker.stop().await.unwrap();
    let config = other.aws.sdk_config_for("one");
    let builder = Worker::builder(APPLICATION, "orders").sdk_config(&config).on_current_runtime();
    let error = builder.processor(ledger_recorder(&other)).build().await.unwrap().run().await.unwrap_err();
    assert_eq!(error.code(), Code::LeaseKeys, "{error}");
}

fn ledger_recorder(ledger: &Ledger) -> impl Fn(&kcl_core::record::ShardId) -> super::Recorder + Send + Sync + 'static {
    let log = ledger.log.clone();
    move |_| super::Recorder { worker: "one".to_owned(), expects: "orders".to_owned(), log: log.clone() }
}

#[tokio::test(start_paused = true)]
async fn a_missing_or_repeated_stream_is_refused_before_anything_is_written() {
    let ledger = Ledger::with(&[("orders", 1)]).await;
    let missing = ledger.builder("a").stream(ledger.config("a", "order")).build().await.unwrap_err();
    assert_eq!(missing.code(), Code::StreamMissing, "{missing}");
    let config = |name: &str| -> StreamConfig { ledger.config("a", name) };
    let arn = "arn:aws:kinesis:us-east-1:000000000000:stream/orders";
    let twice = ledger.builder("a").stream(config("orders")).stream(config(arn)).build().await.unwrap_err();
    assert_eq!(twice.code(), Code::Setting, "{twice}");
    assert!(twice.to_string().contains(arn), "{twice}");
}
