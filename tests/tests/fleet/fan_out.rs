//! Fleets that read by enhanced fan-out, on the real SDK and the embedded servers.

use crate::stage::{APPLICATION, STREAM, Stage, text};
use aws_sdk_kinesis::types::{ConsumerStatus, ShardIteratorType, StartingPosition};
use kcl_core::prelude::*;
use kcl_local::{Fault, Service, StreamFault};
use kcl_tests::said::Said;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::sleep;

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn by(retrieval: Retrieval) -> Settings {
    Settings::default().retrieval(retrieval)
}

impl Stage {
    async fn stream_arn(&self) -> String {
        let summary = self.aws.kinesis().describe_stream_summary().stream_name(STREAM).send().await.unwrap();
        summary.stream_description_summary.unwrap().stream_arn
    }

    async fn consumers(&self) -> Vec<(String, ConsumerStatus)> {
        let listed =
            self.aws.kinesis().list_stream_consumers().stream_arn(self.stream_arn().await).send().await.unwrap();
        listed.consumers.unwrap_or_default().into_iter().map(|it| (it.consumer_name, it.consumer_status)).collect()
    }

    /// Every number arrived once, and the numbers of each key in order.
    fn assert_once_and_in_order(&self, numbers: std::ops::Range<u32>) {
        let seen: Vec<u32> = self.log.all().iter().map(|seen| seen.data.parse().unwrap()).collect();
        assert_eq!(seen.len(), numbers.len(), "{numbers:?}");
        assert_eq!(seen.iter().copied().collect::<BTreeSet<_>>(), numbers.collect());
        for key in 0..7 {
            let of_key: Vec<u32> = seen.iter().copied().filter(|number| number % 7 == key).collect();
            assert!(of_key.is_sorted(), "{of_key:?}");
        }
    }

    /// Puts a number each `every` and returns the worst delay.
    async fn feed(&self, numbers: std::ops::Range<u32>, every: Duration) -> Duration {
        let mut worst = Duration::ZERO;
        for number in numbers {
            let before = self.log.count();
            self.put(number..number + 1).await;
            let put = tokio::time::Instant::now();
            while self.log.count() == before && put.elapsed() < secs(60) {
                sleep(Duration::from_millis(5)).await;
            }
            worst = worst.max(put.elapsed());
            sleep(every.saturating_sub(put.elapsed())).await;
        }
        worst
    }

