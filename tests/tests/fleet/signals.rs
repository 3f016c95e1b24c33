//! The logs and metrics of a fleet.

use crate::stage::{Running, STREAM, Stage};
use kcl_core::prelude::*;
use kcl_local::Fault;
use kcl_tests::metered::Metered;
use kcl_tests::said::Said;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;
use tracing::Level;

const HOUR: Duration = Duration::from_secs(3_600);

/// Fails, hangs or succeeds, as configured.
struct Told(Arc<AtomicU32>);

const SUCCEEDS: u32 = 0;
const FAILS: u32 = 1;
const HANGS: u32 = 2;

impl RecordProcessor for Told {
    async fn process_records(&mut self, _: &Batch, _: &ShardContext) -> Result<(), BoxError> {
        tracing::info!("the handler says something");
        match self.0.load(Ordering::Relaxed) {
            FAILS => Err("told to fail".into()),
            HANGS => std::future::pending().await,
            _ => Ok(()),
        }
    }
}

/// A worker of this application with such handlers.
async fn told(stage: &Stage, application: &str, how: &Arc<AtomicU32>) -> Running {
    let how = Arc::clone(how);
    let worker = Worker::builder(application, STREAM)
        .worker_id(application)
        .with_seed(7)
        .sdk_config(&stage.aws.sdk_config_for(application))
        .on_current_runtime()
        .processor(move |_| Told(Arc::clone(&how)))
        .build()
        .await
        .unwrap();
    let handle = worker.handle();
    Running { handle, task: tokio::spawn(worker.run()) }
}

#[tokio::test(start_paused = true)]
async fn lag_rises_while_a_shard_is_not_read_or_not_handled_and_is_near_nothing_on_an_idle_one() {
    let metered = Metered::default();
    let _metered = metrics::set_default_local_recorder(&metered);
    let lag = |stream: &str| metered.value("kcl.shard.behind.seconds", stream);
    for trouble in [FAILS, HANGS, SUCCEEDS] {
        let stage = Stage::with_shards(1).await;
        let how = Arc::new(AtomicU32::new(SUCCEEDS));
        let application = format!("delays-{trouble}");
        let worker = told(&stage, &application, &how).await;
        stage.put(0..10).await;
        tokio::time::sleep(Duration::from_secs(30)).await;
        let caught_up = lag(&application);
        assert!(caught_up < 2.0, "{trouble}: {caught_up} s behind, and idle");
        how.store(trouble, Ordering::Relaxed);
        let reads_fail = Arc::new(AtomicBool::new(trouble == SUCCEEDS));
        let failing = Arc::clone(&reads_fail);
        stage.aws.faults().rule(move |call| {
            let fails = call.operation == "GetRecords" && failing.load(Ordering::Relaxed);
            fails.then(|| Fault::Error("InternalServerError".to_owned()))
        });
        stage.put(10..20).await;
        tokio::time::sleep(Duration::from_secs(65)).await;
        let behind = lag(&application);
        assert!((58.0..=70.0).contains(&behind), "{trouble}: {behind} s behind after 65 s");
        let unacknowledged = metered.value("kcl.shard.unacknowledged.seconds", &application);
        assert_eq!(unacknowledged > 50.0, trouble != SUCCEEDS, "{unacknowledged}");
        reads_fail.store(false, Ordering::Relaxed);
        worker.handle.shutdown(Duration::from_secs(1)).await;
        assert_eq!(lag(&application), 0.0, "the series ends with the worker");
        assert_eq!(metered.value("kcl.leases.held", &application), 0.0);
    }
}

