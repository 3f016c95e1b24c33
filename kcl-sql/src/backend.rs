//! Implements the checkpoints once for all databases; only the types of the pool and of the
//! transaction differ.

use kcl_core::BatchOutcome;
use kcl_core::record::{Position, Record};

/// The position of a lease before `advance_to` moved it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advanced {
    /// The last record whose effect was already in the database; `None` before the first record.
    pub previous: Option<Position>,
}

impl Advanced {
    /// Returns the records whose effects are not in the database yet. The given records must be in
    /// order.
    #[must_use]
    pub fn new_records<'a>(&self, records: &'a [Record]) -> &'a [Record] {
        let known = self
            .previous
            .as_ref()
            .map_or(0, |previous| records.partition_point(|record| record.position() <= *previous));
        records.get(known..).unwrap_or_default()
    }
}

/// Returns the records before the first failed one.
fn before_first_failure<'a>(records: &'a [Record], outcome: Option<&BatchOutcome>) -> &'a [Record] {
    let failed = outcome.and_then(|outcome| records.iter().position(|record| outcome.has_failed(record)));
    records.get(..failed.unwrap_or(records.len())).unwrap_or_default()
}

macro_rules! backend {
    ($(#[$meta:meta])* $name:ident, $database:ty, $pool:ty) => {
        $(#[$meta])*
        #[derive(Clone, Debug)]
        pub struct $name {
            pool: $pool,
            table: crate::statement::Table,
            application: String,
        }

        impl $name {
            /// Creates a store for this application, with the table `kcl_checkpoint` in the pool's
            /// database.
            ///
            /// Several applications may share a table. Two fleets must not use the same application
            /// name in it.
            #[must_use]
            pub fn new(pool: $pool, application: impl Into<String>) -> Self {
                let table = crate::statement::Table::default();
                $name { pool, table, application: application.into() }
            }

            /// Uses a table of this name instead of `kcl_checkpoint`: letters, digits and `_`.
            ///
            /// # Errors
            /// [`Error::TableName`](crate::Error::TableName) if the name has other characters, is
            /// too long, or begins with a digit.
            pub fn in_table(mut self, name: &str) -> Result<Self, crate::Error> {
                self.table = crate::statement::Table::named(name)?;
                Ok(self)
            }

            /// Creates the table if it does not exist.
            ///
            /// # Errors
            /// [`Error::Database`](crate::Error::Database) if the database refuses the statement or
            /// does not answer.
            pub async fn create_table(&self) -> Result<(), crate::Error> {
                let create = sqlx::query(sqlx::AssertSqlSafe(self.table.create()));
                create.execute(&self.pool).await.map_err(|source| self.database_error(source))?;
                Ok(())
            }

            /// Moves the position of the lease past the batch, within the handler's transaction,
            /// and returns the records whose effects are not in the database yet.
            ///
            /// Call it before any other statement of the transaction. Then write the effects of the
            /// returned records in the same transaction, and commit it.
            ///
            /// Without an `outcome` the position moves past the whole batch: write all effects, or
            /// roll back. With an `outcome` the position stops before the first failed record; that
            /// record and all later ones are delivered again. In that case decide first which
            /// records fail, then advance, write the effects, commit, and return
            /// `outcome.into_result()`. (To let later records continue, store the failed one in a
            /// dead-letter table in the same transaction: see the [crate
            /// documentation](crate#records-that-cannot-be-processed).)
            ///
            /// # Errors
            /// - [`Error::Fenced`](crate::Error::Fenced) if a newer owner of the lease has begun.
            /// - [`Error::UnknownLease`](crate::Error::UnknownLease) if the worker was built
            ///   without this store.
            /// - [`Error::Database`](crate::Error::Database) if the database refuses a statement or
            ///   does not answer.
            ///
            /// Roll the transaction back after an error; dropping it does so.
            pub async fn advance<'b>(
                &self,
                transaction: &mut sqlx::Transaction<'_, $database>,
                shard: &kcl_core::ShardContext,
                batch: &'b kcl_core::Batch,
                outcome: Option<&kcl_core::BatchOutcome>,
            ) -> Result<&'b [kcl_core::record::Record], crate::Error> {
                let records = before_first_failure(batch.records(), outcome);
                let (lease, token) = (shard.lease_key(), shard.fencing_token());
                let Some(last) = records.last() else {
                    self.fence(transaction, lease, token).await?;
                    return Ok(records);
                };
                Ok(self.advance_to(transaction, lease, token, &last.position()).await?.new_records(records))
            }

            /// Moves the position of a lease to `to`, as [`advance`](Self::advance) does, and
            /// returns its previous position.
            ///
            /// A position before the current one changes nothing.
            ///
            /// # Errors
            /// As [`advance`](Self::advance).
            pub async fn advance_to(
                &self,
                transaction: &mut sqlx::Transaction<'_, $database>,
                lease: &str,
                fencing_token: u64,
                to: &kcl_core::record::Position,
            ) -> Result<crate::Advanced, crate::Error> {
                let sub = self.bigint(lease, "sub-sequence number", to.sub_sequence_number)?;
                if let Err(error) = kcl_core::record::SequenceNumber::parse(to.sequence_number.as_str()) {
                    return Err(self.unstorable(lease, error.to_string()));
                }
                let previous = self.lock_row(transaction, lease, fencing_token).await?;
                if previous.as_ref().is_none_or(|previous| previous < to) {
                    let advance = sqlx::query(sqlx::AssertSqlSafe(self.table.advance()))
                        .bind(&self.application)
                        .bind(lease)
                        .bind(to.sequence_number.as_str())
                        .bind(sub);
                    advance.execute(&mut **transaction).await.map_err(|source| self.database_error(source))?;
                }
                Ok(crate::Advanced { previous })
            }

            /// Checks, within the handler's transaction, that no newer owner of the lease has
            /// begun. Does not move the position.
            ///
            /// For handlers that only want writes after a lease loss rejected, and whose
            /// checkpoints stay in the lease table.
            ///
            /// # Errors
            /// As [`advance`](Self::advance).
            pub async fn fence(
                &self,
                transaction: &mut sqlx::Transaction<'_, $database>,
                lease: &str,
                fencing_token: u64,
            ) -> Result<(), crate::Error> {
                self.lock_row(transaction, lease, fencing_token).await.map(drop)
            }

            /// Locks the lease's row until the transaction ends, if its fencing token is this one,
            /// and returns its position.
            async fn lock_row(
                &self,
                transaction: &mut sqlx::Transaction<'_, $database>,
                lease: &str,
                fencing_token: u64,
            ) -> Result<Option<kcl_core::record::Position>, crate::Error> {
                let lock = sqlx::query_as(sqlx::AssertSqlSafe(self.table.lock_row()))
                    .bind(&self.application)
                    .bind(lease)
                    .bind(self.bigint(lease, "fencing token", fencing_token)?);
                let row: Option<(Option<String>, Option<i64>)> =
                    lock.fetch_optional(&mut **transaction).await.map_err(|source| self.database_error(source))?;
                match row {
                    Some((digits, sub)) => self.read(lease, digits, sub),
                    None => Err(self.refusal(transaction, lease, fencing_token).await),
                }
            }

            /// The reason why a statement matched no row: a higher fencing token, or no row of the
            /// lease.
            async fn refusal(
                &self,
                transaction: &mut sqlx::Transaction<'_, $database>,
                lease: &str,
                own_token: u64,
            ) -> crate::Error {
                let token = sqlx::query_as(sqlx::AssertSqlSafe(self.table.fencing_token())).bind(&self.application).bind(lease);
                let row: Result<Option<(i64,)>, sqlx::Error> = token.fetch_optional(&mut **transaction).await;
                let (table, application) = (self.table.as_str().to_owned(), self.application.clone());
                let lease = lease.to_owned();
                match row {
                    Ok(Some((highest,))) => {
                        let highest_token = u64::try_from(highest).unwrap_or(0);
                        crate::Error::Fenced { table, application, lease, own_token, highest_token }
                    }
                    Ok(None) => crate::Error::UnknownLease { table, application, lease },
                    Err(source) => self.database_error(source),
                }
            }

            fn read(
                &self,
                lease: &str,
                digits: Option<String>,
                sub: Option<i64>,
            ) -> Result<Option<kcl_core::record::Position>, crate::Error> {
                crate::position::read(digits, sub).map_err(|reason| crate::Error::InvalidRow {
                    table: self.table.as_str().to_owned(),
                    application: self.application.clone(),
                    lease: lease.to_owned(),
                    reason,
                })
            }

            fn bigint(&self, lease: &str, name: &str, number: u64) -> Result<i64, crate::Error> {
                crate::position::bigint(number)
                    .ok_or_else(|| self.unstorable(lease, format!("{name} {number} does not fit a BIGINT")))
            }

            fn unstorable(&self, lease: &str, reason: String) -> crate::Error {
                crate::Error::Unstorable {
                    table: self.table.as_str().to_owned(),
                    application: self.application.clone(),
                    lease: lease.to_owned(),
                    reason,
                }
            }

            fn database_error(&self, source: sqlx::Error) -> crate::Error {
                crate::Error::Database { table: self.table.as_str().to_owned(), source }
            }

            async fn begin_lease(
                &self,
                lease: &kcl_core::ClaimedLease,
            ) -> Result<Option<kcl_core::record::Position>, crate::Error> {
                let mut transaction = self.pool.begin().await.map_err(|source| self.database_error(source))?;
                let begin = sqlx::query_as(sqlx::AssertSqlSafe(self.table.begin()))
                    .bind(&self.application)
                    .bind(&lease.lease_key)
                    .bind(self.bigint(&lease.lease_key, "fencing token", lease.fencing_token)?);
                let row: Option<(Option<String>, Option<i64>)> =
                    begin.fetch_optional(&mut *transaction).await.map_err(|source| self.database_error(source))?;
                let Some((digits, sub)) = row else {
                    return Err(self.refusal(&mut transaction, &lease.lease_key, lease.fencing_token).await);
                };
                let position = self.read(&lease.lease_key, digits, sub)?;
                transaction.commit().await.map_err(|source| self.database_error(source))?;
                Ok(position)
            }
        }

        #[async_trait::async_trait]
        impl kcl_core::CheckpointStore for $name {
            async fn begin(
                &self,
                lease: &kcl_core::ClaimedLease,
            ) -> Result<Option<kcl_core::record::Position>, kcl_core::BoxError> {
                Ok(self.begin_lease(lease).await?)
            }
        }
    };
}

#[cfg(feature = "sqlite")]
backend!(
    /// Checkpoints in a SQLite database. Cheap to clone.
    ///
    /// Call [`advance`](Self::advance) before any other statement of a transaction. It writes, so
    /// SQLite takes the write lock at once; a transaction that reads first may fail with
    /// `SQLITE_BUSY` when it writes later (<https://www.sqlite.org/isolation.html>).
    SqliteCheckpoints,
    sqlx::Sqlite,
    sqlx::SqlitePool
);

#[cfg(feature = "postgres")]
backend!(
    /// Checkpoints in a PostgreSQL database. Cheap to clone.
    ///
    /// Works at any isolation level. Under `SERIALIZABLE` a transaction may fail with a
    /// serialization error: return the error from the handler, and the batch is delivered again.
    PostgresCheckpoints,
    sqlx::Postgres,
    sqlx::PgPool
);
