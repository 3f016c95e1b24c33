//! Replays: exactly the records of a range, in order, to the end, without an effect on the live
//! application.

use crate::stage::{APPLICATION, Running, STREAM, Seen, Stage, text};
use aws_sdk_kinesis::primitives::Blob;
use kcl_core::policy::sink_fn;
use kcl_core::prelude::*;
use kcl_core::record::aggregate::Aggregator;
use kcl_core::replay::{Order, Replay, ReplayBuilder};
use kcl_core::{Code, NoProcessor};
use kcl_local::Service;
use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

const MIDDLE_OF_THE_LOWER_HALF: &str = "85070591730234615865843651857942052864";
const MIDDLE_OF_THE_LOWEST_QUARTER: &str = "42535295865117307932921825928971026432";
const REPLAY: &str = "again";
const MINUTE: Duration = Duration::from_secs(60);
const MILLISECOND: Duration = Duration::from_millis(1);

/// The service's time between two records, in milliseconds since 1970: no record arrives at it or
/// just before.
async fn moment(stage: &Stage) -> SystemTime {
    tokio::time::sleep(Duration::from_secs(3)).await;
    let now = stage.aws.now();
    tokio::time::sleep(Duration::from_secs(3)).await;
    now
}

fn replay(stage: &Stage, from: SystemTime, until: SystemTime) -> ReplayBuilder<NoProcessor> {
    let config = stage.aws.sdk_config_for("replay");
    Replay::builder(STREAM).starting_at(from).until(until).with_seed(3).sdk_config(&config).on_current_runtime()
}

/// The records that the replay's handlers saw, in that order.
fn numbers(seen: &[Seen]) -> Vec<u32> {
    seen.iter().map(|seen| seen.data.parse().unwrap()).collect()
}

/// Exactly these numbers arrived, each once, and those of each key in order.
fn assert_exactly(seen: &[Seen], range: std::ops::Range<u32>) {
    let numbers = numbers(seen);
    assert_eq!(numbers.len(), range.len(), "{numbers:?}");
    assert_eq!(numbers.iter().copied().collect::<BTreeSet<_>>(), range.collect());
}

fn assert_ordered(seen: &[Seen]) {
    let mut last: HashMap<&str, u32> = HashMap::new();
    for seen in seen {
        let number: u32 = seen.data.parse().unwrap();
        let before = last.insert(&seen.key, number);
        assert!(before.is_none_or(|before| before < number), "{} {before:?} {number}", seen.key);
    }
}

async fn split(stage: &Stage, at: &str) {
    let split = stage.aws.kinesis().split_shard().stream_name(STREAM).shard_to_split("shardId-000000000000");
    split.new_starting_hash_key(at).send().await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
}

async fn merge(stage: &Stage) {
    let merge = stage.aws.kinesis().merge_shards().stream_name(STREAM).shard_to_merge("shardId-000000000002");
    merge.adjacent_shard_to_merge("shardId-000000000003").send().await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
}

/// Puts records before, in (across a split and a merge) and after a range, and returns the range.
async fn resharded(stage: &Stage) -> (SystemTime, SystemTime) {
    stage.put(0..50).await;
    let from = moment(stage).await;
    stage.put(50..100).await;
    split(stage, MIDDLE_OF_THE_LOWER_HALF).await;
    stage.put(100..150).await;
    merge(stage).await;
    stage.put(150..200).await;
    let until = moment(stage).await;
    stage.put(200..250).await;
    (from, until)
}

async fn leases(stage: &Stage) -> Vec<Vec<(String, String)>> {
    let mut rows: Vec<Vec<(String, String)>> = stage
        .rows()
        .await
        .into_iter()
        .filter(|row| text(row, "entityType").as_deref() == Some("LEASE"))
        .map(|row| {
            let mut attributes: Vec<_> = row.iter().map(|(name, value)| (name.clone(), format!("{value:?}"))).collect();
            attributes.sort();
            attributes
        })
        .collect();
    rows.sort();
    rows
}

