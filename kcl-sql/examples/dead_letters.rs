//! Writes effects and dead letters to SQLite in one transaction: a record that does not parse
//! blocks no other record, and is stored exactly once.
//!
//! ```sh
//! cargo run -p kcl-sql --example dead_letters -- STREAM
//! ```

use kcl_core::prelude::*;
use kcl_sql::SqliteCheckpoints;
use sqlx::SqlitePool;
use sqlx::sqlite::SqliteConnectOptions;

/// Inserts the delay of each record, or a dead letter.
struct InsertDelays {
    pool: SqlitePool,
    checkpoints: SqliteCheckpoints,
}

fn parse(data: &[u8]) -> Result<i64, BoxError> {
    Ok(std::str::from_utf8(data)?.trim().parse()?)
}

impl RecordProcessor for InsertDelays {
    async fn process_records(&mut self, batch: &Batch, shard: &ShardContext) -> Result<(), BoxError> {
        let mut transaction = self.pool.begin().await?;
        // The position may move past the whole batch, because each record gets a row in one of the
        // two tables.
        for record in self.checkpoints.advance(&mut transaction, shard, batch, None).await? {
            let statement = match parse(&record.data) {
                Ok(minutes) => sqlx::query("INSERT INTO delays (minutes) VALUES ($1)").bind(minutes),
                Err(error) => sqlx::query(
                    "INSERT INTO dead_letters (lease, sequence_number, sub_sequence_number, error, data) \
                     VALUES ($1, $2, $3, $4, $5)",
                )
                .bind(shard.lease_key())
                .bind(record.sequence_number.as_str())
                .bind(i64::try_from(record.sub_sequence_number)?)
                .bind(error.to_string())
                .bind(record.data.as_ref()),
            };
            statement.execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let stream = std::env::args().nth(1).ok_or("give the name of a stream")?;
    let options = SqliteConnectOptions::new().filename("delays.db").create_if_missing(true);
    let pool = SqlitePool::connect_with(options).await?;
    for table in [
        "CREATE TABLE IF NOT EXISTS delays (minutes BIGINT NOT NULL)",
        "CREATE TABLE IF NOT EXISTS dead_letters (lease TEXT NOT NULL, sequence_number TEXT NOT NULL, \
         sub_sequence_number BIGINT NOT NULL, error TEXT NOT NULL, data BLOB NOT NULL, \
         PRIMARY KEY (lease, sequence_number, sub_sequence_number))",
    ] {
        sqlx::query(table).execute(&pool).await?;
    }
    let checkpoints = SqliteCheckpoints::new(pool.clone(), "delays");
    checkpoints.create_table().await?;
    let worker = Worker::builder("delays", stream.as_str())
        .checkpoint_store(checkpoints.clone())
        .processor(move |_: &ShardId| InsertDelays { pool: pool.clone(), checkpoints: checkpoints.clone() })
        .build()
        .await?;
    worker.run_until(shutdown_signal()).await?;
    Ok(())
}
