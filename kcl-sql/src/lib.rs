//! Checkpoints in the user's own SQL transaction: effect, position and fencing token change together, or not at all.
//!
//! A handler whose effects go to a database gets each record's effect there *exactly once*, whatever crashes when: the
//! position that says "done up to here" is written by the same transaction as the effects, and a handler that outlived its
//! lease is refused.
//!
//! ```no_run
//! use kcl_core::prelude::*;
//! use kcl_sql::SqliteCheckpoints;
//! use sqlx::SqlitePool;
//!
//! struct Count {
//!     pool: SqlitePool,
//!     checkpoints: SqliteCheckpoints,
//! }
//!
//! impl RecordProcessor for Count {
//!     async fn process_records(&mut self, batch: &Batch, shard: &ShardContext) -> Result<(), BoxError> {
//!         let mut transaction = self.pool.begin().await?;
//!         // Those whose effects are not in the database yet; the position moves past all of them.
//!         for record in self.checkpoints.advance(&mut transaction, shard, batch, None).await? {
//!             sqlx::query("INSERT INTO flights (carrier) VALUES ($1)")
//!                 .bind(record.partition_key.as_deref())
//!                 .execute(&mut *transaction)
//!                 .await?;
//!         }
//!         transaction.commit().await?;
//!         Ok(())
//!     }
//! }
//!
//! # async fn run() -> Result<(), BoxError> {
//! let pool = SqlitePool::connect("sqlite://flights.db").await?;
//! let checkpoints = SqliteCheckpoints::new(pool.clone(), "delays");
//! checkpoints.create_table().await?;
//! let worker = Worker::builder("delays", "flights")
//!     .checkpoint_store(checkpoints.clone())
//!     .processor(move |_: &ShardId| Count { pool: pool.clone(), checkpoints: checkpoints.clone() })
//!     .build()
//!     .await?;
//! worker.run_until(shutdown_signal()).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Records that cannot be handled
//! One position a shard says that everything up to it is done, so a record that failed must not be passed by it unless it is
//! kept elsewhere. The usual way is a table of dead letters, in the same transaction: nothing waits for the record, and it is
//! kept exactly once, whatever crashes when. (`examples/dead_letters.rs` is a whole program.)
//!
//! ```
//! # use kcl_core::prelude::*;
//! # use kcl_sql::SqliteCheckpoints;
//! # struct Departures { pool: sqlx::SqlitePool, checkpoints: SqliteCheckpoints }
//! # fn parse(data: &[u8]) -> Result<i64, BoxError> { Ok(std::str::from_utf8(data)?.parse()?) }
//! impl RecordProcessor for Departures {
//!     async fn process_records(&mut self, batch: &Batch, shard: &ShardContext) -> Result<(), BoxError> {
//!         let mut transaction = self.pool.begin().await?;
//!         for record in self.checkpoints.advance(&mut transaction, shard, batch, None).await? {
//!             let statement = match parse(&record.data) {
//!                 Ok(delay) => sqlx::query("INSERT INTO delays (minutes) VALUES ($1)").bind(delay),
//!                 Err(error) => sqlx::query("INSERT INTO dead_letters (lease, sequence_number, error, data) VALUES ($1, $2, $3, $4)")
//!                     .bind(shard.lease_key())
//!                     .bind(record.sequence_number.as_str())
//!                     .bind(error.to_string())
//!                     .bind(record.data.as_ref()),
//!             };
//!             statement.execute(&mut *transaction).await?;
//!         }
//!         transaction.commit().await?;
//!         Ok(())
//!     }
//! }
//! ```
//!
//! Where the error policy is to decide (retries, a dead-letter sink), name the record in a `BatchOutcome` and give that to
//! [`advance`](SqliteCheckpoints::advance) before the commit: the position stops before the first failed record, and that
//! one and everything after it come again.
//!
//! # Guarantees
//! - A batch that comes again (the answer to a commit was lost, the worker crashed) has no second effect:
//!   [`advance`](SqliteCheckpoints::advance) leaves out what the database knows.
//! - After a new owner has begun, no transaction of an older one commits an effect.
//! - The position never goes back. The lease's row gets it when the lease is given up, so that a Java KCL can go on.
//!
//! # Assumptions
//! - All effects are in this database, and in the transaction that `advance` was called in.
//! - Records of a shard are handled one after the other (`concurrency` is `serial`; a worker with a checkpoint store refuses
//!   another setting).
//! - Nobody deletes rows of the table while the application lives.
//! - A handler names no record as failed that the position has passed, and takes no handles: the worker stops (KCL-0024).
//! - Fencing tokens of a lease only grow. They are counters of rows in the lease table: one that was restored from a backup,
//!   or deleted and created again, may count from a lower number, and every handler is then refused as fenced. Stop the
//!   application, set `fencing_token` of its rows to 0, and start it again; positions stay as they are.
//!
//! # The table
//! `kcl_checkpoint`, or another name: `application`, `lease` (the primary key), `fencing_token` (the highest that was seen),
//! `sequence_number` (digits) and `sub_sequence_number` of the last record that is done; null before the first. No payload and no partition key.

mod backend;
mod error;
mod position;
mod statement;

pub use backend::Checkpointed;
#[cfg(feature = "postgres")]
pub use backend::PostgresCheckpoints;
#[cfg(feature = "sqlite")]
pub use backend::SqliteCheckpoints;
pub use error::Error;
