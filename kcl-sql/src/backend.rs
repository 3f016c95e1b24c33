//! The same checkpoints on each database: what differs is the type of the pool and of the transaction.

use kcl_core::BatchOutcome;
use kcl_core::record::{Position, Record};

/// Where a lease stood when a transaction held it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpointed {
    /// The last record whose effect was in the database; none before the first.
    pub before: Option<Position>,
}

impl Checkpointed {
    /// Those of the records, which are in order, whose effects are not in the database yet.
    #[must_use]
    pub fn new_of<'a>(&self, records: &'a [Record]) -> &'a [Record] {
        let known =
            self.before.as_ref().map_or(0, |before| records.partition_point(|record| record.position() <= *before));
        records.get(known..).unwrap_or_default()
    }
}

/// The records before the first one that failed.
fn done_of<'a>(records: &'a [Record], outcome: Option<&BatchOutcome>) -> &'a [Record] {
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
            /// Of this application, in the table `kcl_checkpoint` of the pool's database.
            ///
            /// Several applications may share a table; two fleets must not share an application's name in one.
            #[must_use]
            pub fn new(pool: $pool, application: impl Into<String>) -> Self {
                // The name is a plain one.
                let table = crate::statement::Table::default();
                $name { pool, table, application: application.into() }
            }

            /// In a table of this name.
            ///
            /// # Errors
            /// [`Error::TableName`](crate::Error::TableName) for what is no plain name.
            pub fn in_table(mut self, name: &str) -> Result<Self, crate::Error> {
                self.table = crate::statement::Table::named(name)?;
                Ok(self)
            }

            /// Creates the table, unless it is there.
            ///
            /// # Errors
            /// What the database says.
            pub async fn create_table(&self) -> Result<(), crate::Error> {
                let create = sqlx::query(sqlx::AssertSqlSafe(self.table.create()));
                create.execute(&self.pool).await.map_err(|source| self.told(source))?;
                Ok(())
            }

            /// Within the handler's transaction: checks that the lease is this handler's, moves the position, and returns
            /// the records before the new position that are new to the database. Write their effects in the same
            /// transaction, and commit it.
            ///
            /// Without an outcome the position moves past the whole batch: all effects are written, or the transaction is
            /// rolled back. With one, it stops before the first record that the outcome names as failed: that record and
            /// all after it come again. Decide what failed first, advance, write the effects of what is returned, commit,
            /// and return `outcome.into_result()`. (Records that must not hold up the others belong in a table of dead
            /// letters, in the same transaction: see the crate's documentation.)
            ///
            /// # Errors
            /// [`Error::Fenced`](crate::Error::Fenced) where another owner has begun. Roll back: a transaction that is
            /// dropped does so.
            pub async fn advance<'b>(
                &self,
                transaction: &mut sqlx::Transaction<'_, $database>,
                shard: &kcl_core::ShardContext,
                batch: &'b kcl_core::Batch,
                outcome: Option<&kcl_core::BatchOutcome>,
            ) -> Result<&'b [kcl_core::record::Record], crate::Error> {
                let records = done_of(batch.records(), outcome);
                let (lease, token) = (shard.lease_key(), shard.fencing_token());
                let Some(last) = records.last() else {
                    self.fence(transaction, lease, token).await?;
                    return Ok(records);
                };
                Ok(self.advance_to(transaction, lease, token, &last.position()).await?.new_of(records))
            }

            /// The same for one lease and one position, and tells where the lease stood. It never moves back.
            ///
            /// # Errors
            /// As [`advance`](Self::advance).
            pub async fn advance_to(
                &self,
                transaction: &mut sqlx::Transaction<'_, $database>,
                lease: &str,
                fencing_token: u64,
                to: &kcl_core::record::Position,
            ) -> Result<crate::Checkpointed, crate::Error> {
                let sub = self.sql(lease, "sub-sequence number", to.sub_sequence_number)?;
                if let Err(error) = kcl_core::record::SequenceNumber::parse(to.sequence_number.as_str()) {
                    return Err(self.unstorable(lease, error.to_string()));
                }
                let before = self.hold(transaction, lease, fencing_token).await?;
                if before.as_ref().is_none_or(|before| before < to) {
                    let advance = sqlx::query(sqlx::AssertSqlSafe(self.table.advance()))
                        .bind(&self.application)
                        .bind(lease)
                        .bind(to.sequence_number.as_str())
                        .bind(sub);
                    advance.execute(&mut **transaction).await.map_err(|source| self.told(source))?;
                }
                Ok(crate::Checkpointed { before })
            }

            /// Within the handler's transaction: makes sure that the lease is this handler's, and moves nothing. For
            /// handlers that want late writes refused and keep their position as all others do.
            ///
            /// # Errors
            /// As [`advance`](Self::advance).
            pub async fn fence(
                &self,
                transaction: &mut sqlx::Transaction<'_, $database>,
                lease: &str,
                fencing_token: u64,
            ) -> Result<(), crate::Error> {
                self.hold(transaction, lease, fencing_token).await.map(drop)
            }

            async fn hold(
                &self,
                transaction: &mut sqlx::Transaction<'_, $database>,
                lease: &str,
                fencing_token: u64,
            ) -> Result<Option<kcl_core::record::Position>, crate::Error> {
                let hold = sqlx::query_as(sqlx::AssertSqlSafe(self.table.hold()))
                    .bind(&self.application)
                    .bind(lease)
                    .bind(self.sql(lease, "fencing token", fencing_token)?);
                let row: Option<(Option<String>, Option<i64>)> =
                    hold.fetch_optional(&mut **transaction).await.map_err(|source| self.told(source))?;
                match row {
                    Some((digits, sub)) => self.read(lease, digits, sub),
                    None => Err(self.refused(transaction, lease, fencing_token).await),
                }
            }

            /// Why there was no row.
            async fn refused(
                &self,
                transaction: &mut sqlx::Transaction<'_, $database>,
                lease: &str,
                own: u64,
            ) -> crate::Error {
                let token = sqlx::query_as(sqlx::AssertSqlSafe(self.table.token())).bind(&self.application).bind(lease);
                let seen: Result<Option<(i64,)>, sqlx::Error> = token.fetch_optional(&mut **transaction).await;
                let (table, application) = (self.table.as_str().to_owned(), self.application.clone());
                let lease = lease.to_owned();
                match seen {
                    Ok(Some((seen,))) => {
                        let seen = u64::try_from(seen).unwrap_or(0);
                        crate::Error::Fenced { table, application, lease, own, seen }
                    }
                    Ok(None) => crate::Error::Unknown { table, application, lease },
                    Err(source) => self.told(source),
                }
            }

            fn read(
                &self,
                lease: &str,
                digits: Option<String>,
                sub: Option<i64>,
            ) -> Result<Option<kcl_core::record::Position>, crate::Error> {
                crate::position::read(digits, sub).map_err(|why| crate::Error::Damaged {
                    table: self.table.as_str().to_owned(),
                    application: self.application.clone(),
                    lease: lease.to_owned(),
                    why,
                })
            }

            fn sql(&self, lease: &str, what: &str, number: u64) -> Result<i64, crate::Error> {
                crate::position::sql(number)
                    .ok_or_else(|| self.unstorable(lease, format!("{what} {number} does not fit a BIGINT")))
            }

            fn unstorable(&self, lease: &str, why: String) -> crate::Error {
                crate::Error::Unstorable {
                    table: self.table.as_str().to_owned(),
                    application: self.application.clone(),
                    lease: lease.to_owned(),
                    why,
                }
            }

            fn told(&self, source: sqlx::Error) -> crate::Error {
                crate::Error::Database { table: self.table.as_str().to_owned(), source }
            }

            async fn begin_lease(
                &self,
                lease: &kcl_core::ClaimedLease,
            ) -> Result<Option<kcl_core::record::Position>, crate::Error> {
                let mut transaction = self.pool.begin().await.map_err(|source| self.told(source))?;
                let begin = sqlx::query_as(sqlx::AssertSqlSafe(self.table.begin()))
                    .bind(&self.application)
                    .bind(&lease.lease_key)
                    .bind(self.sql(&lease.lease_key, "fencing token", lease.fencing_token)?);
                let row: Option<(Option<String>, Option<i64>)> =
                    begin.fetch_optional(&mut *transaction).await.map_err(|source| self.told(source))?;
                let Some((digits, sub)) = row else {
                    return Err(self.refused(&mut transaction, &lease.lease_key, lease.fencing_token).await);
                };
                let position = self.read(&lease.lease_key, digits, sub)?;
                transaction.commit().await.map_err(|source| self.told(source))?;
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
    /// A transaction that only reads at first may be refused by SQLite when it comes to write: call
    /// [`advance`](Self::advance) before anything else in it, which is a write.
    SqliteCheckpoints,
    sqlx::Sqlite,
    sqlx::SqlitePool
);

#[cfg(feature = "postgres")]
backend!(
    /// Checkpoints in a PostgreSQL database. Cheap to clone.
    ///
    /// At any isolation level; under `SERIALIZABLE` a transaction may have to be repeated, as all do there: return the error.
    PostgresCheckpoints,
    sqlx::Postgres,
    sqlx::PgPool
);
