//! Exactly-once effects for Kinesis consumers that write to SQLite or PostgreSQL.
//!
//! The handler writes the checkpoint in the same transaction as its effects. After a crash the
//! database has either both or neither, so each record takes effect *exactly once*. The transaction
//! also checks the fencing token of the lease: a handler that lost its lease cannot commit.
//!
//! ```no_run
//! use kcl_core::prelude::*;
//! use kcl_sql::SqliteCheckpoints;
//! use sqlx::SqlitePool;
//!
//! struct InsertFlights {
//!     pool: SqlitePool,
//!     checkpoints: SqliteCheckpoints,
//! }
//!
//! impl RecordProcessor for InsertFlights {
//!     async fn process_records(
//!         &mut self,
//!         batch: &Batch,
//!         shard: &ShardContext,
//!     ) -> Result<(), BoxError> {
//!         let mut transaction = self.pool.begin().await?;
//!         // Moves the checkpoint past the batch, and returns the records whose effects are not in
//!         // the database yet.
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
//!     .processor(move |_: &ShardId| InsertFlights {
//!         pool: pool.clone(),
//!         checkpoints: checkpoints.clone(),
//!     })
//!     .build()
//!     .await?;
//! worker.run_until(shutdown_signal()).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Records that cannot be processed
//! A shard has one position, and every record up to it counts as processed. So the position may
//! pass a failed record only if the record is stored elsewhere. The usual place is a dead-letter
//! table, in the same transaction: no other record waits, and the failed record is stored exactly
//! once. (`examples/dead_letters.rs` is a complete program.)
//!
//! ```
//! # use kcl_core::prelude::*;
//! # use kcl_sql::SqliteCheckpoints;
//! # struct Departures { pool: sqlx::SqlitePool, checkpoints: SqliteCheckpoints }
//! # fn parse(data: &[u8]) -> Result<i64, BoxError> { Ok(std::str::from_utf8(data)?.parse()?) }
//! impl RecordProcessor for Departures {
//!     async fn process_records(
//!         &mut self,
//!         batch: &Batch,
//!         shard: &ShardContext,
//!     ) -> Result<(), BoxError> {
//!         let mut transaction = self.pool.begin().await?;
//!         for record in self.checkpoints.advance(&mut transaction, shard, batch, None).await? {
//!             let statement = match parse(&record.data) {
//!                 Ok(minutes) => sqlx::query("INSERT INTO delays VALUES ($1)").bind(minutes),
//!                 Err(error) => sqlx::query("INSERT INTO dead_letters VALUES ($1, $2, $3, $4)")
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
//! To let the error policy decide instead (retries, a dead-letter sink), name the failed record in
//! a `BatchOutcome` and pass the outcome to [`advance`](SqliteCheckpoints::advance). The position
//! then stops before the first failed record; that record and all later ones are delivered again.
//!
//! # Guarantees
//! - A batch that is delivered again (the answer to a commit was lost, the worker crashed) has no
//!   second effect: [`advance`](SqliteCheckpoints::advance) leaves out the records whose effects
//!   are in the database.
//! - After a new owner of a lease has begun, no transaction of an older owner commits.
//! - The position never moves back. The owner copies it to the lease table when it releases the
//!   lease, so that a Java KCL can continue from it.
//!
//! # Assumptions
//! - All effects are in this database, and in the transaction that called `advance`.
//! - The batches of a shard are processed one after the other (`concurrency` is `serial`; a worker
//!   with a checkpoint store refuses other values).
//! - The rows of the table are not deleted while the application exists.
//! - A handler does not report a record as failed after the position has passed it, and does not
//!   take acknowledgement handles. The worker stops otherwise (KCL-0024).
//! - Fencing tokens of a lease only grow. They are counters in the lease table. If that table is
//!   restored from a backup, or deleted and created again, its counters may start from a lower
//!   number, and every handler is rejected as fenced. Then stop the application, set
//!   `fencing_token` of its rows to 0, and start it again; the positions stay valid.
//!
//! # The table
//! The table `kcl_checkpoint` (or another name) contains no payload and no partition key. Its
//! columns:
//!
//! - `application`, `lease`: the primary key.
//! - `fencing_token`: the highest token of an owner that has begun.
//! - `sequence_number` (decimal digits), `sub_sequence_number`: the last processed record; null
//!   before the first.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod backend;
mod error;
mod position;
mod statement;

/// Compiles the code of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;

pub use backend::Advanced;
#[cfg(feature = "postgres")]
pub use backend::PostgresCheckpoints;
#[cfg(feature = "sqlite")]
pub use backend::SqliteCheckpoints;
pub use error::Error;
