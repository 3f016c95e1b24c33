//! Starting positions of shards that were never read.

use crate::stage::{STREAM, Stage, text};
use kcl_core::prelude::*;
use kcl_core::{Code, Settings, Start, StreamConfig};
use kcl_local::Fault;
use kcl_tests::said::Said;
use std::time::{Duration, UNIX_EPOCH};
use tracing::Level;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

/// The service's clock.
fn now_ms(stage: &Stage) -> i64 {
    i64::try_from(stage.aws.now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

fn ahead(stage: &Stage, by: Duration) -> Settings {
    Settings::default().start(Start::at(stage.aws.now() + by))
}

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

#[tokio::test(start_paused = true)]
async fn a_start_ahead_of_the_services_clock_is_waited_for() {
    for by in [Duration::from_secs(30), HOUR] {
        let said = Said::default();
        let _captured = tracing::subscriber::set_default(said.at_least(Level::WARN));
        let stage = Stage::with_shards(2).await;
        let a = stage.start_with("a", ahead(&stage, by), Duration::ZERO).await;
        let b = stage.start_with("b", ahead(&stage, by), Duration::ZERO).await;
        stage.put(0..10).await;
        tokio::time::sleep(by.saturating_sub(Duration::from_secs(5))).await;
        assert!(!a.task.is_finished() && !b.task.is_finished());
        assert_eq!((stage.log.count(), stage.owners().await.len()), (0, 0));
        tokio::time::sleep(Duration::from_secs(10)).await;
        let before: Vec<String> = stage.put.lock().unwrap().iter().cloned().collect();
        stage.put(10..20).await;
        stage.seen(10, Duration::from_secs(10)).await;
        stage.put.lock().unwrap().retain(|sequence| !before.contains(sequence));
        stage.assert_all_seen(0);
        a.stop().await.unwrap();
        b.stop().await.unwrap();
        let said = said.text();
        let lines = said.lines().filter(|line| line.contains("`start` lies ahead of the service's clock")).count();
        let minutes = usize::try_from(by.as_secs() / 60).unwrap();
        assert!((minutes.max(1)..=minutes + 1).contains(&lines), "{lines} lines in {by:?}: {said}");
        assert_eq!(said.lines().count(), lines, "{said}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_start_far_ahead_of_the_services_clock_is_refused_at_build_whatever_the_machines_clock_says() {
    let stage = Stage::with_shards(1).await;
    let refused = |error: kcl_core::Error| {
        assert_eq!(error.code(), Code::Setting, "{error}");
        error.to_string()
    };
    let zone = refused(stage.build("a", ahead(&stage, 2 * HOUR), Duration::ZERO).await.unwrap_err());
    assert!(zone.contains("`start`") && zone.contains("a local time that was written as UTC"), "{zone}");
    let date = refused(stage.build("a", ahead(&stage, 9_000 * HOUR), Duration::ZERO).await.unwrap_err());
    assert!(date.contains("another date that was meant"), "{date}");
    let several = async |start| {
        let stream = StreamConfig::new(STREAM, |_| Nothing).start(start);
        let builder = Worker::of_streams("several").stream(stream).sdk_config(&stage.aws.sdk_config_for("s"));
        builder.on_current_runtime().build().await.map(drop)
    };
    let far = refused(several(Start::at(stage.aws.now() + 2 * HOUR)).await.unwrap_err());
    assert!(far.contains("ahead of the service's clock"), "{far}");
    let unit = refused(
        several(Start::at(UNIX_EPOCH + stage.aws.now().duration_since(UNIX_EPOCH).unwrap() / 1_000)).await.unwrap_err(),
    );
    assert!(unit.contains("looks like seconds"), "{unit}");
}

struct Nothing;

impl RecordProcessor for Nothing {
    async fn process_records(&mut self, _: &Batch, _: &ShardContext) -> Result<(), BoxError> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_start_that_was_refused_does_not_outlive_its_correction_also_after_a_crash() {
    let stage = Stage::with_shards(2).await;
    stage.put(0..10).await;
    // Pinned ahead, as a version did that pinned a start before the service had taken it; and a worker that crashed.
    let mistaken = stage.start_with("a", ahead(&stage, HOUR / 2), Duration::ZERO).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    stage.cut_off("a");
    drop(mistaken);
    let update = stage.aws.dynamodb().update_item().table_name(crate::stage::APPLICATION);
    let update = update.key("leaseKey", aws_sdk_dynamodb::types::AttributeValue::S("fleet".into()));
    let later = (now_ms(&stage) + 86_400_000).to_string();
    let update = update.update_expression("SET #s = :s, startAt = :at").expression_attribute_names("#s", "start");
    let update =
        update.expression_attribute_values(":s", aws_sdk_dynamodb::types::AttributeValue::S("AT_TIMESTAMP".into()));
    let update = update.expression_attribute_values(":at", aws_sdk_dynamodb::types::AttributeValue::N(later));
    update.send().await.unwrap();

    let corrected = stage.start("b").await;
    stage.seen(10, Duration::from_secs(30)).await;
    corrected.stop().await.unwrap();
    stage.assert_all_seen(0);
}

#[tokio::test(start_paused = true)]
async fn a_mistaken_start_is_corrected_until_a_record_was_read_from_it() {
    let stage = Stage::with_shards(2).await;
    stage.put(0..10).await;
    tokio::time::sleep(MINUTE).await;
    let latest = || Settings::default().start(Start::Latest);
    let mistaken = stage.start_with("a", latest(), Duration::ZERO).await;
    stage.shared(&[("a", 2)], Duration::from_secs(5)).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    stage.cut_off("a");
    drop(mistaken);

    // Everything that the first worker wrote is still there, its session too.
    let corrected = stage.start("b").await;
    stage.seen(10, Duration::from_secs(30)).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    stage.cut_off("b");
    drop(corrected);

    // Records were read: no other start counts any more.
    stage.put(10..20).await;
    let third = stage.start_with("c", latest(), Duration::ZERO).await;
    stage.seen(20, Duration::from_secs(30)).await;
    third.stop().await.unwrap();
    stage.assert_all_seen(0);
}

#[tokio::test(start_paused = true)]
async fn a_worker_with_another_start_changes_nothing_while_one_is_alive_that_began() {
    let stage = Stage::with_shards(2).await;
    stage.put(0..10).await;
    tokio::time::sleep(MINUTE).await;
    let first = stage.start_with("a", Settings::default().start(Start::Latest), Duration::ZERO).await;
    stage.shared(&[("a", 2)], Duration::from_secs(5)).await;
    let other = stage.start("b").await;
    stage.shared(&[("a", 1), ("b", 1)], Duration::from_secs(30)).await;
    let before: Vec<String> = stage.put.lock().unwrap().iter().cloned().collect();
    stage.put(10..20).await;
    stage.seen(10, Duration::from_secs(10)).await;
    stage.put.lock().unwrap().retain(|sequence| !before.contains(sequence));
    stage.assert_all_seen(0);
    first.stop().await.unwrap();
    other.stop().await.unwrap();
}
