//! The harness: a stream, a table, workers, and the records that their handlers saw.

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_kinesis::primitives::Blob;
use kcl_core::prelude::*;
use kcl_core::{Error, WorkerHandle};
use kcl_local::kinesis::EngineConfig;
use kcl_local::{Fault, LocalAws};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinHandle;

pub(crate) const STREAM: &str = "flights";
pub(crate) const APPLICATION: &str = "delays";

/// Between two scans of the table by a test that waits: they grow apart, since a scan is real work and a minute of virtual time
/// would be a thousand of them.
const SOON: Duration = Duration::from_millis(50);
const SELDOM: Duration = Duration::from_millis(500);

/// One record, as a handler saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) worker: String,
    pub(crate) shard: String,
    pub(crate) sequence: String,
    pub(crate) key: String,
    pub(crate) data: String,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<Seen>>>);

impl Log {
    pub(crate) fn all(&self) -> Vec<Seen> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    pub(crate) fn of(&self, worker: &str) -> Vec<Seen> {
        self.all().into_iter().filter(|seen| seen.worker == worker).collect()
    }

    fn push(&self, seen: Seen) {
        self.0.lock().unwrap().push(seen);
    }
}

/// Records what it receives.
pub(crate) struct Recorder {
    worker: String,
    log: Log,
    acquires: Duration,
}

impl RecordProcessor for Recorder {
    async fn process_records(&mut self, batch: &Batch, shard: &ShardContext) -> Result<(), BoxError> {
        if !self.acquires.is_zero() {
            tokio::time::sleep(self.acquires).await;
        }
        for record in batch {
            self.log.push(Seen {
                worker: self.worker.clone(),
                shard: shard.shard_id().to_string(),
                sequence: record.sequence_number.to_string(),
                key: record.partition_key.as_deref().unwrap_or_default().to_owned(),
                data: String::from_utf8(record.data.to_vec())?,
            });
        }
        Ok(())
    }
}

/// A running worker.
pub(crate) struct Running {
    pub(crate) handle: WorkerHandle,
    pub(crate) task: JoinHandle<Result<(), Error>>,
}

impl Running {
    /// Stops it in an orderly way.
    pub(crate) async fn stop(self) -> Result<(), Error> {
        self.handle.shutdown(Duration::from_secs(25)).await;
        self.task.await.unwrap()
    }
}

pub(crate) struct Stage {
    pub(crate) aws: LocalAws,
    pub(crate) log: Log,
    pub(crate) put: Mutex<BTreeSet<String>>,
    cut_off: Arc<Mutex<BTreeSet<String>>>,
}

impl Stage {
    pub(crate) async fn with_shards(shards: i32) -> Stage {
        Self::with_engine(EngineConfig::in_process(), shards).await
    }

    pub(crate) async fn with_engine(config: EngineConfig, shards: i32) -> Stage {
        let aws = LocalAws::builder().engine(config).in_process();
        aws.kinesis().create_stream().stream_name(STREAM).shard_count(shards).send().await.unwrap();
        let cut_off: Arc<Mutex<BTreeSet<String>>> = Arc::default();
        let gone = Arc::clone(&cut_off);
        aws.faults().rule(move |call| {
            let caller = call.caller?;
            gone.lock().unwrap().contains(caller).then_some(Fault::LostRequest)
        });
        Stage { aws, log: Log::default(), put: Mutex::default(), cut_off }
    }

    /// Puts these numbers, with the number modulo seven as key.
    pub(crate) async fn put(&self, numbers: std::ops::Range<u32>) {
        for number in numbers {
            let answer = self
                .aws
                .kinesis()
                .put_record()
                .stream_name(STREAM)
                .partition_key(format!("key-{}", number % 7))
                .data(Blob::new(number.to_string()))
                .send()
                .await
                .unwrap();
            self.put.lock().unwrap().insert(answer.sequence_number);
        }
    }

    pub(crate) async fn build(&self, worker: &str, settings: Settings, acquires: Duration) -> Result<Worker, Error> {
        let (log, name) = (self.log.clone(), worker.to_owned());
        Worker::builder(APPLICATION, STREAM)
            .settings(settings)
            .worker_id(worker)
            .with_seed(worker.bytes().map(u64::from).sum())
            .sdk_config(&self.aws.sdk_config_for(worker))
            .on_current_runtime()
            .processor(move |_| Recorder { worker: name.clone(), log: log.clone(), acquires })
            .build()
            .await
    }

