//! Tests the `kcl handback` command as a process, on the table of a crashed fleet.

#![cfg(test)]

use std::process::Command;
use std::time::Duration;

use kcl_core::prelude::*;
use kcl_local::{LocalAws, Service};

struct Discard;

impl RecordProcessor for Discard {
    async fn process_records(&mut self, _: &Batch, _: &ShardContext) -> Result<(), BoxError> {
        Ok(())
    }
}

/// Runs a worker until it owns both leases, then drops its runtime: as after a crash, no lease is
/// released.
async fn crashed_fleet(aws: &LocalAws) {
    aws.kinesis().create_stream().stream_name("clicks").shard_count(2).send().await.unwrap();
    let config = aws.sdk_config();
    // The worker has a runtime of its own, because dropping a runtime stops all of its tasks at
    // once.
    let crashed = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let settings = Settings::default()
                .failover_time(Duration::from_secs(2))
                .fleet_poll_interval(Duration::from_millis(100));
            let builder = Worker::builder("delays", "clicks").settings(settings).worker_id("ann").sdk_config(&config);
            let worker = builder.on_current_runtime().processor(|_| Discard).build().await.unwrap();
            let dynamodb = aws_sdk_dynamodb::Client::new(&config);
            let held = async {
                loop {
                    let rows = dynamodb.scan().table_name("delays").send().await.unwrap().items.unwrap_or_default();
                    if rows.iter().filter(|row| row.contains_key("leaseOwner")).count() == 2 {
                        return;
                    }
                    tokio::task::yield_now().await;
                }
            };
            tokio::select! {
                outcome = worker.run() => panic!("{outcome:?}"),
                () = held => {}
            }
        });
        runtime.shutdown_background();
    });
    crashed.await.unwrap();
}

async fn kcl(aws: &LocalAws, arguments: &[&str]) -> (bool, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kcl"));
    command.arg("handback").args(arguments);
    command.env("AWS_ENDPOINT_URL", aws.endpoint(Service::DynamoDb)).env("AWS_REGION", "us-east-1");
    command.env("AWS_ACCESS_KEY_ID", "local").env("AWS_SECRET_ACCESS_KEY", "local");
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handback_turns_the_table_of_a_crashed_fleet_into_a_plain_table() {
    let aws = LocalAws::start().await.unwrap();
    crashed_fleet(&aws).await;
    let (success, output, _) = kcl(&aws, &["delays", "--failover-time", "2s", "--dry-run"]).await;
    assert!(success && output.contains("leases to release") && output.contains("Nothing was changed."), "{output}");
    let (success, output, progress) = kcl(&aws, &["delays", "--failover-time", "2s"]).await;
    assert!(
        success && output.contains("shardId-000000000001 (ann)") && output.contains("session/ann"),
        "{output}{progress}"
    );
    assert!(progress.contains("for a heartbeat of ann"), "{progress}");
    let rows = aws.dynamodb().scan().table_name("delays").send().await.unwrap().items.unwrap();
    let kinds: Vec<&str> = rows.iter().map(|row| row["entityType"].as_s().unwrap().as_str()).collect();
    assert_eq!(kinds, ["LEASE", "LEASE"]);
    assert!(rows.iter().all(|row| !row.contains_key("leaseOwner") && !row.contains_key("kclSession")), "{rows:?}");
    aws.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_error_names_a_table_that_does_not_exist() {
    let aws = LocalAws::start().await.unwrap();
    let (success, _, error) = kcl(&aws, &["nowhere"]).await;
    assert!(!success && error.starts_with("kcl: ") && error.contains("`nowhere`"), "{error}");
    aws.shutdown().await;
}