#[tokio::test(start_paused = true)]
async fn logs_and_metrics_distinguish_two_workers_of_one_process() {
    let (said, metered) = (Said::default(), Metered::default());
    let _captured = tracing::subscriber::set_default(said.at_least(Level::INFO));
    let _metered = metrics::set_default_local_recorder(&metered);
    let stage = Stage::with_shards(4).await;
    let how = Arc::new(AtomicU32::new(SUCCEEDS));
    let (one, two) = (told(&stage, "one", &how).await, told(&stage, "two", &how).await);
    stage.put(0..20).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    let held = |worker: &str| {
        metered.value("kcl.leases.held", &format!("application={worker},worker={worker},stream={STREAM}"))
    };
    assert_eq!((held("one"), held("two")), (4.0, 4.0));
    one.stop().await.unwrap();
    assert_eq!((held("one"), held("two")), (0.0, 4.0));
    two.stop().await.unwrap();
    let said = said.text();
    let lines = |says: &str| -> Vec<&str> { said.lines().filter(|line| line.contains(says)).collect() };
    let of_handlers = lines("the handler says something");
    assert!(!of_handlers.is_empty());
    for line in of_handlers {
        for part in ["process_records{", "application=", "worker=", "stream=", "shard=shardId-"] {
            assert!(line.contains(part), "{part}: {line}");
        }
    }
    for worker in ["one", "two"] {
        let of = |says: &str| lines(says).into_iter().filter(|line| line.contains(&format!("worker={worker}"))).count();
        assert_eq!((of("worker started"), of("worker ended"), of("lease acquired")), (1, 1, 4), "{said}");
    }
    let started = lines("worker started");
    assert!(started.iter().all(|line| line.contains("version=") && line.contains("failover_time=10s")), "{started:?}");
    assert_eq!(lines("consumer started").len() + lines("lease released").len(), 0, "a move is one line");
}

#[tokio::test(start_paused = true)]
async fn a_start_setting_without_effect_is_reported_once() {
    let said = Said::default();
    let stage = Stage::with_shards(1).await;
    let running = stage.start("a").await;
    stage.put(0..3).await;
    stage.seen(3, Duration::from_secs(5)).await;
    let _captured = tracing::subscriber::set_default(said.at_least(Level::WARN));
    let other =
        stage.start_with("b", Settings::default().start(Start::at(std::time::UNIX_EPOCH)), Duration::ZERO).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let said = said.text();
    let ignored: Vec<&str> = said.lines().filter(|line| line.contains("`start` is ignored")).collect();
    assert_eq!(ignored.len(), 1, "{said}");
    assert!(ignored[0].contains("AT_TIMESTAMP(0)") && ignored[0].contains("TRIM_HORIZON"), "{ignored:?}");
    other.stop().await.unwrap();
    running.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn records_that_retention_ended_before_they_were_read_are_not_gone_without_a_word() {
    let (said, metered) = (Said::default(), Metered::default());
    let _captured = tracing::subscriber::set_default(said.at_least(Level::WARN));
    let _metered = metrics::set_default_local_recorder(&metered);
    let stage = Stage::with_shards(1).await;
    let kinesis = stage.aws.kinesis();
    kinesis.increase_stream_retention_period().stream_name(STREAM).retention_period_hours(168).send().await.unwrap();
    let how = Arc::new(AtomicU32::new(SUCCEEDS));
    let worker = told(&stage, "delays", &how).await;
    stage.put(0..5).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    how.store(HANGS, Ordering::Relaxed);
    for number in 5..40 {
        stage.put(number..number + 1).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    tokio::time::advance(100 * HOUR).await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert!(metered.of("kcl.retention.near.total").is_empty(), "100 h of 168 h: {}", said.text());
    kinesis.decrease_stream_retention_period().stream_name(STREAM).retention_period_hours(24).send().await.unwrap();
    // The worker reads the new retention, and that its shard is further behind.
    tokio::time::sleep(Duration::from_secs(900)).await;
    let near: f64 = metered.of("kcl.retention.near.total").values().sum();
    assert!(near >= 1.0 && said.text().contains("the stream's retention will end records"), "{}", said.text());
    stage.put(40..43).await;
    how.store(SUCCEEDS, Ordering::Relaxed);
    worker.handle.shutdown(Duration::from_secs(1)).await;
    let next = told(&stage, "delays", &how).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let expired: f64 = metered.of("kcl.retention.expired.total").values().sum();
    let said = said.text();
    assert!(expired >= 1.0, "{said}");
    assert!(
        said.contains("records lost") || said.contains("checkpoint is older than the stream's retention"),
        "{said}"
    );
    next.stop().await.unwrap();
}
