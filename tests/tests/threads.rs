//! Workers as in production: over HTTP, with the coordination on its own thread and the machine's
//! clock.

#![cfg(test)]

use aws_sdk_kinesis::primitives::Blob;
use kcl_core::prelude::*;
use kcl_local::{LocalAws, Service};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

/// Counts records; at the first one it blocks its thread, which handlers should not do.
struct Blocking {
    seen: Arc<AtomicUsize>,
    news: Arc<Notify>,
    block: Option<std::sync::mpsc::Receiver<()>>,
}

impl RecordProcessor for Blocking {
    async fn process_records(&mut self, batch: &Batch, _: &ShardContext) -> Result<(), BoxError> {
        if let Some(until) = self.block.take() {
            // Ends when the sender is dropped.
            let _ = until.recv();
        }
        self.seen.fetch_add(batch.len(), Ordering::SeqCst);
        self.news.notify_one();
        Ok(())
    }
}

async fn put(aws: &LocalAws, records: u32) {
    for n in 0..records {
        let put = aws.kinesis().put_record().stream_name("s").partition_key(n.to_string());
        put.data(Blob::new("x")).send().await.unwrap();
    }
}

async fn with_stream() -> LocalAws {
    let aws = LocalAws::start().await.unwrap();
    aws.kinesis().create_stream().stream_name("s").shard_count(1).send().await.unwrap();
    until_active(&aws).await;
    aws
}

