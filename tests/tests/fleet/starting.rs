//! How a fleet starts: it creates its table, claims leases, and reads from the right positions.

use crate::stage::{APPLICATION, STREAM, Stage, text};
use kcl_core::lease::MemoryStore;
use kcl_core::{Code, Settings, Start, Worker};
use kcl_local::{Fault, Service};
use std::sync::Arc;
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn one_worker_reads_everything_from_the_oldest_record_on() {
    let stage = Stage::with_shards(4).await;
    stage.put(0..100).await;
    let worker = stage.start("a").await;
    stage.put(100..200).await;
    stage.seen(200, Duration::from_secs(5)).await;
    worker.stop().await.unwrap();
    stage.assert_all_seen(0);
    stage.assert_ordered();
}

#[tokio::test(start_paused = true)]
async fn a_worker_with_a_store_in_memory_needs_no_lease_table() {
    let stage = Stage::with_shards(2).await;
    stage.put(0..10).await;
    stage.aws.reset_calls();
    let worker = Worker::builder(APPLICATION, STREAM)
        .worker_id("a")
        .with_seed(7)
        .sdk_config(&stage.aws.sdk_config_for("a"))
        .with_store(Arc::new(MemoryStore::default()))
        .on_current_runtime()
        .processor(stage.recorders("a"))
        .build()
        .await
        .unwrap();
    let handle = worker.handle();
    let running = tokio::spawn(worker.run());
    stage.seen(10, Duration::from_secs(5)).await;
    handle.shutdown(Duration::from_secs(5)).await;
    running.await.unwrap().unwrap();
    assert_eq!(stage.aws.calls().total(Service::DynamoDb), 0);
}

#[tokio::test(start_paused = true)]
async fn a_restart_goes_on_where_the_last_run_stopped() {
    let stage = Stage::with_shards(2).await;
    stage.put(0..50).await;
    let worker = stage.start("a").await;
    stage.seen(50, Duration::from_secs(5)).await;
    worker.stop().await.unwrap();
    stage.put(50..80).await;
    let worker = stage.start("b").await;
    stage.seen(80, Duration::from_secs(5)).await;
    worker.stop().await.unwrap();
    stage.assert_all_seen(0);
}

#[tokio::test(start_paused = true)]
async fn latest_means_the_first_start_also_after_a_restart() {
    let stage = Stage::with_shards(2).await;
    stage.put(0..20).await;
    let old: Vec<String> = stage.put.lock().unwrap().iter().cloned().collect();
    tokio::time::sleep(Duration::from_secs(60)).await;
    let latest = Settings::default().start(Start::Latest);
    let worker = stage.start_with("a", latest.clone(), Duration::ZERO).await;
    stage.shared(&[("a", 2)], Duration::from_secs(5)).await;
    worker.stop().await.unwrap();
    assert_eq!(stage.log.count(), 0);

    // No worker runs and nothing is checkpointed: records that arrive now must not be lost.
    stage.put(20..40).await;
    let worker = stage.start_with("b", latest, Duration::ZERO).await;
    stage.seen(20, Duration::from_secs(5)).await;
    worker.stop().await.unwrap();
    stage.put.lock().unwrap().retain(|sequence| !old.contains(sequence));
    stage.assert_all_seen(0);
}

