//! Tests that a worker with effects in SQLite neither loses nor duplicates records that cannot be
//! processed.

#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, reason = "a test")]

use kcl_core::policy::{DeadLetter, sink_fn};
use kcl_core::prelude::*;
use kcl_local::LocalAws;
use kcl_sql::SqliteCheckpoints;
use sqlx::SqlitePool;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const STREAM: &str = "flights";

/// The handler's treatment of a record that does not parse.
#[derive(Clone, Copy, Debug, PartialEq)]
enum OnParseError {
    /// Store it in a dead-letter table, in the same transaction.
    StoreDeadLetter,
    /// Report it as failed, so that the position stops before it.
    ReportFailure,
}

#[derive(Clone)]
struct InsertEffects {
    pool: SqlitePool,
    checkpoints: SqliteCheckpoints,
    on_parse_error: OnParseError,
    batches: Arc<AtomicU32>,
}

fn parse(data: &[u8]) -> Result<i64, BoxError> {
    Ok(std::str::from_utf8(data)?.parse()?)
}

impl RecordProcessor for InsertEffects {
    async fn process_records(&mut self, batch: &Batch, shard: &ShardContext) -> Result<(), BoxError> {
        let mut outcome = BatchOutcome::default();
        if self.on_parse_error == OnParseError::ReportFailure {
            for record in batch {
                if let Err(error) = parse(&record.data) {
                    outcome.failed(record, error);
                }
            }
        }
        let mut transaction = self.pool.begin().await?;
        for record in self.checkpoints.advance(&mut transaction, shard, batch, Some(&outcome)).await? {
            let statement = match parse(&record.data) {
                Ok(number) => sqlx::query("INSERT INTO effects (n) VALUES ($1)").bind(number),
                Err(_) => sqlx::query("INSERT INTO dead_letters (data) VALUES ($1)").bind(record.data.as_ref()),
            };
            statement.execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        // Every third batch fails after its commit, as if the answer to the commit were lost.
        if self.batches.fetch_add(1, Ordering::Relaxed).is_multiple_of(3) {
            return Err("no answer".into());
        }
        outcome.into_result()
    }
}

struct Harness {
    aws: LocalAws,
    processor: InsertEffects,
    sunk: Arc<Mutex<Vec<String>>>,
    _directory: tempfile::TempDir,
}

impl Harness {
    async fn new(on_parse_error: OnParseError) -> Self {
        let aws = LocalAws::start().await.unwrap();
        aws.kinesis().create_stream().stream_name(STREAM).shard_count(1).send().await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(directory.path().join("effects.db"));
        let pool = SqlitePool::connect_with(options.create_if_missing(true)).await.unwrap();
        for table in ["CREATE TABLE effects (n BIGINT NOT NULL)", "CREATE TABLE dead_letters (data BLOB NOT NULL)"] {
            sqlx::query(table).execute(&pool).await.unwrap();
        }
        let checkpoints = SqliteCheckpoints::new(pool.clone(), "delays");
        checkpoints.create_table().await.unwrap();
        let processor = InsertEffects { pool, checkpoints, on_parse_error, batches: Arc::default() };
        Harness { aws, processor, sunk: Arc::default(), _directory: directory }
    }

    async fn put(&self, data: &str) {
        let blob = aws_sdk_kinesis::primitives::Blob::new(data);
        let put = self.aws.kinesis().put_record().stream_name(STREAM).partition_key("k").data(blob);
        put.send().await.unwrap();
    }

    async fn worker(&self, policy: OnError) -> Worker {
        let (processor, sunk) = (self.processor.clone(), Arc::clone(&self.sunk));
        let settings =
            Settings::default().failover_time(Duration::from_secs(2)).fleet_poll_interval(Duration::from_millis(100));
        Worker::builder("delays", STREAM)
            .settings(settings.poll_interval(Duration::from_millis(20)))
            .worker_id("ann")
            .sdk_config(&self.aws.sdk_config())
            .error_policy(policy)
            .dead_letters(sink_fn(move |letter: DeadLetter| {
                let sunk = Arc::clone(&sunk);
                async move {
                    sunk.lock().unwrap().push(String::from_utf8_lossy(&letter.record.data).into_owned());
                    Ok(())
                }
            }))
            .checkpoint_store(self.processor.checkpoints.clone())
            .processor(move |_: &ShardId| processor.clone())
            .build()
            .await
            .unwrap()
    }

    async fn effects(&self) -> Vec<i64> {
        let rows: Vec<(i64,)> =
            sqlx::query_as("SELECT n FROM effects ORDER BY n").fetch_all(&self.processor.pool).await.unwrap();
        rows.into_iter().map(|(n,)| n).collect()
    }

    async fn dead_letters(&self) -> u32 {
        let (count,): (u32,) =
            sqlx::query_as("SELECT COUNT(*) FROM dead_letters").fetch_one(&self.processor.pool).await.unwrap();
        count
    }

    async fn wait_for(&self, effects: usize) {
        wait_until(async || self.effects().await.len() >= effects).await;
    }

    async fn wait_for_batches(&self, batches: u32) {
        wait_until(async || self.processor.batches.load(Ordering::Relaxed) >= batches).await;
    }
}

async fn wait_until(holds: impl AsyncFn() -> bool) {
    let reached = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), reached).await.expect("the condition holds within a minute");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_in_the_same_transaction_is_stored_once_although_the_worker_is_killed() {
    let harness = Harness::new(OnParseError::StoreDeadLetter).await;
    let (mut good, mut bad) = (0, 0);
    for round in 0..4 {
        let worker = harness.worker(OnError::retry()).await;
        let handle = worker.handle();
        let running = tokio::spawn(worker.run());
        for n in 0..20 {
            if n % 7 == 3 {
                harness.put("not a number").await;
                bad += 1;
            } else {
                harness.put(&good.to_string()).await;
                good += 1;
            }
        }
        if round < 3 {
            let _ = tokio::time::timeout(Duration::from_millis(500), harness.wait_for(usize::MAX)).await;
            running.abort_handle().abort();
        } else {
            harness.wait_for(good).await;
            handle.shutdown(Duration::from_secs(10)).await;
            running.await.unwrap().unwrap();
        }
    }
    assert_eq!(harness.effects().await, (0..i64::try_from(good).unwrap()).collect::<Vec<_>>());
    assert_eq!(harness.dead_letters().await, bad);
    harness.aws.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_error_policy_decides_about_a_failed_record_and_the_position_stops_before_it() {
    for (policy, effects, sunk) in
        [(OnError::retry(), 4, 0), (OnError::retry().max_attempts(2).then(FinalAction::DeadLetter), 9, 1)]
    {
        let harness = Harness::new(OnParseError::ReportFailure).await;
        // Built first, because `build` waits until the stream is active and accepts records.
        let worker = harness.worker(policy).await;
        for n in 0..10 {
            harness.put(&if n == 4 { "not json".to_owned() } else { n.to_string() }).await;
        }
        let handle = worker.handle();
        let running = tokio::spawn(worker.run());
        harness.wait_for(effects).await;
        // Wait for retries: they must not move the position past the record.
        harness.wait_for_batches(if sunk == 0 { 8 } else { 3 }).await;
        handle.shutdown(Duration::from_secs(10)).await;
        running.await.unwrap().unwrap();
        assert_eq!((harness.effects().await.len(), harness.sunk.lock().unwrap().len()), (effects, sunk));
        harness.aws.shutdown().await;
    }
}
