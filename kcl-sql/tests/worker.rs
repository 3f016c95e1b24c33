//! Tests that a worker with effects in SQLite writes each effect exactly once although it is killed
//! repeatedly.

#![cfg(all(test, feature = "sqlite"))]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use kcl_core::prelude::*;
use kcl_local::LocalAws;
use kcl_sql::SqliteCheckpoints;
use sqlx::SqlitePool;

struct InsertEffects {
    pool: SqlitePool,
    checkpoints: SqliteCheckpoints,
    batches: Arc<AtomicU32>,
}

impl RecordProcessor for InsertEffects {
    async fn process_records(&mut self, batch: &Batch, shard: &ShardContext) -> Result<(), BoxError> {
        let mut transaction = self.pool.begin().await?;
        for record in self.checkpoints.advance(&mut transaction, shard, batch, None).await? {
            let number: i64 = std::str::from_utf8(&record.data)?.parse()?;
            sqlx::query("INSERT INTO effects (n) VALUES ($1)").bind(number).execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        // Every third batch fails after its commit, as if the answer to the commit were lost.
        match self.batches.fetch_add(1, Ordering::Relaxed) % 3 {
            0 => Err("no answer".into()),
            _ => Ok(()),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_effect_exists_once_although_the_worker_is_killed() {
    let aws = LocalAws::start().await.unwrap();
    aws.kinesis().create_stream().stream_name("clicks").shard_count(2).send().await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(directory.path().join("effects.db"));
    let pool = SqlitePool::connect_with(options.create_if_missing(true)).await.unwrap();
    sqlx::query("CREATE TABLE effects (n BIGINT NOT NULL)").execute(&pool).await.unwrap();
    let checkpoints = SqliteCheckpoints::new(pool.clone(), "delays");
    checkpoints.create_table().await.unwrap();
    let (batches, mut put) = (Arc::new(AtomicU32::new(0)), 0_u32);
    let count = async || -> u32 {
        let (count,): (u32,) = sqlx::query_as("SELECT COUNT(*) FROM effects").fetch_one(&pool).await.unwrap();
        count
    };
    for round in 0..5 {
        let settings =
            Settings::default().failover_time(Duration::from_secs(2)).fleet_poll_interval(Duration::from_millis(100));
        let (its_pool, its_checkpoints, its_batches) = (pool.clone(), checkpoints.clone(), batches.clone());
        let worker = Worker::builder("delays", "clicks")
            .settings(settings.poll_interval(Duration::from_millis(20)))
            .worker_id("ann")
            .sdk_config(&aws.sdk_config())
            .checkpoint_store(checkpoints.clone())
            .processor(move |_| InsertEffects {
                pool: its_pool.clone(),
                checkpoints: its_checkpoints.clone(),
                batches: its_batches.clone(),
            })
            .build()
            .await
            .unwrap();
        let handle = worker.handle();
        let running = tokio::spawn(worker.run());
        for _ in 0..40 {
            let put_one = aws.kinesis().put_record().stream_name("clicks").partition_key(format!("key-{}", put % 7));
            let data = aws_sdk_kinesis::primitives::Blob::new(put.to_string());
            put_one.data(data).send().await.unwrap();
            put += 1;
        }
        let done = async {
            while count().await < put {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        if round == 4 {
            tokio::time::timeout(Duration::from_secs(60), done).await.expect("all effects exist within a minute");
            handle.shutdown(Duration::from_secs(10)).await;
            running.await.unwrap().unwrap();
        } else {
            // Kill the worker while it processes.
            let _ = tokio::time::timeout(Duration::from_millis(700), done).await;
            running.abort_handle().abort();
        }
    }
    let rows: Vec<(i64,)> = sqlx::query_as("SELECT n FROM effects ORDER BY n").fetch_all(&pool).await.unwrap();
    let numbers: Vec<i64> = rows.into_iter().map(|(n,)| n).collect();
    assert_eq!(numbers, (0..i64::from(put)).collect::<Vec<_>>());
    // A clean shutdown copies the positions to the lease table, so that a Java KCL can continue
    // from them.
    let leases = aws.dynamodb().scan().table_name("delays").send().await.unwrap().items.unwrap();
    for lease in leases {
        let (key, checkpoint) = (lease["leaseKey"].as_s().unwrap(), lease["checkpoint"].as_s().unwrap());
        let position: (String,) = sqlx::query_as("SELECT sequence_number FROM kcl_checkpoint WHERE lease = $1")
            .bind(key)
            .fetch_one(&pool)
            .await
            .unwrap();
        assert_eq!(&position.0, checkpoint, "{key}");
    }
    aws.shutdown().await;
}