    pub(crate) fn calls(&self, operation: &'static str) -> usize {
        usize::try_from(self.aws.calls().of(Service::Kinesis, operation)).unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn records_are_pushed_and_nothing_is_polled() {
    let stage = Stage::with_shards(2).await;
    stage.put(0..50).await;
    let worker = stage.start_with("a", by(Retrieval::FanOut), Duration::ZERO).await;
    sleep(secs(30)).await;
    assert_eq!(stage.consumers().await, [(APPLICATION.to_owned(), ConsumerStatus::Active)]);
    let worst = stage.feed(50..80, Duration::from_millis(500)).await;
    assert!(worst <= Duration::from_millis(50), "{worst:?}");
    worker.stop().await.unwrap();
    stage.assert_once_and_in_order(0..80);
    assert_eq!(stage.calls("GetRecords"), 0);
    // Another worker continues from the checkpoints, and the consumer still exists.
    stage.put(80..90).await;
    let worker = stage.start_with("b", by(Retrieval::FanOut), Duration::ZERO).await;
    sleep(secs(10)).await;
    worker.stop().await.unwrap();
    stage.assert_once_and_in_order(0..90);
    assert_eq!(stage.consumers().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn half_an_hour_of_rotations_is_no_gap_and_repeats_nothing() {
    let stage = Stage::with_shards(1).await;
    let worker = stage.start_with("a", by(Retrieval::FanOut), Duration::ZERO).await;
    sleep(secs(30)).await;
    let worst = stage.feed(0..3_600, Duration::from_millis(500)).await;
    assert!(worst <= Duration::from_millis(500), "{worst:?}");
    worker.stop().await.unwrap();
    stage.assert_once_and_in_order(0..3_600);
}

#[tokio::test(start_paused = true)]
async fn a_reshard_is_read_to_the_end_and_on_in_the_children() {
    let stage = Stage::with_shards(1).await;
    let worker = stage.start_with("a", by(Retrieval::FanOut), Duration::ZERO).await;
    stage.put(0..30).await;
    sleep(secs(15)).await;
    let split = stage.aws.kinesis().split_shard().stream_name(STREAM).shard_to_split("shardId-000000000000");
    split.new_starting_hash_key((1_u128 << 127).to_string()).send().await.unwrap();
    sleep(secs(10)).await;
    stage.put(30..60).await;
    sleep(secs(20)).await;
    worker.stop().await.unwrap();
    stage.assert_once_and_in_order(0..60);
    let rows = stage.rows().await;
    let parent = rows.iter().find(|row| text(row, "leaseKey").as_deref() == Some("shardId-000000000000")).unwrap();
    assert_eq!(text(parent, "checkpoint").as_deref(), Some("SHARD_END"));
    assert_eq!(stage.calls("GetRecords"), 0);
}

#[tokio::test(start_paused = true)]
async fn every_record_arrives_once_whatever_happens_to_a_subscription() {
    let faults = [
        StreamFault::Cut,
        StreamFault::End,
        StreamFault::Silence,
        StreamFault::Stall(secs(12)),
        StreamFault::Error("InternalFailureException".to_owned()),
        StreamFault::Error("KMSThrottlingException".to_owned()),
        StreamFault::Error("ResourceInUseException".to_owned()),
        StreamFault::Error("ResourceNotFoundException".to_owned()),
        StreamFault::BadChecksum,
        StreamFault::Truncated,
    ];
    let stage = Stage::with_shards(1).await;
    let worker = stage.start_with("a", by(Retrieval::FanOut), Duration::ZERO).await;
    sleep(secs(20)).await;
    let mut next = 0;
    for fault in faults {
        // The next subscription breaks; the current one breaks at its own time.
        stage.aws.faults().once("SubscribeToShard", Fault::stream(5, fault.clone()));
        let worst = stage.feed(next..next + 700, Duration::from_millis(450)).await;
        assert!(worst <= secs(23), "{fault:?}: {worst:?}");
        next += 700;
    }
    worker.stop().await.unwrap();
    stage.assert_once_and_in_order(0..next);
    assert_eq!(stage.calls("GetRecords"), 0);
}

#[tokio::test(start_paused = true)]
async fn headers_and_then_nothing_is_given_up_in_time() {
    let stage = Stage::with_shards(1).await;
    stage.put(0..10).await;
    stage.aws.faults().once("SubscribeToShard", Fault::HeadersOnly);
    let worker = stage.start_with("a", by(Retrieval::FanOut), Duration::ZERO).await;
    sleep(secs(25)).await;
    worker.stop().await.unwrap();
    stage.assert_once_and_in_order(0..10);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_may_not_fan_out_polls_and_comes_back_when_it_may() {
    let stage = Stage::with_shards(2).await;
    for operation in ["RegisterStreamConsumer", "SubscribeToShard"] {
        for _ in 0..4 {
            stage.aws.faults().once(operation, Fault::Error("AccessDeniedException".to_owned()));
        }
    }
    let worker = stage.start_with("a", by(Retrieval::Auto), Duration::ZERO).await;
    sleep(secs(10)).await;
    let worst = stage.feed(0..4_000, Duration::from_millis(500)).await;
    assert!(worst <= Duration::from_millis(600), "{worst:?}");
    let polls = stage.calls("GetRecords");
    assert!(polls > 100, "{polls}");
    let worst = stage.feed(4_000..4_100, Duration::from_millis(500)).await;
    assert!(worst <= Duration::from_millis(50), "{worst:?}");
    assert_eq!(stage.calls("GetRecords"), polls, "it is pushed again");
    worker.stop().await.unwrap();
    stage.assert_once_and_in_order(0..4_100);
}

#[tokio::test(start_paused = true)]
async fn a_consumer_that_is_deregistered_under_a_running_fleet_is_no_gap() {
    let stage = Stage::with_shards(1).await;
    let worker = stage.start_with("a", by(Retrieval::Auto), Duration::ZERO).await;
    sleep(secs(20)).await;
    stage.feed(0..20, Duration::from_millis(500)).await;
    let (arn, kinesis) = (stage.stream_arn().await, stage.aws.kinesis());
    kinesis.deregister_stream_consumer().stream_arn(arn).consumer_name(APPLICATION).send().await.unwrap();
    let worst = stage.feed(20..400, Duration::from_millis(500)).await;
    assert!(worst <= Duration::from_millis(600), "{worst:?}");
    worker.stop().await.unwrap();
    stage.assert_once_and_in_order(0..400);
    assert_eq!(stage.consumers().await, [(APPLICATION.to_owned(), ConsumerStatus::Active)]);
}

#[tokio::test(start_paused = true)]
async fn a_deploy_takes_the_subscriptions_over_without_a_gap() {
    let stage = Stage::with_shards(4).await;
    let old = stage.start_with("a", by(Retrieval::Auto), Duration::ZERO).await;
    sleep(secs(20)).await;
    stage.feed(0..20, Duration::from_millis(200)).await;
    let new = stage.start_with("b", by(Retrieval::Auto), Duration::ZERO).await;
    sleep(secs(10)).await;
    let stopping = tokio::spawn(old.stop());
    let worst = stage.feed(20..120, Duration::from_millis(200)).await;
    assert!(worst <= secs(1), "{worst:?}");
    stopping.await.unwrap().unwrap();
    new.stop().await.unwrap();
    stage.assert_once_and_in_order(0..120);
}

/// The former process's subscription is still open, and too young to be replaced.
#[tokio::test(start_paused = true)]
async fn r22_a_restart_while_the_old_subscription_is_alive_waits_and_does_not_ask_more_than_once_a_second() {
    for retrieval in [Retrieval::Auto, Retrieval::FanOut] {
        let stage = Stage::with_shards(1).await;
        let (arn, kinesis) = (stage.stream_arn().await, stage.aws.kinesis());
        let register = kinesis.register_stream_consumer().stream_arn(&arn).consumer_name(APPLICATION);
        let consumer = register.send().await.unwrap().consumer.unwrap().consumer_arn;
        sleep(secs(30)).await;
        stage.put(0..10).await;
        let latest = StartingPosition::builder().r#type(ShardIteratorType::Latest).build().unwrap();
        let subscribe = kinesis.subscribe_to_shard().consumer_arn(consumer).shard_id("shardId-000000000000");
        let old = subscribe.starting_position(latest).send().await.unwrap();
        let worker = stage.start_with("a", by(retrieval), Duration::ZERO).await;
        sleep(secs(12)).await;
        // With fan-out alone the start tries a subscription as a dry run, which AWS does not count.
        let dry_runs = usize::from(retrieval == Retrieval::FanOut);
        let asked = stage.calls("SubscribeToShard") - 1 - dry_runs;
        assert_eq!(asked, 2, "{retrieval:?}: once in vain, and once after the 5 s in which it is refused");
        let polls = stage.calls("GetRecords");
        assert_eq!(polls > 0, retrieval == Retrieval::Auto);
        let worst = stage.feed(10..20, Duration::from_millis(500)).await;
        assert!(worst <= Duration::from_millis(50), "{worst:?}");
        assert_eq!(stage.calls("GetRecords"), polls, "it is pushed by now");
        worker.stop().await.unwrap();
        stage.assert_once_and_in_order(0..20);
        drop(old);
    }
}

/// The handler takes nothing from its subscription for minutes, repeatedly.
#[tokio::test(start_paused = true)]
async fn a_handler_that_takes_minutes_is_no_failure_of_its_subscription() {
    let said = Said::default();
    let _taken_down = tracing::subscriber::set_default(said.at_least(tracing::Level::WARN));
    let stage = Stage::with_shards(1).await;
    let settings = by(Retrieval::FanOut).max_records(1);
    let worker = stage.start_with("a", settings, secs(420)).await;
    sleep(secs(10)).await;
    for number in 0..6 {
        stage.put(number..number + 1).await;
        sleep(secs(60)).await;
    }
    stage.seen(6, secs(7 * 420)).await;
    worker.stop().await.unwrap();
    stage.assert_once_and_in_order(0..6);
    let said = said.text();
    assert!(!said.contains("subscri") && !said.contains("fan-out"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn the_last_worker_removes_the_consumer_if_it_is_to() {
    let stage = Stage::with_shards(2).await;
    let settings = || by(Retrieval::Auto).deregister_consumer(true);
    let (first, second) = (
        stage.start_with("a", settings(), Duration::ZERO).await,
        stage.start_with("b", settings(), Duration::ZERO).await,
    );
    sleep(secs(30)).await;
    first.stop().await.unwrap();
    sleep(secs(60)).await;
    assert_eq!(stage.consumers().await, [(APPLICATION.to_owned(), ConsumerStatus::Active)]);
    second.stop().await.unwrap();
    sleep(secs(60)).await;
    assert_eq!(stage.consumers().await, []);
}

#[tokio::test(start_paused = true)]
async fn a_consumer_of_another_stream_is_refused_at_once() {
    let stage = Stage::with_shards(1).await;
    let other = stage.stream_arn().await.replace(STREAM, "other");
    let arn = format!("{other}/consumer/mine:1700000000");
    let error =
        stage.build("a", by(Retrieval::FanOut).consumer_arn(&arn), Duration::ZERO).await.unwrap_err().to_string();
    assert!(error.contains("KCL-0001") && error.contains("another stream") && error.contains(&arn), "{error}");
    for (settings, said) in [
        (by(Retrieval::Polling).consumer_name("mine"), "have no effect if `retrieval` is `polling`"),
        (by(Retrieval::Auto).consumer_name("no spaces"), "expected 1 to 128 letters"),
        (by(Retrieval::Auto).consumer_arn("mine"), "expected `arn:aws:kinesis"),
        (by(Retrieval::Auto).consumer_arn(&arn).consumer_name("mine"), "both name a consumer"),
        (by(Retrieval::Auto).consumer_arn(&arn).deregister_consumer(true), "is not deregistered"),
    ] {
        let error = stage.build("a", settings, Duration::ZERO).await.unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}
