//! One fleet that reads several streams.

mod changes;
mod fan_out;
mod java;
mod reading;
mod vanishing;

use crate::stage::text;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_kinesis::primitives::Blob;
use kcl_core::prelude::*;
use kcl_core::{Error, StreamConfig, Streams, WorkerBuilder};
use kcl_local::LocalAws;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

const APPLICATION: &str = "ledger";

/// What was seen: worker, stream's ARN, shard, data.
type Seen = (String, String, String, String);

#[derive(Clone, Debug, Default)]
struct Log(Arc<Mutex<Vec<Seen>>>);

/// Records what it receives, and the stream and shard of its context.
struct Recorder {
    worker: String,
    expects: String,
    log: Log,
}

impl RecordProcessor for Recorder {
    async fn process_records(&mut self, batch: &Batch, shard: &ShardContext) -> Result<(), BoxError> {
        let arn = shard.stream_identity().expect("a lease says its stream").arn.clone();
        assert!(arn.ends_with(&format!("stream/{}", self.expects)), "{arn} is for another factory");
        for record in batch {
            let data = String::from_utf8(record.data.to_vec())?;
            let seen = (self.worker.clone(), arn.clone(), shard.shard_id().to_string(), data);
            self.log.0.lock().unwrap().push(seen);
        }
        Ok(())
    }
}

struct Running {
    handle: WorkerHandle,
    task: JoinHandle<Result<(), Error>>,
}

impl Running {
    async fn stop(self) -> Result<(), Error> {
        self.handle.shutdown(Duration::from_secs(25)).await;
        self.task.await.unwrap()
    }
}

/// The table, and its streams.
struct Ledger {
    aws: LocalAws,
    log: Log,
}

impl Ledger {
    async fn with(streams: &[(&str, i32)]) -> Ledger {
        let ledger = Ledger { aws: LocalAws::builder().in_process(), log: Log::default() };
        for (name, shards) in streams {
            ledger.create(name, *shards).await;
        }
        ledger
    }

    async fn create(&self, name: &str, shards: i32) {
        self.aws.kinesis().create_stream().stream_name(name).shard_count(shards).send().await.unwrap();
    }

    async fn delete(&self, name: &str) {
        self.aws.kinesis().delete_stream().stream_name(name).enforce_consumer_deletion(true).send().await.unwrap();
        sleep(Duration::from_secs(2)).await;
    }

    async fn put(&self, name: &str, numbers: Range<u32>) {
        put(&self.aws, name, numbers).await;
    }

    fn config(&self, worker: &str, name: &str) -> StreamConfig {
        let (worker, expects, log) = (worker.to_owned(), name.to_owned(), self.log.clone());
        let recorder =
            move |_: &ShardId| Recorder { worker: worker.clone(), expects: expects.clone(), log: log.clone() };
        StreamConfig::new(name, recorder)
    }

    fn builder(&self, worker: &str) -> WorkerBuilder<Streams> {
        Worker::of_streams(APPLICATION)
            .worker_id(worker)
            .with_seed(worker.bytes().map(u64::from).sum())
            .sdk_config(&self.aws.sdk_config_for(worker))
            .on_current_runtime()
    }

    async fn start(&self, worker: &str, streams: &[&str]) -> Running {
        let builder = self.builder(worker);
        let builder = streams.iter().fold(builder, |builder, name| builder.stream(self.config(worker, name)));
        run(builder).await
    }

    async fn rows(&self) -> Vec<HashMap<String, AttributeValue>> {
        let table = self.aws.dynamodb().scan().table_name(APPLICATION).consistent_read(true).send().await.unwrap();
        table.items.unwrap_or_default()
    }

    /// Each lease, by `<stream>/<shard>`, with its owner. (Of streams of the same name, the last
    /// one.)
    async fn owners(&self) -> BTreeMap<String, Option<String>> {
        let rows = self.rows().await;
        let leases = rows.iter().filter(|row| row.contains_key("streamName"));
        let short = |key: &str| {
            let parts: Vec<&str> = key.split(':').collect();
            format!("{}/{}", parts[1], &parts[3][parts[3].len() - 1..])
        };
        leases.map(|row| (short(&text(row, "leaseKey").unwrap()), text(row, "leaseOwner"))).collect()
    }

    /// The number of leases of each stream for each worker.
    async fn shares(&self) -> BTreeMap<(String, String), usize> {
        let mut shares = BTreeMap::new();
        for (lease, owner) in self.owners().await {
            let stream = lease.split('/').next().unwrap_or_default().to_owned();
            if let Some(owner) = owner {
                *shares.entry((owner, stream)).or_default() += 1;
            }
        }
        shares
    }

    /// Waits until leases are distributed like this: worker, stream, number.
    async fn shared(&self, wanted: &[(&str, &str, usize)], within: Duration) {
        let wanted: BTreeMap<_, _> =
            wanted.iter().map(|(worker, stream, n)| (((*worker).to_owned(), (*stream).to_owned()), *n)).collect();
        let deadline = Instant::now() + within;
        loop {
            let now = self.shares().await;
            if now == wanted {
                return;
            }
            assert!(Instant::now() < deadline, "{now:?} after {within:?}, wanted {wanted:?}");
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// The number of records of a stream that were seen.
    fn count(&self, stream: &str) -> usize {
        let log = self.log.0.lock().unwrap();
        log.iter().filter(|(_, arn, ..)| arn.ends_with(&format!("stream/{stream}"))).count()
    }

    /// Waits until exactly this many records of a stream were seen.
    async fn seen(&self, stream: &str, records: usize, within: Duration) {
        let deadline = Instant::now() + within;
        while self.count(stream) < records {
            let now = self.count(stream);
            assert!(Instant::now() < deadline, "{now} of {records} of {stream}; {:#?}", self.owners().await);
            sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(self.count(stream), records, "{stream}");
    }

    /// The numbers that were seen of a stream, each once.
    fn assert_seen_once(&self, stream: &str, numbers: Range<u32>) {
        let log = self.log.0.lock().unwrap();
        let of = log.iter().filter(|(_, arn, ..)| arn.ends_with(&format!("stream/{stream}")));
        let mut seen: Vec<u32> = of.map(|(.., data)| data.parse().unwrap()).collect();
        seen.sort_unstable();
        assert_eq!(seen, numbers.collect::<Vec<_>>(), "{stream}");
    }
}

async fn put(aws: &LocalAws, name: &str, numbers: Range<u32>) {
    for number in numbers {
        let put = aws.kinesis().put_record().stream_name(name).partition_key(format!("key-{}", number % 7));
        put.data(Blob::new(number.to_string())).send().await.unwrap();
    }
}

async fn run(builder: WorkerBuilder<Streams>) -> Running {
    let worker = builder.build().await.unwrap();
    let handle = worker.handle();
    Running { handle, task: tokio::spawn(worker.run()) }
}

/// The kinds of remaining rows, without leases.
async fn kinds(ledger: &Ledger) -> BTreeSet<String> {
    ledger.rows().await.iter().filter_map(|row| text(row, "entityType")).collect()
}
