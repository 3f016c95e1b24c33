//! Tests the `kcl quarantine` command as a process, with a worker whose handler fails for the
//! records of one key.

#![cfg(test)]

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kcl_core::{OnError, prelude::*};
use kcl_local::{LocalAws, Service};

/// Fails for records of the key `bad` while `broken` is set.
#[derive(Clone, Default)]
struct Handler {
    broken: Arc<AtomicBool>,
    done: Arc<Mutex<Vec<String>>>,
}

impl RecordProcessor for Handler {
    async fn process_records(&mut self, batch: &Batch, _: &ShardContext) -> Result<(), BoxError> {
        let bad = |record: &Record| record.partition_key.as_deref() == Some("bad");
        if self.broken.load(Ordering::Relaxed) && batch.iter().any(bad) {
            return Err("no such airport".into());
        }
        let text = |record: &Record| String::from_utf8(record.data.to_vec()).unwrap();
        self.done.lock().unwrap().extend(batch.iter().map(text));
        Ok(())
    }
}

async fn put(aws: &LocalAws, key: &str, text: &str) {
    let blob = aws_sdk_kinesis::primitives::Blob::new(text);
    aws.kinesis().put_record().stream_name("clicks").partition_key(key).data(blob).send().await.unwrap();
}

async fn until(condition: &str, mut holds: impl FnMut() -> bool) {
    let reached = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), reached)
        .await
        .unwrap_or_else(|_| panic!("not within 30 s: {condition}"));
}

async fn kcl(aws: &LocalAws, arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kcl"));
    command.args(arguments);
    command.env("AWS_ENDPOINT_URL", aws.endpoint(Service::DynamoDb)).env("AWS_REGION", "us-east-1");
    command.env("AWS_ACCESS_KEY_ID", "local").env("AWS_SECRET_ACCESS_KEY", "local");
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quarantined_key_is_listed_survives_a_restart_and_is_resumed() {
    let aws = LocalAws::start().await.unwrap();
    aws.kinesis().create_stream().stream_name("clicks").shard_count(1).send().await.unwrap();
    let handler = Handler::default();
    handler.broken.store(true, Ordering::Relaxed);
    let worker = async |id: &str| {
        let settings =
            Settings::default().checkpoint_interval(Duration::from_millis(100)).concurrency(Concurrency::PerKey(4));
        let policy = OnError::at_once(FinalAction::Quarantine);
        let builder =
            Worker::builder("delays", "clicks").settings(settings).worker_id(id).sdk_config(&aws.sdk_config());
        let handler = handler.clone();
        let worker = builder.error_policy(policy).processor(move |_| handler.clone()).build().await.unwrap();
        let handle = worker.handle();
        (tokio::spawn(worker.run()), handle)
    };
    let (running, handle) = worker("ann").await;
    for (key, text) in [("bad", "1"), ("good", "2"), ("bad", "3"), ("good", "4")] {
        put(&aws, key, text).await;
    }
    until("the records of the other key are processed", || handler.done.lock().unwrap().len() == 2).await;
    handle.shutdown(Duration::from_secs(10)).await;
    let error = running.await.unwrap().unwrap_err().to_string();
    assert!(error.contains("KCL-0020") && error.contains("(2 records of bad)"), "{error}");

    let (success, output) = kcl(&aws, &["quarantine", "list", "delays"]).await;
    assert!(success && output.contains("bad") && output.contains("no such airport"), "{output}");
    let (success, output) = kcl(&aws, &["handback", "delays"]).await;
    assert!(!success && output.contains("KCL-0020"), "{output}");
    let (success, output) = kcl(&aws, &["quarantine", "resume", "delays", "nobody"]).await;
    assert!(!success && output.contains("key `nobody` is not in quarantine"), "{output}");

    let (running, handle) = worker("ben").await;
    handler.broken.store(false, Ordering::Relaxed);
    let (success, output) = kcl(&aws, &["quarantine", "resume", "delays", "bad"]).await;
    assert!(success && output.contains("shardId-000000000000"), "{output}");
    // The owner reads the request when it next writes the lease's row.
    put(&aws, "bad", "5").await;
    until("all records are processed", || handler.done.lock().unwrap().len() == 5).await;
    let done = handler.done.lock().unwrap().clone();
    let bad: Vec<&String> = done.iter().filter(|text| ["1", "3", "5"].contains(&text.as_str())).collect();
    assert_eq!(bad, ["1", "3", "5"], "in order");
    handle.shutdown(Duration::from_secs(10)).await;
    running.await.unwrap().unwrap();
    let rows = aws.dynamodb().scan().table_name("delays").send().await.unwrap().items.unwrap();
    assert!(
        rows.iter().all(|row| row["entityType"].as_s().unwrap() == "LEASE"),
        "the table has rows other than leases"
    );
    aws.shutdown().await;
}
