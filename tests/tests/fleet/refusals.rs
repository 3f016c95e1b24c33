//! Reads that Kinesis refuses or does not answer are an outage: all workers and all shards wait for
//! its end.

use crate::stage::{APPLICATION, Running, STREAM, Stage, text};
use aws_sdk_dynamodb::types::AttributeValue;
use kcl_core::{Code, FinalAction, OnError, Retrieval, Settings, Worker};
use kcl_local::{Fault, Service};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Reading resumes within this time after the end of an outage.
const HEALS: Duration = Duration::from_secs(5);
const SOON: Duration = Duration::from_secs(20);

const REFUSALS: [&str; 11] = [
    "AccessDeniedException",
    "ExpiredTokenException",
    "InvalidSignatureException",
    "UnrecognizedClientException",
    "KMSDisabledException",
    "KMSInvalidStateException",
    "KMSAccessDeniedException",
    "KMSNotFoundException",
    "KMSOptInRequired",
    "ValidationException",
    "InvalidArgumentException",
];

/// Switches a fault of all reads of workers on and off.
#[derive(Clone, Default)]
struct Outage(Arc<AtomicBool>);

impl Outage {
    /// Applies these faults in turn; to one worker only, if it is named.
    fn of(stage: &Stage, faults: &[Fault], only: Option<&'static str>) -> Outage {
        let outage = Outage::default();
        let (lasts, mut faults) = (Arc::clone(&outage.0), Vec::from(faults).into_iter().cycle());
        stage.aws.faults().rule(move |call| {
            let reads = matches!(call.operation, "GetRecords" | "GetShardIterator" | "SubscribeToShard");
            let theirs = call.caller.is_some_and(|caller| only.is_none_or(|only| only == caller));
            let fails = reads && theirs && call.service == Service::Kinesis && lasts.load(Ordering::Relaxed);
            fails.then(|| faults.next()).flatten()
        });
        outage
    }

