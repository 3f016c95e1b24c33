//! The effect of signals on a worker. One test, because a signal reaches the whole process.

#![cfg(test)]
#![cfg(unix)]

use kcl_core::prelude::*;
use kcl_local::LocalAws;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// Far below the deadline of the shutdown, and far above the time of an immediate end.
const PATIENCE: Duration = Duration::from_secs(15);

/// Never finishes.
struct Stuck(Option<oneshot::Sender<()>>);

impl RecordProcessor for Stuck {
    async fn process_records(&mut self, _: &Batch, _: &ShardContext) -> Result<(), BoxError> {
        if let Some(begun) = self.0.take() {
            begun.send(()).unwrap();
        }
        std::future::pending().await
    }
}

fn interrupt() {
    let me = std::process::id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &me]).status().unwrap().success());
}

#[tokio::test]
async fn a_second_signal_ends_delivery_at_once() {
    let aws = LocalAws::in_process();
    let kinesis = aws.kinesis();
    kinesis.create_stream().stream_name("s").shard_count(1).send().await.unwrap();
    let data = aws_sdk_kinesis::primitives::Blob::new("data");
    kinesis.put_record().stream_name("s").partition_key("key").data(data).send().await.unwrap();
    let (begun, has_begun) = oneshot::channel();
    let begun = std::sync::Mutex::new(Some(begun));
    let worker = Worker::builder("app", "s")
        .settings(Settings::default().shutdown_deadline(Duration::from_secs(60)))
        .worker_id("one")
        .sdk_config(&aws.sdk_config())
        .on_current_runtime()
        .processor(move |_: &ShardId| Stuck(begun.lock().unwrap().take()))
        .build()
        .await
        .unwrap();
    let (told, is_told) = oneshot::channel();
    let running = tokio::spawn(worker.run_until(async move {
        shutdown_signal().await;
        told.send(()).unwrap();
    }));
    timeout(PATIENCE, has_begun).await.unwrap().unwrap();
    interrupt();
    timeout(PATIENCE, is_told).await.unwrap().unwrap();
    interrupt();
    timeout(PATIENCE, running).await.expect("it ends at once").unwrap().unwrap();
}
