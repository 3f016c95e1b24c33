//! Several streams, some or all of which are read by enhanced fan-out.

use super::{APPLICATION, Ledger, Running, put, run};
use kcl_core::prelude::*;
use kcl_core::{Code, StreamConfig, Streams, WorkerBuilder};
use kcl_local::{LocalAws, Service};
use std::time::Duration;
use tokio::time::sleep;

const SOON: Duration = Duration::from_secs(15);
const BANK: &str = "111111111111";

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Another account, with a stream of two shards.
async fn bank(stream: &str) -> LocalAws {
    let bank = LocalAws::builder().account(BANK).region("eu-west-1").in_process();
    bank.kinesis().create_stream().stream_name(stream).shard_count(2).send().await.unwrap();
    bank
}

/// The names of a stream's consumers.
async fn consumers(aws: &LocalAws, stream: &str) -> Vec<String> {
    let kinesis = aws.kinesis();
    let summary = kinesis.describe_stream_summary().stream_name(stream).send().await.unwrap();
    let arn = summary.stream_description_summary.unwrap().stream_arn;
    let listed = kinesis.list_stream_consumers().stream_arn(arn).send().await.unwrap();
    listed.consumers.unwrap_or_default().into_iter().map(|consumer| consumer.consumer_name).collect()
}

fn calls(aws: &LocalAws, operation: &'static str) -> u64 {
    aws.calls().of(Service::Kinesis, operation)
}

impl Ledger {
    fn pushed(&self, worker: &str) -> WorkerBuilder<Streams> {
        self.builder(worker).settings(Settings::default().retrieval(Retrieval::FanOut))
    }

    /// A worker that reads these by fan-out and deregisters their consumers.
    async fn tidy(&self, worker: &str, streams: &[&str]) -> Running {
        let settings = Settings::default().retrieval(Retrieval::FanOut).deregister_consumer(true);
        let builder = self.builder(worker).settings(settings);
        let worker = run(streams.iter().fold(builder, |builder, name| builder.stream(self.config(worker, name)))).await;
        sleep(secs(10)).await;
        worker
    }

    async fn register(&self, stream: &str, consumer: &str) -> String {
        let kinesis = self.aws.kinesis();
        let arn = format!("arn:aws:kinesis:us-east-1:000000000000:stream/{stream}");
        let registered = kinesis.register_stream_consumer().stream_arn(arn).consumer_name(consumer).send().await;
        registered.unwrap().consumer.unwrap().consumer_arn
    }
}