    /// Makes fast handlers that record what they receive, under this name.
    pub(crate) fn recorders(&self, worker: &str) -> impl Fn(&ShardId) -> Recorder + Send + Sync + 'static {
        let (log, worker) = (self.log.clone(), worker.to_owned());
        move |_| Recorder { worker: worker.clone(), log: log.clone(), acquires: Duration::ZERO }
    }

    /// A worker of another application on the same stream.
    pub(crate) async fn start_other(&self, application: &str, settings: Settings) -> Running {
        let worker = Worker::builder(application, STREAM)
            .settings(settings)
            .worker_id(application)
            .with_seed(application.bytes().map(u64::from).sum())
            .sdk_config(&self.aws.sdk_config_for(application))
            .on_current_runtime()
            .processor(self.recorders(application))
            .build()
            .await
            .unwrap();
        let handle = worker.handle();
        Running { handle, task: tokio::spawn(worker.run()) }
    }

    /// A worker with default settings and a fast handler.
    pub(crate) async fn start(&self, worker: &str) -> Running {
        self.start_with(worker, Settings::default(), Duration::ZERO).await
    }

    pub(crate) async fn start_with(&self, worker: &str, settings: Settings, acquires: Duration) -> Running {
        let worker = self.build(worker, settings, acquires).await.unwrap();
        let handle = worker.handle();
        Running { handle, task: tokio::spawn(worker.run()) }
    }

    /// Runs a fleet and stops it cleanly.
    pub(crate) async fn ran_before(&self) {
        let shards = self.aws.kinesis().list_shards().stream_name(STREAM).send().await.unwrap().shards().len();
        let worker = self.start("before").await;
        self.shared(&[("before", shards)], Duration::from_secs(5)).await;
        worker.stop().await.unwrap();
    }

    /// From now on this worker's requests are lost: all others consider it dead.
    pub(crate) fn cut_off(&self, worker: &str) {
        self.cut_off.lock().unwrap().insert(worker.to_owned());
    }

    /// Its requests arrive again.
    pub(crate) fn reconnect(&self, worker: &str) {
        self.cut_off.lock().unwrap().remove(worker);
    }

    /// Edits a row, like a person with a text editor.
    pub(crate) async fn delete_row(&self, key: &str) {
        let delete = self.aws.dynamodb().delete_item().table_name(APPLICATION);
        delete.key("leaseKey", AttributeValue::S(key.into())).send().await.unwrap();
    }

    /// Edits a checkpoint, like a person with a text editor.
    pub(crate) async fn break_row(&self, lease: &str) {
        self.aws
            .dynamodb()
            .update_item()
            .table_name(APPLICATION)
            .key("leaseKey", AttributeValue::S(lease.into()))
            .update_expression("SET checkpoint = :c")
            .expression_attribute_values(":c", AttributeValue::S("nonsense".into()))
            .send()
            .await
            .unwrap();
    }

    /// The number of records in a shard.
    pub(crate) async fn in_shard(&self, shard: &str) -> usize {
        let kinesis = self.aws.kinesis();
        let iterator = kinesis.get_shard_iterator().stream_name(STREAM).shard_id(shard);
        let iterator = iterator.shard_iterator_type(aws_sdk_kinesis::types::ShardIteratorType::TrimHorizon);
        let iterator = iterator.send().await.unwrap().shard_iterator;
        kinesis.get_records().set_shard_iterator(iterator).send().await.unwrap().records.len()
    }

    /// Waits until this many records were seen.
    pub(crate) async fn seen(&self, records: usize, within: Duration) {
        let deadline = tokio::time::Instant::now() + within;
        while self.log.count() < records {
            assert!(
                tokio::time::Instant::now() < deadline,
                "{} of {records} records after {within:?}; table: {:#?}",
                self.log.count(),
                self.owners().await
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) async fn rows(&self) -> Vec<HashMap<String, AttributeValue>> {
        let table = self.aws.dynamodb().scan().table_name(APPLICATION).consistent_read(true).send().await.unwrap();
        table.items.unwrap_or_default()
    }

    /// The owner of each lease.
    pub(crate) async fn owners(&self) -> BTreeMap<String, Option<String>> {
        let rows = self.rows().await;
        let leases = rows.iter().filter(|row| text(row, "entityType").as_deref() == Some("LEASE"));
        leases.map(|row| (text(row, "leaseKey").unwrap(), text(row, "leaseOwner"))).collect()
    }

    /// The number of owned leases of each worker.
    pub(crate) async fn shares(&self) -> BTreeMap<String, usize> {
        let mut shares = BTreeMap::new();
        for owner in self.owners().await.into_values().flatten() {
            *shares.entry(owner).or_default() += 1;
        }
        shares
    }

    /// Waits until the leases are distributed like this.
    pub(crate) async fn shared(&self, shares: &[(&str, usize)], within: Duration) {
        let wanted: BTreeMap<String, usize> = shares.iter().map(|(w, n)| ((*w).to_owned(), *n)).collect();
        let (deadline, mut pause) = (tokio::time::Instant::now() + within, SOON);
        loop {
            let now = self.shares().await;
            if now == wanted {
                return;
            }
            assert!(tokio::time::Instant::now() < deadline, "{now:?} after {within:?}, wanted {wanted:?}");
            tokio::time::sleep(pause).await;
            pause = (pause * 21 / 20).min(SELDOM);
        }
    }

    /// Every record that was put was seen, and this many of them more than once.
    pub(crate) fn assert_all_seen(&self, repeated: usize) {
        let seen = self.log.all();
        let distinct: BTreeSet<String> = seen.iter().map(|seen| seen.sequence.clone()).collect();
        assert_eq!(distinct, *self.put.lock().unwrap(), "what was put and what was seen");
        assert_eq!(seen.len() - distinct.len(), repeated, "records seen more than once");
    }

    /// For each key, records were first seen in the order in which they were put.
    pub(crate) fn assert_ordered(&self) {
        let mut last: HashMap<String, u32> = HashMap::new();
        for seen in self.log.all() {
            let number: u32 = seen.data.parse().unwrap();
            let before = last.insert(seen.key.clone(), number);
            assert!(before.is_none_or(|before| before < number), "{} {before:?} {number}", seen.key);
        }
    }
}

pub(crate) fn text(row: &HashMap<String, AttributeValue>, name: &str) -> Option<String> {
    row.get(name)?.as_s().ok().cloned()
}