#[tokio::test(start_paused = true)]
async fn a_range_is_replayed_once_and_in_order_across_reshards_without_an_effect_on_a_live_worker() {
    let stage = Stage::with_shards(2).await;
    let live = stage.start("live").await;
    let (from, until) = resharded(&stage).await;
    stage.seen(250, Duration::from_secs(20)).await;
    // Waits until its last checkpoints are written.
    tokio::time::sleep(Duration::from_secs(10)).await;
    let before = leases(&stage).await;
    let written = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&written);
    stage.aws.faults().rule(move |call| {
        if call.caller == Some("replay") && call.service == Service::DynamoDb {
            counted.fetch_add(1, Ordering::Relaxed);
        }
        None
    });
    let again = replay(&stage, from, until).processor(stage.recorders(REPLAY)).build().await.unwrap();
    let summary = again.run().await.unwrap();
    let seen = stage.log.of(REPLAY);
    assert_exactly(&seen, 50..200);
    assert_ordered(&seen);
    assert_eq!((summary.records, summary.finished), (150, true));
    assert_eq!(leases(&stage).await, before);
    assert_eq!(written.load(Ordering::Relaxed), 0, "calls of the table");
    assert_eq!(stage.log.of("live").len(), 250);
    live.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_range_between_two_reshards_takes_neither_the_shards_before_nor_those_after() {
    let stage = Stage::with_shards(2).await;
    stage.put(0..50).await;
    split(&stage, MIDDLE_OF_THE_LOWER_HALF).await;
    let from = moment(&stage).await;
    stage.put(50..100).await;
    let until = moment(&stage).await;
    stage.put(100..150).await;
    merge(&stage).await;
    stage.put(150..200).await;
    // It lists the shards again while it reads.
    let recorders = stage.recorders(REPLAY);
    let again = replay(&stage, from, until).shard_sync_interval(Duration::from_secs(5));
    let again = again.processor(move |shard: &ShardId| Slow(recorders(shard))).build().await.unwrap();
    let summary = again.run().await;
    let seen = stage.log.of(REPLAY);
    assert_exactly(&seen, 50..100);
    assert_ordered(&seen);
    assert_eq!(summary.unwrap().shards, 3, "shards 1, 2 and 3");
}

#[tokio::test(start_paused = true)]
async fn all_shards_of_a_range_can_be_read_at_once() {
    let stage = Stage::with_shards(2).await;
    let (from, until) = resharded(&stage).await;
    let begun: Arc<Mutex<Vec<String>>> = Arc::default();
    let (recorders, shards) = (stage.recorders(REPLAY), Arc::clone(&begun));
    let slow = move |shard: &ShardId| {
        shards.lock().unwrap().push(shard.to_string());
        Slow(recorders(shard))
    };
    let again = replay(&stage, from, until).order(Order::AllAtOnce).processor(slow).build().await.unwrap();
    let running = tokio::spawn(again.run());
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(begun.lock().unwrap().len(), 5, "all before any is done");
    let summary = running.await.unwrap().unwrap();
    assert_exactly(&stage.log.of(REPLAY), 50..200);
    assert_eq!((summary.records, summary.shards, summary.finished), (150, 5, true));
}

/// A slow handler.
struct Slow<P>(P);

impl<P: RecordProcessor> RecordProcessor for Slow<P> {
    async fn process_records(&mut self, batch: &Batch, shard: &ShardContext) -> Result<(), BoxError> {
        tokio::time::sleep(Duration::from_secs(20)).await;
        self.0.process_records(batch, shard).await
    }
}