#[tokio::test(start_paused = true)]
async fn each_stream_has_a_consumer_of_its_own_in_its_own_account() {
    let ledger = Ledger::with(&[("orders", 2)]).await;
    let bank = bank("payments").await;
    let payments = |worker: &str| {
        ledger.config(worker, "payments").sdk_config(&bank.sdk_config_for(worker)).consumer_name("of-the-bank")
    };
    let (mut workers, mut n) = (Vec::new(), 0);
    for worker in ["a", "b"] {
        workers.push(run(ledger.pushed(worker).stream(ledger.config(worker, "orders")).stream(payments(worker))).await);
        ledger.put("orders", n..n + 30).await;
        put(&bank, "payments", n..n + 30).await;
        n += 30;
        ledger.seen("orders", n as usize, SOON).await;
        ledger.seen("payments", n as usize, SOON).await;
    }
    sleep(SOON).await;
    let owners = ledger.owners().await;
    assert_eq!(owners.values().filter(|owner| owner.as_deref() == Some("a")).count(), 2, "{owners:?}");
    assert_eq!(consumers(&ledger.aws, "orders").await, [APPLICATION]);
    assert_eq!(consumers(&bank, "payments").await, ["of-the-bank"]);
    for worker in workers {
        worker.stop().await.unwrap();
    }
    for stream in ["orders", "payments"] {
        ledger.assert_seen_once(stream, 0..60);
    }
    assert_eq!(calls(&ledger.aws, "GetRecords") + calls(&bank, "GetRecords"), 0);
    assert_eq!((consumers(&ledger.aws, "orders").await.len(), consumers(&bank, "payments").await.len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn one_stream_is_polled_while_another_is_pushed() {
    for (of_worker, says_so) in [(Retrieval::Polling, "payments"), (Retrieval::FanOut, "orders")] {
        let ledger = Ledger::with(&[("orders", 2)]).await;
        let bank = bank("payments").await;
        let (orders, payments) = (ledger.config("a", "orders"), ledger.config("a", "payments"));
        let payments = payments.sdk_config(&bank.sdk_config_for("a"));
        let (orders, payments) = match says_so {
            "orders" => (orders.retrieval(Retrieval::Polling), payments),
            _ => (orders, payments.retrieval(Retrieval::FanOut)),
        };
        let settings = Settings::default().retrieval(of_worker);
        let worker = run(ledger.builder("a").settings(settings).stream(orders).stream(payments)).await;
        ledger.put("orders", 0..20).await;
        put(&bank, "payments", 0..20).await;
        ledger.seen("orders", 20, SOON).await;
        ledger.seen("payments", 20, SOON).await;
        worker.stop().await.unwrap();
        assert_eq!((calls(&bank, "GetRecords"), calls(&ledger.aws, "SubscribeToShard")), (0, 0));
        assert_eq!(consumers(&ledger.aws, "orders").await, [""; 0]);
        assert_eq!(consumers(&bank, "payments").await, [APPLICATION]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_consumer_that_somebody_else_registered_is_read_by_and_kept() {
    let ledger = Ledger::with(&[("orders", 2), ("payments", 1)]).await;
    let arn = ledger.register("orders", "theirs").await;
    let settings = Settings::default().retrieval(Retrieval::FanOut).consumer_name("ours").deregister_consumer(true);
    let orders = ledger.config("a", "orders").consumer_arn(arn);
    let worker =
        run(ledger.builder("a").settings(settings).stream(orders).stream(ledger.config("a", "payments"))).await;
    for stream in ["orders", "payments"] {
        ledger.put(stream, 0..20).await;
        ledger.seen(stream, 20, SOON).await;
    }
    assert_eq!(consumers(&ledger.aws, "payments").await, ["ours"]);
    worker.handle.remove_stream("orders").await.unwrap();
    worker.stop().await.unwrap();
    assert_eq!(consumers(&ledger.aws, "orders").await, ["theirs"]);
    assert_eq!(consumers(&ledger.aws, "payments").await, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_consumer_of_another_stream_is_refused_at_once_also_where_a_stream_is_added() {
    let ledger = Ledger::with(&[("orders", 1), ("payments", 1)]).await;
    let bank = bank("orders").await;
    let arn = ledger.register("orders", "mine").await;
    let told = |error: kcl_core::Error, says: &str| {
        assert_eq!(error.code(), Code::Setting, "{error}");
        assert!(error.to_string().contains(says) && error.to_string().contains(&arn), "{error}");
    };
    let of_all = ledger.builder("a").settings(Settings::default().retrieval(Retrieval::FanOut).consumer_arn(&arn));
    told(of_all.stream(ledger.config("a", "orders")).build().await.unwrap_err(), "`StreamConfig::consumer_arn`");
    let wrong = |config: StreamConfig| config.consumer_arn(&arn);
    let payments = || wrong(ledger.config("a", "payments"));
    told(ledger.pushed("a").stream(payments()).build().await.unwrap_err(), "another stream");
    // Of the same name, in another account.
    let orders = || wrong(ledger.config("a", "orders").sdk_config(&bank.sdk_config_for("a")));
    told(ledger.pushed("a").stream(orders()).build().await.unwrap_err(), "another stream");
    let worker = run(ledger.pushed("a")).await;
    for config in [payments(), orders()] {
        told(worker.handle.add_stream(config).await.unwrap_err(), "another stream");
    }
    worker.handle.add_stream(wrong(ledger.config("a", "orders"))).await.unwrap();
    ledger.put("orders", 0..5).await;
    ledger.seen("orders", 5, SOON).await;
    worker.stop().await.unwrap();
    assert_eq!(consumers(&ledger.aws, "orders").await, ["mine"]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_added_while_the_worker_runs_is_pushed_too() {
    let ledger = Ledger::with(&[("orders", 2)]).await;
    let bank = bank("payments").await;
    let worker = run(ledger.pushed("a").stream(ledger.config("a", "orders"))).await;
    ledger.put("orders", 0..10).await;
    put(&bank, "payments", 0..10).await;
    ledger.seen("orders", 10, SOON).await;
    let payments = ledger.config("a", "payments").sdk_config(&bank.sdk_config_for("a"));
    worker.handle.add_stream(payments).await.unwrap();
    ledger.seen("payments", 10, SOON).await;
    ledger.put("orders", 10..20).await;
    put(&bank, "payments", 10..20).await;
    ledger.seen("orders", 20, secs(1)).await;
    ledger.seen("payments", 20, secs(1)).await;
    worker.stop().await.unwrap();
    assert_eq!(consumers(&bank, "payments").await, [APPLICATION]);
    assert_eq!(calls(&ledger.aws, "GetRecords") + calls(&bank, "GetRecords"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_stream_deleted_under_its_subscriptions_keeps_its_leases_and_the_others_are_read() {
    for retrieval in [Retrieval::FanOut, Retrieval::Auto] {
        let ledger = Ledger::with(&[("orders", 2), ("payments", 2)]).await;
        let builder = ledger.builder("a").settings(Settings::default().retrieval(retrieval));
        let worker = run(builder.stream(ledger.config("a", "orders")).stream(ledger.config("a", "payments"))).await;
        for stream in ["orders", "payments"] {
            ledger.put(stream, 0..20).await;
            ledger.seen(stream, 20, SOON).await;
        }
        sleep(SOON).await;
        ledger.delete("payments").await;
        // Its readers notice, long before the next list.
        sleep(secs(10)).await;
        let owners = ledger.owners().await;
        for (lease, owner) in &owners {
            assert_eq!(owner.is_some(), lease.starts_with("orders"), "{retrieval:?}: {owners:?}");
        }
        ledger.put("orders", 20..40).await;
        ledger.seen("orders", 40, secs(1)).await;
        let asked = calls(&ledger.aws, "SubscribeToShard") + calls(&ledger.aws, "DescribeStreamConsumer");
        sleep(secs(600)).await;
        let asked = calls(&ledger.aws, "SubscribeToShard") + calls(&ledger.aws, "DescribeStreamConsumer") - asked;
        // Subscriptions to the two other shards are renewed.
        assert!(asked <= 8, "{retrieval:?}: {asked} calls for a stream that is not there");
        assert!(!worker.task.is_finished());
        // A stream that is created again is another stream, with a consumer of its own.
        ledger.create("payments", 2).await;
        ledger.put("payments", 20..30).await;
        ledger.seen("payments", 30, secs(90)).await;
        assert_eq!(consumers(&ledger.aws, "payments").await, [APPLICATION]);
        worker.stop().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn of_each_stream_the_last_worker_that_stops_serving_it_removes_the_consumer() {
    let ledger = Ledger::with(&[("orders", 2), ("payments", 2)]).await;
    let a = ledger.tidy("a", &["orders", "payments"]).await;
    let b = ledger.tidy("b", &["orders"]).await;
    a.stop().await.unwrap();
    assert_eq!(consumers(&ledger.aws, "payments").await, [""; 0], "nobody else serves it, though the fleet goes on");
    assert_eq!(consumers(&ledger.aws, "orders").await, [APPLICATION]);
    ledger.put("orders", 0..10).await;
    ledger.seen("orders", 10, SOON).await;
    b.stop().await.unwrap();
    assert_eq!(consumers(&ledger.aws, "orders").await, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn of_workers_that_stop_together_one_removes_the_consumers() {
    let ledger = Ledger::with(&[("orders", 2), ("payments", 2)]).await;
    let both = ["orders", "payments"];
    let (a, b) = (ledger.tidy("a", &both).await, ledger.tidy("b", &both).await);
    let (a, b) = tokio::join!(a.stop(), b.stop());
    a.and(b).unwrap();
    for stream in both {
        assert_eq!(consumers(&ledger.aws, stream).await, [""; 0], "{stream}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_removed_loses_its_consumer_once_nobody_serves_it() {
    let ledger = Ledger::with(&[("orders", 2), ("payments", 2)]).await;
    let both = ["orders", "payments"];
    let (a, b) = (ledger.tidy("a", &both).await, ledger.tidy("b", &both).await);
    a.handle.remove_stream("payments").await.unwrap();
    assert_eq!(consumers(&ledger.aws, "payments").await, [APPLICATION], "the other worker reads by it");
    ledger.put("payments", 0..10).await;
    ledger.seen("payments", 10, SOON).await;
    b.handle.remove_stream("payments").await.unwrap();
    assert_eq!(consumers(&ledger.aws, "payments").await, [""; 0]);
    // Added again, it is registered again, and nothing was lost.
    ledger.put("payments", 10..20).await;
    a.handle.add_stream(ledger.config("a", "payments")).await.unwrap();
    ledger.seen("payments", 20, SOON).await;
    assert_eq!(consumers(&ledger.aws, "payments").await, [APPLICATION]);
    // Both at once: the later one finds that no other worker serves the stream.
    b.handle.add_stream(ledger.config("b", "payments")).await.unwrap();
    sleep(SOON).await;
    let (one, other) = tokio::join!(a.handle.remove_stream("payments"), b.handle.remove_stream("payments"));
    one.and(other).unwrap();
    assert_eq!(consumers(&ledger.aws, "payments").await, [""; 0]);
    assert_eq!(consumers(&ledger.aws, "orders").await, [APPLICATION]);
    a.stop().await.unwrap();
    b.stop().await.unwrap();
    ledger.assert_seen_once("payments", 0..20);
    assert_eq!(consumers(&ledger.aws, "orders").await, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_consumer_that_a_worker_left_to_one_that_died_since_is_removed_at_its_own_end() {
    let ledger = Ledger::with(&[("orders", 2), ("payments", 2)]).await;
    let both = ["orders", "payments"];
    let (a, b) = (ledger.tidy("a", &both).await, ledger.tidy("b", &both).await);
    a.handle.remove_stream("payments").await.unwrap();
    ledger.aws.faults().rule(move |call| (call.caller? == "b").then_some(kcl_local::Fault::LostRequest));
    b.task.abort_handle().abort();
    sleep(secs(60)).await;
    assert_eq!(consumers(&ledger.aws, "payments").await, [APPLICATION]);
    a.stop().await.unwrap();
    for stream in both {
        assert_eq!(consumers(&ledger.aws, stream).await, [""; 0], "{stream}");
    }
}

#[tokio::test(start_paused = true)]
async fn consumers_are_kept_by_default() {
    let ledger = Ledger::with(&[("orders", 1), ("payments", 1)]).await;
    let pushed = ledger.pushed("a").stream(ledger.config("a", "orders")).stream(ledger.config("a", "payments"));
    let worker = run(pushed).await;
    sleep(SOON).await;
    worker.handle.remove_stream("payments").await.unwrap();
    sleep(secs(60)).await;
    worker.stop().await.unwrap();
    for stream in ["orders", "payments"] {
        assert_eq!(consumers(&ledger.aws, stream).await, [APPLICATION], "{stream}");
    }
}
