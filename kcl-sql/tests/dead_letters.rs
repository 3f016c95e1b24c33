//! Records that cannot be handled, of a worker whose effects go to SQLite: none is lost and none is there twice.

#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, reason = "a test")]

use kcl_core::prelude::*;
use kcl_core::{DeadLetter, sink_fn};
use kcl_local::LocalAws;
use kcl_sql::SqliteCheckpoints;
use sqlx::SqlitePool;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const STREAM: &str = "flights";

/// What is done with a record that does not parse.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    /// It goes to a table, in the transaction.
    Table,
    /// It is named, and the position stops before it.
    Outcome,
}

#[derive(Clone)]
struct Insert {
    pool: SqlitePool,
    checkpoints: SqliteCheckpoints,
    way: Way,
    batches: Arc<AtomicU32>,
}

fn parse(data: &[u8]) -> Result<i64, BoxError> {
    Ok(std::str::from_utf8(data)?.parse()?)
}

impl RecordProcessor for Insert {
    async fn process_records(&mut self, batch: &Batch, shard: &ShardContext) -> Result<(), BoxError> {
        let mut outcome = BatchOutcome::default();
        if self.way == Way::Outcome {
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
                Err(_) => sqlx::query("INSERT INTO letters (data) VALUES ($1)").bind(record.data.as_ref()),
            };
            statement.execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        // As if the answer to the commit were lost, every third time.
        if self.batches.fetch_add(1, Ordering::Relaxed).is_multiple_of(3) {
            return Err("no answer".into());
        }
        outcome.into_result()
    }
}

struct Stage {
    aws: LocalAws,
    insert: Insert,
    sunk: Arc<Mutex<Vec<String>>>,
    _directory: tempfile::TempDir,
}

impl Stage {
    async fn new(way: Way) -> Self {
        let aws = LocalAws::start().await.unwrap();
        aws.kinesis().create_stream().stream_name(STREAM).shard_count(1).send().await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(directory.path().join("effects.db"));
        let pool = SqlitePool::connect_with(options.create_if_missing(true)).await.unwrap();
        for table in ["CREATE TABLE effects (n BIGINT NOT NULL)", "CREATE TABLE letters (data BLOB NOT NULL)"] {
            sqlx::query(table).execute(&pool).await.unwrap();
        }
        let checkpoints = SqliteCheckpoints::new(pool.clone(), "delays");
        checkpoints.create_table().await.unwrap();
        let insert = Insert { pool, checkpoints, way, batches: Arc::default() };
        Stage { aws, insert, sunk: Arc::default(), _directory: directory }
    }

    async fn put(&self, data: &str) {
        let blob = aws_sdk_kinesis::primitives::Blob::new(data);
        let put = self.aws.kinesis().put_record().stream_name(STREAM).partition_key("k").data(blob);
        put.send().await.unwrap();
    }

    async fn worker(&self, policy: OnError) -> Worker {
        let (insert, sunk) = (self.insert.clone(), Arc::clone(&self.sunk));
        let settings = Settings::default().failover_time(Duration::from_secs(2)).watch(Duration::from_millis(100));
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
            .checkpoint_store(self.insert.checkpoints.clone())
            .processor(move |_: &ShardId| insert.clone())
            .build()
            .await
            .unwrap()
    }

    async fn effects(&self) -> Vec<i64> {
        let rows: Vec<(i64,)> =
            sqlx::query_as("SELECT n FROM effects ORDER BY n").fetch_all(&self.insert.pool).await.unwrap();
        rows.into_iter().map(|(n,)| n).collect()
    }

    async fn letters(&self) -> u32 {
        let (count,): (u32,) =
            sqlx::query_as("SELECT COUNT(*) FROM letters").fetch_one(&self.insert.pool).await.unwrap();
        count
    }

    async fn wait_for(&self, effects: usize) {
        wait_until(async || self.effects().await.len() >= effects).await;
    }

    async fn wait_for_batches(&self, batches: u32) {
        wait_until(async || self.insert.batches.load(Ordering::Relaxed) >= batches).await;
    }
}

async fn wait_until(is_so: impl AsyncFn() -> bool) {
    let waits = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waits).await.expect("it is so within a minute");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_in_the_same_transaction_are_there_once_however_often_the_worker_is_killed() {
    let stage = Stage::new(Way::Table).await;
    let (mut good, mut bad) = (0, 0);
    for round in 0..4 {
        let worker = stage.worker(OnError::retry()).await;
        let handle = worker.handle();
        let running = tokio::spawn(worker.run());
        for n in 0..20 {
            if n % 7 == 3 {
                stage.put("not a number").await;
                bad += 1;
            } else {
                stage.put(&good.to_string()).await;
                good += 1;
            }
        }
        if round < 3 {
            let _ = tokio::time::timeout(Duration::from_millis(500), stage.wait_for(usize::MAX)).await;
            running.abort_handle().abort();
        } else {
            stage.wait_for(good).await;
            handle.shutdown(Duration::from_secs(10)).await;
            running.await.unwrap().unwrap();
        }
    }
    assert_eq!(stage.effects().await, (0..i64::try_from(good).unwrap()).collect::<Vec<_>>());
    assert_eq!(stage.letters().await, bad);
    stage.aws.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_named_record_is_the_policys_and_the_position_does_not_pass_it() {
    for (policy, effects, sunk) in
        [(OnError::retry(), 4, 0), (OnError::retry().max_attempts(2).then(FinalAction::DeadLetter), 9, 1)]
    {
        let stage = Stage::new(Way::Outcome).await;
        // Built first: a stream takes records once it is active.
        let worker = stage.worker(policy).await;
        for n in 0..10 {
            stage.put(&if n == 4 { "not json".to_owned() } else { n.to_string() }).await;
        }
        let handle = worker.handle();
        let running = tokio::spawn(worker.run());
        stage.wait_for(effects).await;
        // It was retried, and is not done for that.
        stage.wait_for_batches(if sunk == 0 { 8 } else { 3 }).await;
        handle.shutdown(Duration::from_secs(10)).await;
        running.await.unwrap().unwrap();
        assert_eq!((stage.effects().await.len(), stage.sunk.lock().unwrap().len()), (effects, sunk));
        stage.aws.shutdown().await;
    }
}