#[tokio::test(start_paused = true)]
async fn an_empty_range_ends() {
    let stage = Stage::with_shards(4).await;
    let from = moment(&stage).await;
    let until = moment(&stage).await;
    stage.put(0..50).await;
    let again = replay(&stage, from, until).processor(stage.recorders(REPLAY)).build().await.unwrap();
    let summary = tokio::time::timeout(Duration::from_secs(30), again.run()).await.unwrap().unwrap();
    assert_eq!((summary.records, summary.shards, summary.finished), (0, 4, true));
    assert_eq!(stage.log.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_range_whose_end_is_to_come_is_read_until_then() {
    let stage = Stage::with_shards(2).await;
    let from = moment(&stage).await;
    stage.put(0..20).await;
    let now = moment(&stage).await;
    let again = replay(&stage, from, now + MINUTE).processor(stage.recorders(REPLAY)).build().await.unwrap();
    let running = tokio::spawn(again.run());
    tokio::time::sleep(Duration::from_secs(40)).await;
    stage.put(20..40).await;
    assert!(!running.is_finished());
    tokio::time::sleep(Duration::from_secs(22)).await;
    let summary = tokio::time::timeout(Duration::from_secs(20), running).await.unwrap().unwrap().unwrap();
    assert_exactly(&stage.log.of(REPLAY), 0..40);
    assert!(summary.finished);
}

/// Fails at one number.
struct Fails<P>(P, u32);

impl<P: RecordProcessor> RecordProcessor for Fails<P> {
    async fn process_records(&mut self, batch: &Batch, shard: &ShardContext) -> Result<(), BoxError> {
        if batch.iter().any(|record| record.data == self.1.to_string()) {
            return Err("not this one".into());
        }
        self.0.process_records(batch, shard).await
    }
}

#[tokio::test(start_paused = true)]
async fn failed_records_of_a_replay_go_to_the_dead_letters_and_the_rest_is_read() {
    let stage = Stage::with_shards(2).await;
    let from = moment(&stage).await;
    stage.put(0..40).await;
    let until = moment(&stage).await;
    let dead: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
    let (recorders, kept) = (stage.recorders(REPLAY), Arc::clone(&dead));
    let sink = sink_fn(move |letter: kcl_core::policy::DeadLetter| {
        kept.lock().unwrap().push(letter.record.data.to_vec());
        async { Ok(()) }
    });
    let again = replay(&stage, from, until)
        .error_policy(OnError::at_once(FinalAction::DeadLetter))
        .dead_letters(sink)
        .processor(move |shard: &ShardId| Fails(recorders(shard), 13));
    let summary = again.build().await.unwrap().run().await.unwrap();
    assert_eq!(*dead.lock().unwrap(), [b"13".to_vec()]);
    assert_eq!((summary.records, summary.finished), (39, true));
    assert_eq!(stage.log.of(REPLAY).len(), 39);
}

#[tokio::test(start_paused = true)]
async fn a_replay_that_is_stopped_early_reports_it() {
    let stage = Stage::with_shards(2).await;
    let from = moment(&stage).await;
    stage.put(0..40).await;
    let until = moment(&stage).await;
    let recorders = stage.recorders(REPLAY);
    let again = replay(&stage, from, until)
        .max_batch_records(1)
        .processor(move |shard: &ShardId| Slow(recorders(shard)))
        .build()
        .await
        .unwrap();
    let handle = again.handle();
    let running = tokio::spawn(again.run());
    tokio::time::sleep(Duration::from_secs(50)).await;
    handle.shutdown(Duration::from_secs(30)).await;
    let summary = running.await.unwrap().unwrap();
    assert!(!summary.finished);
    assert!((2..40).contains(&summary.records), "{summary:?}");
}

#[tokio::test(start_paused = true)]
async fn ranges_that_cannot_be_read_are_refused() {
    let stage = Stage::with_shards(1).await;
    let now = moment(&stage).await;
    let refused = async |from, until| {
        let error = replay(&stage, from, until).processor(stage.recorders(REPLAY)).build().await.unwrap_err();
        assert_eq!(error.code(), Code::Setting, "{error}");
        error.to_string()
    };
    assert!(refused(now, now - MILLISECOND).await.contains("`until`"));
    assert!(refused(now + MINUTE, now + MINUTE * 3 / 2).await.contains("in the future"));
    let day = MINUTE * 60 * 24;
    assert!(refused(now - day * 3, now - day * 2).await.contains("nothing is left to replay"));
    let no_end = Replay::builder(STREAM).sdk_config(&stage.aws.sdk_config_for("replay")).on_current_runtime();
    let error = no_end.processor(stage.recorders(REPLAY)).build().await.unwrap_err();
    assert!(error.to_string().contains("needs an end"), "{error}");
}

async fn member(stage: &Stage, application: &str, worker: &str, from: SystemTime, until: SystemTime) -> Running {
    let worker = Worker::builder(application, STREAM)
        .start(Start::at(from))
        .until(until)
        .worker_id(worker)
        .with_seed(worker.bytes().map(u64::from).sum())
        .sdk_config(&stage.aws.sdk_config_for(worker))
        .on_current_runtime()
        .processor(stage.recorders(worker))
        .build()
        .await
        .unwrap();
    let handle = worker.handle();
    Running { handle, task: tokio::spawn(worker.run()) }
}

#[tokio::test(start_paused = true)]
async fn a_fleet_with_a_table_of_its_own_reads_a_range_and_every_worker_ends_by_itself() {
    let stage = Stage::with_shards(4).await;
    stage.put(0..50).await;
    let from = moment(&stage).await;
    stage.put(50..150).await;
    split(&stage, MIDDLE_OF_THE_LOWEST_QUARTER).await;
    stage.put(150..200).await;
    let until = moment(&stage).await;
    stage.put(200..250).await;
    let a = member(&stage, "delays-again", "a", from, until + MINUTE / 2).await;
    let b = member(&stage, "delays-again", "b", from, until + MINUTE / 2).await;
    let ended = async { (a.task.await.unwrap(), b.task.await.unwrap()) };
    let (a, b) = tokio::time::timeout(Duration::from_secs(90), ended).await.unwrap();
    a.unwrap();
    b.unwrap();
    assert_exactly(&stage.log.all(), 50..250);
    stage.assert_ordered();
    assert!(!stage.log.of("a").is_empty() && !stage.log.of("b").is_empty());
    // A late worker finds the range done.
    let late = member(&stage, "delays-again", "late", from, until + MINUTE / 2).await;
    tokio::time::timeout(Duration::from_secs(20), late.task).await.unwrap().unwrap().unwrap();
    assert_exactly(&stage.log.all(), 50..250);
}

#[tokio::test(start_paused = true)]
async fn a_live_applications_table_is_refused_to_a_replay_and_a_replays_to_a_live_application() {
    let stage = Stage::with_shards(2).await;
    let from = moment(&stage).await;
    stage.put(0..20).await;
    let until = moment(&stage).await;
    stage.ran_before().await;
    let before = leases(&stage).await;
    let error = member(&stage, APPLICATION, "again", from, until).await.task.await.unwrap().unwrap_err();
    assert_eq!(error.code(), Code::OtherRange, "{error}");
    assert!(error.to_string().contains("live application's"), "{error}");
    assert_eq!(leases(&stage).await, before);

    let done = member(&stage, "delays-again", "a", from, until).await;
    tokio::time::timeout(Duration::from_secs(60), done.task).await.unwrap().unwrap().unwrap();
    let other = member(&stage, "delays-again", "b", from, until + MILLISECOND).await.task.await.unwrap().unwrap_err();
    assert!(other.to_string().contains("another replay"), "{other}");
    let live = Worker::builder("delays-again", STREAM)
        .sdk_config(&stage.aws.sdk_config_for("live"))
        .on_current_runtime()
        .processor(stage.recorders("live"));
    let error = live.build().await.unwrap().run().await.unwrap_err();
    assert_eq!(error.code(), Code::OtherRange, "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_crashed_within_a_range_is_followed_by_one_that_goes_on_where_it_was() {
    let stage = Stage::with_shards(2).await;
    let from = moment(&stage).await;
    stage.put(0..100).await;
    let until = moment(&stage).await + MINUTE;
    let first = member(&stage, "delays-again", "a", from, until).await;
    // Long enough for its checkpoints.
    tokio::time::sleep(Duration::from_secs(10)).await;
    stage.cut_off("a");
    first.task.abort_handle().abort();
    stage.put(100..150).await;
    let second = member(&stage, "delays-again", "b", from, until).await;
    tokio::time::timeout(Duration::from_secs(120), second.task).await.unwrap().unwrap().unwrap();
    assert_exactly(&stage.log.all(), 0..150);
    assert_exactly(&stage.log.of("a"), 0..100);
}

#[tokio::test(start_paused = true)]
async fn a_replay_in_a_live_fleets_table_takes_no_lease() {
    let stage = Stage::with_shards(4).await;
    let from = moment(&stage).await;
    stage.put(0..20).await;
    let until = moment(&stage).await;
    // Both read the table before either has written to it.
    let live = stage.start("live").await;
    let again = member(&stage, APPLICATION, "again", from, until).await;
    let replayed = tokio::time::timeout(Duration::from_secs(60), again.task).await;
    let replayed = replayed.expect("the replay should end by itself").unwrap();
    let live_ended = live.task.is_finished();
    // The worker that created the leases continues, and the other one ends.
    assert!(!live_ended, "the live application was there first");
    assert_eq!(replayed.unwrap_err().code(), Code::OtherRange);
    assert_eq!(stage.log.of("again"), []);
    stage.seen(20, Duration::from_secs(60)).await;
    let rows = stage.rows().await;
    assert!(rows.iter().all(|row| text(row, "checkpoint").as_deref() != Some("SHARD_END")), "{rows:?}");
    live.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_range_is_read_by_fan_out_too() {
    let stage = Stage::with_shards(2).await;
    let (from, until) = resharded(&stage).await;
    for retrieval in [Retrieval::FanOut, Retrieval::Auto] {
        let name = format!("{retrieval:?}");
        let again = replay(&stage, from, until + MINUTE / 3).retrieval(retrieval).deregister_consumer(true);
        let summary = again.processor(stage.recorders(&name)).build().await.unwrap().run().await.unwrap();
        assert_exactly(&stage.log.of(&name), 50..250);
        assert_ordered(&stage.log.of(&name));
        assert!(summary.finished);
        let arn = stage.aws.kinesis().describe_stream_summary().stream_name(STREAM).send().await.unwrap();
        let arn = arn.stream_description_summary.unwrap().stream_arn;
        let consumers = stage.aws.kinesis().list_stream_consumers().stream_arn(arn).send().await.unwrap();
        assert!(
            consumers.consumers().iter().all(|it| it.consumer_status().as_str() != "ACTIVE"),
            "the consumer was removed: {consumers:?}"
        );
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn aggregates_of_a_range_are_taken_apart() {
    let stage = Stage::with_shards(1).await;
    let packed = async |numbers: std::ops::Range<u32>| {
        let mut aggregator = Aggregator::default();
        for number in numbers {
            aggregator.add(&format!("key-{}", number % 7), None, number.to_string().as_bytes()).unwrap();
        }
        let packed = aggregator.finish().unwrap();
        let put = stage.aws.kinesis().put_record().stream_name(STREAM).partition_key("any");
        put.data(Blob::new(packed.data.to_vec())).send().await.unwrap();
    };
    packed(0..10).await;
    let from = moment(&stage).await;
    packed(10..20).await;
    packed(20..30).await;
    let until = moment(&stage).await;
    packed(30..40).await;
    let again = replay(&stage, from, until).processor(stage.recorders(REPLAY)).build().await.unwrap();
    assert_eq!(again.run().await.unwrap().records, 20);
    assert_exactly(&stage.log.of(REPLAY), 10..30);
    assert_ordered(&stage.log.of(REPLAY));
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_parks_needs_somebody_who_tries_again() {
    let stage = Stage::with_shards(1).await;
    let until = moment(&stage).await;
    let parks = || replay(&stage, until - MINUTE / 60, until).error_policy(OnError::at_once(FinalAction::Quarantine));
    let error = parks().processor(stage.recorders(REPLAY)).build().await.unwrap_err();
    assert!(error.to_string().contains("`quarantine_retry`"), "{error}");
    let retried = parks().quarantine_retry(Duration::from_secs(5)).processor(stage.recorders(REPLAY));
    assert!(retried.build().await.unwrap().run().await.unwrap().finished);
}