    fn begin(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn end(&self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

async fn fleet(stage: &Stage, workers: usize, settings: &Settings) -> Vec<Running> {
    let mut fleet = Vec::new();
    for n in 0..workers {
        fleet.push(stage.start_with(&format!("w{n}"), settings.clone(), Duration::ZERO).await);
    }
    fleet
}

/// This many workers on four shards, whose reads fail for this time: no worker ends, and every
/// record is read once, soon after.
async fn outlives(faults: &[Fault], lasts: Duration, workers: usize, retrieval: Retrieval) {
    let what = format!("{faults:?} for {lasts:?}, {workers} workers, {retrieval:?}");
    let stage = Stage::with_shards(4).await;
    let fleet = fleet(&stage, workers, &Settings::default().retrieval(retrieval)).await;
    stage.put(0..40).await;
    stage.seen(40, SOON).await;
    sleep(Duration::from_secs(5)).await;
    let outage = Outage::of(&stage, faults, None);
    outage.begin();
    sleep(lasts / 2).await;
    stage.put(40..80).await;
    sleep(lasts / 2).await;
    outage.end();
    let ended = Instant::now();
    stage.put(80..100).await;
    stage.seen(100, HEALS).await;
    assert!(ended.elapsed() <= HEALS, "{what}: after {:?}", ended.elapsed());
    for worker in fleet {
        assert!(!worker.task.is_finished(), "{what}: a worker has ended");
        worker.stop().await.unwrap();
    }
    stage.assert_all_seen(0);
}

#[tokio::test(start_paused = true)]
async fn refused_reads_end_no_worker_and_resume_within_seconds_whatever_the_error() {
    for name in REFUSALS {
        outlives(&[Fault::Error(name.to_owned())], Duration::from_secs(8), 2, Retrieval::Polling).await;
    }
}

#[tokio::test(start_paused = true)]
async fn refused_reads_of_a_few_seconds_end_none_of_many_workers() {
    for seconds in [2, 3, 4, 60] {
        let denied = Fault::Error("AccessDeniedException".to_owned());
        outlives(&[denied], Duration::from_secs(seconds), 8, Retrieval::Polling).await;
    }
}

const QUARTER_OF_AN_HOUR: Duration = Duration::from_secs(900);

#[tokio::test(start_paused = true)]
async fn a_quarter_of_an_hour_without_an_answer_is_waited_out() {
    outlives(&[Fault::LostRequest], QUARTER_OF_AN_HOUR, 2, Retrieval::Polling).await;
}

#[tokio::test(start_paused = true)]
async fn a_quarter_of_an_hour_of_the_services_own_errors_is_waited_out() {
    let errors = ["InternalFailure", "ServiceUnavailable"].map(|name| Fault::Error(name.to_owned()));
    outlives(&errors, QUARTER_OF_AN_HOUR, 2, Retrieval::Polling).await;
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_waited_out_where_records_are_pushed_or_else_polled() {
    for fault in [Fault::Error("AccessDeniedException".to_owned()), Fault::LostRequest] {
        outlives(&[fault], Duration::from_secs(330), 2, Retrieval::Auto).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_waited_out_where_records_are_pushed_only() {
    for fault in [Fault::Error("AccessDeniedException".to_owned()), Fault::LostRequest] {
        outlives(&[fault], Duration::from_secs(330), 2, Retrieval::FanOut).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_may_not_read_leaves_its_shards_to_the_others() {
    let stage = Stage::with_shards(4).await;
    let fleet = fleet(&stage, 2, &Settings::default()).await;
    stage.shared(&[("w0", 2), ("w1", 2)], SOON).await;
    let denied = Fault::Error("AccessDeniedException".to_owned());
    Outage::of(&stage, &[denied], Some("w1")).begin();
    stage.put(0..40).await;
    stage.seen(40, Duration::from_secs(150)).await;
    // It is assigned leases again now and then, and gives them up at once.
    let mut longest = Duration::ZERO;
    for number in 40..60 {
        let put = Instant::now();
        stage.put(number..number + 1).await;
        stage.seen(number as usize + 1, Duration::from_secs(60)).await;
        longest = longest.max(put.elapsed());
        sleep(Duration::from_secs(15)).await;
    }
    assert!(longest <= Duration::from_secs(30), "{longest:?}");
    for worker in fleet {
        assert!(!worker.task.is_finished());
        worker.stop().await.unwrap();
    }
    stage.assert_all_seen(0);
}

#[tokio::test(start_paused = true)]
async fn a_worker_ends_for_refused_reads_if_its_policy_demands_it_with_a_code_of_its_own() {
    let stage = Stage::with_shards(1).await;
    let policy = OnError::retry().when_unreadable(Duration::from_secs(60), FinalAction::StopWorker);
    let worker = Worker::builder(APPLICATION, STREAM)
        .worker_id("a")
        .sdk_config(&stage.aws.sdk_config_for("a"))
        .on_current_runtime()
        .error_policy(policy)
        .processor(stage.recorders("a"))
        .build()
        .await
        .unwrap();
    let running = tokio::spawn(worker.run());
    stage.put(0..5).await;
    stage.seen(5, SOON).await;
    Outage::of(&stage, &[Fault::Error("KMSDisabledException".to_owned())], None).begin();
    let began = Instant::now();
    let error = running.await.unwrap().unwrap_err();
    assert_eq!(error.code(), Code::CannotRead, "{error}");
    assert!(error.to_string().contains("KMSDisabledException"), "{error}");
    assert!(began.elapsed() >= Duration::from_secs(60), "{:?}", began.elapsed());
}

// --- one lease whose position is refused

const BAD: &str = "shardId-000000000000";

/// Edits the checkpoint, like a person with a text editor.
async fn set_checkpoint(stage: &Stage, lease: &str, checkpoint: &str) {
    let update = stage.aws.dynamodb().update_item().table_name(APPLICATION);
    update
        .key("leaseKey", AttributeValue::S(lease.into()))
        .update_expression("SET checkpoint = :c")
        .expression_attribute_values(":c", AttributeValue::S(checkpoint.into()))
        .send()
        .await
        .unwrap();
}

async fn checkpoint_of(stage: &Stage, lease: &str) -> String {
    let row = stage.rows().await.into_iter().find(|row| text(row, "leaseKey").as_deref() == Some(lease));
    text(&row.unwrap(), "checkpoint").unwrap()
}

/// Records the owners of the lease, in order, for this time.
async fn owners_within(stage: &Stage, lease: &str, time: Duration) -> Vec<String> {
    let (until, mut owners) = (Instant::now() + time, Vec::<String>::new());
    while Instant::now() < until {
        let owner = stage.owners().await.remove(lease).flatten();
        owners.extend(owner.filter(|owner| owners.last() != Some(owner)));
        sleep(Duration::from_secs(2)).await;
    }
    owners
}

/// The number of records of that shard that were seen.
fn seen_of(stage: &Stage, shard: &str) -> usize {
    stage.log.all().iter().filter(|seen| seen.shard == shard).count()
}

/// Puts these records; those in other shards are seen soon, and none of the unreadable shard's.
async fn healthy_shards_are_read(stage: &Stage, numbers: std::ops::Range<u32>) {
    stage.put(numbers).await;
    let (put, of_bad) = (stage.put.lock().unwrap().len(), seen_of(stage, BAD));
    let elsewhere = put - stage.in_shard(BAD).await;
    stage.seen(elsewhere + of_bad, SOON).await;
    assert_eq!((stage.log.count(), seen_of(stage, BAD)), (elsewhere + of_bad, of_bad));
}

async fn stands_alone(bad: &str) {
    let stage = Stage::with_shards(4).await;
    stage.put(0..40).await;
    let first = stage.start("before").await;
    stage.seen(40, SOON).await;
    first.stop().await.unwrap();
    let bad = match bad {
        "another shard's" => checkpoint_of(&stage, "shardId-000000000001").await,
        other => other.to_owned(),
    };
    set_checkpoint(&stage, BAD, &bad).await;
    let fleet = fleet(&stage, 3, &Settings::default()).await;
    healthy_shards_are_read(&stage, 40..80).await;
    let owners = owners_within(&stage, BAD, Duration::from_secs(240)).await;
    assert!((1..=3).contains(&owners.len()), "{bad}: one after the other it had {owners:?}");
    assert!(stage.owners().await[BAD].is_some(), "{bad}: it rests with an owner, who tries again");
    let shares = stage.shares().await;
    assert!(shares.len() == 3 && shares.values().all(|share| (1..=2).contains(share)), "{bad}: {shares:?}");
    healthy_shards_are_read(&stage, 80..120).await;
    for worker in &fleet {
        assert!(!worker.task.is_finished(), "{bad}: a worker has ended");
    }
    // The corrected position in the row is found.
    let repeated = seen_of(&stage, BAD);
    set_checkpoint(&stage, BAD, "TRIM_HORIZON").await;
    stage.seen(120 + repeated, Duration::from_secs(100)).await;
    for worker in fleet {
        worker.stop().await.unwrap();
    }
    stage.assert_all_seen(repeated);
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_of_another_shard_affects_its_lease_only() {
    stands_alone("another shard's").await;
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_that_is_no_position_affects_its_lease_only() {
    stands_alone("1234").await;
}