async fn until_active(aws: &LocalAws) {
    loop {
        let summary = aws.kinesis().describe_stream_summary().stream_name("s").send().await.unwrap();
        if summary.stream_description_summary.unwrap().stream_status.as_str() == "ACTIVE" {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// A session that dies after a second would lose its lease while its handler blocks.
fn quick() -> Settings {
    Settings::default()
        .failover_time(Duration::from_secs(1))
        .fleet_poll_interval(Duration::from_millis(50))
        .assignment_interval(Duration::from_millis(100))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_blocks_its_thread_does_not_delay_the_heartbeats() {
    let aws = with_stream().await;
    put(&aws, 5).await;
    let (release, until) = std::sync::mpsc::channel();
    let until = Arc::new(std::sync::Mutex::new(Some(until)));
    let (seen, news) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let worker = {
        let (seen, news) = (seen.clone(), news.clone());
        Worker::builder("blocking", "s")
            .settings(quick())
            .sdk_config(&aws.sdk_config())
            .processor(move |_| Blocking {
                seen: seen.clone(),
                news: news.clone(),
                block: until.lock().unwrap().take(),
            })
            .build()
            .await
            .unwrap()
    };
    let handle = worker.handle();
    // On a runtime with one thread, which the handler blocks.
    let blocked = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(worker.run())
    });
    heartbeats(&aws, 12).await;
    assert_eq!(seen.load(Ordering::SeqCst), 0, "the handler blocks");
    drop(release);
    news.notified().await;
    handle.shutdown(Duration::from_secs(5)).await;
    blocked.join().unwrap().unwrap();
    assert_eq!(seen.load(Ordering::SeqCst), 5, "in time for no other worker to read them");
    aws.shutdown().await;
}

/// Waits until the table was written this often. A worker that holds a shard and acknowledges
/// nothing writes only heartbeats. Twelve of them take longer than two failover times.
async fn heartbeats(aws: &LocalAws, writes: u64) {
    let limit = tokio::time::Instant::now() + Duration::from_secs(30);
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    while aws.calls().of(Service::DynamoDb, "UpdateItem") < writes + 10 {
        assert!(tokio::time::Instant::now() < limit, "{:?}", aws.calls());
        tick.tick().await;
    }
}

/// Keeps its thread busy until it is told to stop, and counts how many such handlers run at a time.
struct Hog {
    shard: String,
    stop: Arc<AtomicBool>,
    busy: Arc<std::sync::Mutex<std::collections::BTreeMap<String, usize>>>,
    hogs: Arc<AtomicUsize>,
}

impl RecordProcessor for Hog {
    async fn process_records(&mut self, _: &Batch, _: &ShardContext) -> Result<(), BoxError> {
        let consumers = {
            let mut busy = self.busy.lock().unwrap();
            let consumers = busy.entry(self.shard.clone()).or_default();
            *consumers += 1;
            *consumers
        };
        assert_eq!(consumers, 1, "two consumers of {}", self.shard);
        self.hogs.fetch_add(1, Ordering::SeqCst);
        while !self.stop.load(Ordering::Relaxed) {
            std::hint::spin_loop();
        }
        self.busy.lock().unwrap().remove(&self.shard);
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handlers_that_hog_every_core_and_every_thread_of_their_runtime_do_not_delay_the_heartbeats() {
    let aws = LocalAws::start().await.unwrap();
    let cores = std::thread::available_parallelism().unwrap().get();
    // Shards and threads for twice as many as there are cores.
    let hogs = 2 * cores;
    aws.kinesis().create_stream().stream_name("s").shard_count(i32::try_from(hogs).unwrap()).send().await.unwrap();
    until_active(&aws).await;
    let step = u128::MAX / hogs as u128;
    for n in 0..hogs as u128 {
        let put = aws
            .kinesis()
            .put_record()
            .stream_name("s")
            .partition_key("k")
            .explicit_hash_key((n * step + 1).to_string());
        put.data(Blob::new("x")).send().await.unwrap();
    }
    let (stop, busy, count) = (Arc::new(AtomicBool::new(false)), Arc::default(), Arc::new(AtomicUsize::new(0)));
    let worker = {
        let (stop, count) = (stop.clone(), count.clone());
        let busy: Arc<std::sync::Mutex<_>> = busy;
        let settings = quick().failover_time(Duration::from_secs(2));
        let builder = Worker::builder("hogs", "s").settings(settings).sdk_config(&aws.sdk_config());
        let processor = move |shard: &ShardId| Hog {
            shard: shard.to_string(),
            stop: stop.clone(),
            busy: busy.clone(),
            hogs: count.clone(),
        };
        builder.processor(processor).build().await.unwrap()
    };
    let handle = worker.handle();
    let hogged = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(hogs).enable_all().build().unwrap();
        runtime.block_on(worker.run())
    });
    let limit = tokio::time::Instant::now() + Duration::from_secs(30);
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    // The last ones may wait for ever behind a busy handler of their own runtime.
    while count.load(Ordering::SeqCst) < cores {
        assert!(tokio::time::Instant::now() < limit, "{} of {cores} hogs", count.load(Ordering::SeqCst));
        tick.tick().await;
    }
    aws.reset_calls();
    // Ten failover times with every core busy: eight heartbeats each second, and no lease is lost.
    heartbeats(&aws, 40).await;
    let owner = |row: &std::collections::HashMap<String, _>| row.contains_key("leaseOwner");
    let rows = aws.dynamodb().scan().table_name("hogs").send().await.unwrap().items.unwrap();
    assert_eq!(rows.iter().filter(|row| owner(row)).count(), hogs, "every lease is kept");
    assert!(count.load(Ordering::SeqCst) <= hogs, "nothing was handed over a second time");
    stop.store(true, Ordering::Relaxed);
    handle.shutdown(Duration::from_secs(5)).await;
    hogged.join().unwrap().unwrap();
    aws.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_whose_future_is_dropped_still_checkpoints_and_releases() {
    let aws = with_stream().await;
    put(&aws, 5).await;
    let (seen, news) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let build = || {
        let (seen, news) = (seen.clone(), news.clone());
        Worker::builder("dropped", "s")
            .settings(quick())
            .sdk_config(&aws.sdk_config())
            .processor(move |_| Blocking { seen: seen.clone(), news: news.clone(), block: None })
            .build()
    };
    let worker = build().await.unwrap();
    tokio::select! {
        outcome = worker.run() => panic!("{outcome:?}"),
        // A second batch is delivered only when the first one is acknowledged.
        () = async { news.notified().await; put(&aws, 1).await; news.notified().await } => {}
    }
    let before = seen.load(Ordering::SeqCst);
    put(&aws, 5).await;
    let again = build().await.unwrap();
    tokio::select! {
        outcome = again.run() => panic!("{outcome:?}"),
        () = news.notified() => {}
    }
    assert!(before >= 6 && seen.load(Ordering::SeqCst) <= 6 + 5 + 1, "only the last batch may be repeated");
    aws.shutdown().await;
}

/// Handles nothing.
struct Idle;

impl RecordProcessor for Idle {
    async fn process_records(&mut self, _: &Batch, _: &ShardContext) -> Result<(), BoxError> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_process_under_a_worker_id_gets_the_name_of_the_first() {
    let aws = with_stream().await;
    let build = async || {
        let worker = Worker::builder("twins", "s").worker_id("a").settings(quick()).sdk_config(&aws.sdk_config());
        worker.processor(|_| Idle).build().await.unwrap()
    };
    let first = build().await;
    let handle = first.handle();
    let first = tokio::spawn(first.run());
    heartbeats(&aws, 1).await;
    let error = build().await.run().await.unwrap_err();
    assert_eq!(error.code(), kcl_core::Code::Replaced, "{error}");
    let process = format!("its id is in use by process {} on host `", std::process::id());
    assert!(error.to_string().contains(&process) && error.to_string().contains("started at 20"), "{error}");
    handle.shutdown(Duration::from_secs(5)).await;
    first.await.unwrap().unwrap();
    aws.shutdown().await;
}