#[tokio::test(start_paused = true)]
async fn a_table_of_another_stream_is_refused() {
    let stage = Stage::with_shards(1).await;
    stage.ran_before().await;
    stage.aws.kinesis().delete_stream().stream_name(STREAM).send().await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    stage.aws.kinesis().create_stream().stream_name(STREAM).shard_count(1).send().await.unwrap();
    let error = stage.start("a").await.task.await.unwrap().unwrap_err();
    assert_eq!(error.code(), Code::OtherStream, "{error}");
    assert!(error.to_string().contains(APPLICATION), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_java_table_is_continued_unless_its_stream_was_made_again() {
    let stage = Stage::with_shards(1).await;
    stage.put(0..10).await;
    stage.ran_before().await;
    stage.seen(10, Duration::from_secs(5)).await;
    as_java_created_them(&stage).await;
    stage.put(10..20).await;
    let worker = stage.start("a").await;
    stage.seen(20, Duration::from_secs(5)).await;
    worker.stop().await.unwrap();
    stage.assert_all_seen(0);
    for row in stage.rows().await {
        assert!(text(&row, "kclStream").is_some(), "a claim marks the row: {row:?}");
    }

    as_java_created_them(&stage).await;
    stage.aws.kinesis().delete_stream().stream_name(STREAM).send().await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    stage.aws.kinesis().create_stream().stream_name(STREAM).shard_count(1).send().await.unwrap();
    let before = stage.rows().await;
    let error = stage.start("b").await.task.await.unwrap().unwrap_err();
    assert_eq!(error.code(), Code::OtherStream, "{error}");
    for part in [APPLICATION, "shardId-000000000000", "delete the table"] {
        assert!(error.to_string().contains(part), "{part}: {error}");
    }
    assert_eq!(stage.rows().await, before, "nothing was written");
}

/// Unowned leases with their checkpoints, without attributes that Java does not know.
async fn as_java_created_them(stage: &Stage) {
    for row in stage.rows().await {
        let key = text(&row, "leaseKey").unwrap();
        let update = stage.aws.dynamodb().update_item().table_name(APPLICATION);
        let update = update.key("leaseKey", aws_sdk_dynamodb::types::AttributeValue::S(key));
        update.update_expression("REMOVE kclStream, kclCounter, kclSession, kclStart").send().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn impossible_settings_are_refused_before_anything_is_asked() {
    let stage = Stage::with_shards(1).await;
    stage.aws.reset_calls();
    let settings = Settings::default().heartbeat_interval(Duration::from_secs(30));
    let error = stage.build("a", settings, Duration::ZERO).await.unwrap_err();
    assert_eq!(error.code(), Code::Setting, "{error}");
    assert_eq!(stage.aws.calls().iter().count(), 0);
}

#[tokio::test(start_paused = true)]
async fn leases_that_java_left_are_claimed_once_they_are_stale() {
    let stage = Stage::with_shards(2).await;
    stage.ran_before().await;
    stage.put(0..10).await;
    java_writes(&stage, "java-1", 7).await;

    let began = tokio::time::Instant::now();
    let worker = stage.start("b").await;
    stage.seen(10, Duration::from_secs(30)).await;
    assert!(began.elapsed() >= Duration::from_secs(20), "it waited for Java's failover time");
    worker.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_table_that_java_is_writing_is_refused_with_the_owners_name() {
    let stage = Stage::with_shards(2).await;
    stage.ran_before().await;
    stage.put(0..10).await;
    java_writes(&stage, "java-1", 7).await;
    let worker = stage.start("b").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    java_writes(&stage, "java-1", 8).await;
    let error = worker.task.await.unwrap().unwrap_err();
    assert_eq!(error.code(), Code::TableInUse, "{error}");
    assert!(error.to_string().contains("java-1"), "{error}");
}

/// Renews like a Java worker: owner and counter, and no attribute of ours.
async fn java_writes(stage: &Stage, owner: &str, counter: u64) {
    for row in stage.rows().await {
        let key = text(&row, "leaseKey").unwrap();
        stage
            .aws
            .dynamodb()
            .update_item()
            .table_name(APPLICATION)
            .key("leaseKey", aws_sdk_dynamodb::types::AttributeValue::S(key))
            .update_expression("SET leaseOwner = :o, leaseCounter = :n, checkpoint = :c")
            .expression_attribute_values(":o", aws_sdk_dynamodb::types::AttributeValue::S(owner.into()))
            .expression_attribute_values(":n", aws_sdk_dynamodb::types::AttributeValue::N(counter.to_string()))
            .expression_attribute_values(":c", aws_sdk_dynamodb::types::AttributeValue::S("TRIM_HORIZON".into()))
            .send()
            .await
            .unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_missing_permission_ends_the_start_within_seconds_with_the_actions_name() {
    for operation in ["Scan", "PutItem", "UpdateItem", "GetItem", "ListShards"] {
        let stage = Stage::with_shards(2).await;
        stage.aws.faults().rule(move |call| {
            let denied = call.caller.is_some() && call.operation == operation;
            denied.then(|| Fault::Error("AccessDeniedException".to_owned()))
        });
        let began = tokio::time::Instant::now();
        let error = match stage.build("a", Settings::default(), Duration::ZERO).await {
            Err(error) => error,
            Ok(worker) => {
                let Ok(ended) = tokio::time::timeout(Duration::from_secs(60), worker.run()).await else {
                    panic!("{operation}: it runs on")
                };
                ended.unwrap_err()
            }
        };
        assert_eq!(error.code(), Code::Permission, "{operation}: {error}");
        assert!(error.to_string().contains(operation), "{operation}: {error}");
        assert!(began.elapsed() < Duration::from_secs(12), "{operation}: after {:?}", began.elapsed());
    }
}
