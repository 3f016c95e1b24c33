//! Tests the guarantees of a checkpoint store on each database. PostgreSQL is tested if
//! `KCL_SQL_POSTGRES_URL` names a server (`tests/postgres/run` starts one).

#![cfg(test)]

use kcl_core::record::{Position, SequenceNumber, ShardId};
use kcl_core::{CheckpointStore, ClaimedLease};

fn at(n: u64) -> Position {
    Position { sequence_number: SequenceNumber::parse(n.to_string()).unwrap(), sub_sequence_number: 0 }
}

fn claimed(lease: &str, token: u64) -> ClaimedLease {
    ClaimedLease::new(lease, ShardId::from(lease), token)
}

/// A table name that no other test uses.
fn unique_name() -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("t_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

macro_rules! suite {
    ($backend:ident, $checkpoints:ty, $database:ty, $pool:expr) => {
        mod $backend {
            use super::*;

            /// A store with a table of its own, and a table for effects. `None` without a database
            /// server.
            async fn store() -> Option<($checkpoints, sqlx::Pool<$database>, String, Option<tempfile::TempDir>)> {
                let (pool, directory): (sqlx::Pool<$database>, Option<tempfile::TempDir>) = $pool.await?;
                let (table, effects) = (unique_name(), unique_name());
                let store = <$checkpoints>::new(pool.clone(), "delays").in_table(&table).unwrap();
                store.create_table().await.unwrap();
                store.create_table().await.expect("an existing table is kept");
                let create = format!("CREATE TABLE {effects} (n BIGINT NOT NULL)");
                sqlx::query(sqlx::AssertSqlSafe(create)).execute(&pool).await.unwrap();
                Some((store, pool, effects, directory))
            }

            async fn effect(transaction: &mut sqlx::Transaction<'_, $database>, table: &str, n: u64) {
                let insert = format!("INSERT INTO {table} (n) VALUES ($1)");
                let insert = sqlx::query(sqlx::AssertSqlSafe(insert)).bind(i64::try_from(n).unwrap());
                insert.execute(&mut **transaction).await.unwrap();
            }

            async fn effects(pool: &sqlx::Pool<$database>, table: &str) -> Vec<i64> {
                let select = format!("SELECT n FROM {table} ORDER BY n");
                let rows: Vec<(i64,)> = sqlx::query_as(sqlx::AssertSqlSafe(select)).fetch_all(pool).await.unwrap();
                rows.into_iter().map(|(n,)| n).collect()
            }

            #[tokio::test]
            async fn begin_returns_the_position_and_then_refuses_lower_fencing_tokens() {
                let Some((store, pool, _, _directory)) = store().await else { return };
                assert_eq!(store.begin(&claimed("shard-1", 4)).await.unwrap(), None);
                let mut transaction = pool.begin().await.unwrap();
                store.advance_to(&mut transaction, "shard-1", 4, &at(17)).await.unwrap();
                transaction.commit().await.unwrap();
                assert_eq!(store.begin(&claimed("shard-1", 4)).await.unwrap(), Some(at(17)), "begin can be repeated");
                assert_eq!(store.begin(&claimed("shard-1", 9)).await.unwrap(), Some(at(17)));
                let error = store.begin(&claimed("shard-1", 8)).await.unwrap_err().to_string();
                assert!(
                    error.contains("lease `shard-1` of `delays` is fenced") && error.contains("token 9"),
                    "{error}"
                );
                assert_eq!(store.begin(&claimed("shard-2", 1)).await.unwrap(), None, "each lease has its own position");
            }

            #[tokio::test]
            async fn a_handler_that_lost_its_lease_commits_nothing() {
                let Some((store, pool, table, _directory)) = store().await else { return };
                store.begin(&claimed("shard-1", 4)).await.unwrap();
                store.begin(&claimed("shard-1", 5)).await.unwrap();
                let mut transaction = pool.begin().await.unwrap();
                let refused = store.advance_to(&mut transaction, "shard-1", 4, &at(17)).await.unwrap_err();
                assert!(matches!(refused, kcl_sql::Error::Fenced { own_token: 4, highest_token: 5, .. }), "{refused}");
                let refused = store.fence(&mut transaction, "shard-1", 4).await.unwrap_err();
                assert!(matches!(refused, kcl_sql::Error::Fenced { .. }), "{refused}");
                drop(transaction);
                let mut transaction = pool.begin().await.unwrap();
                store.fence(&mut transaction, "shard-1", 5).await.unwrap();
                effect(&mut transaction, &table, 1).await;
                transaction.commit().await.unwrap();
                assert_eq!(effects(&pool, &table).await, [1]);
            }

            #[tokio::test]
            async fn a_batch_that_is_redelivered_in_whole_or_part_has_only_its_new_records() {
                let Some((store, pool, _, _directory)) = store().await else { return };
                store.begin(&claimed("shard-1", 4)).await.unwrap();
                let record = |n: u64| kcl_core::record::Record::new(at(n).sequence_number, "x");
                let mut new = Vec::new();
                for batch in [3..6, 3..6, 5..8, 1..2, 8..11] {
                    let records: Vec<_> = batch.map(record).collect();
                    let last = records.last().unwrap().position();
                    let mut transaction = pool.begin().await.unwrap();
                    let advanced = store.advance_to(&mut transaction, "shard-1", 4, &last).await.unwrap();
                    transaction.commit().await.unwrap();
                    new.push(advanced.new_records(&records).len());
                }
                assert_eq!(new, [3, 0, 2, 0, 3]);
                let position = store.begin(&claimed("shard-1", 4)).await.unwrap();
                assert_eq!(position, Some(at(10)), "positions compare as numbers, and never move back");
            }

            #[tokio::test]
            async fn a_rollback_undoes_position_and_effect() {
                let Some((store, pool, table, _directory)) = store().await else { return };
                store.begin(&claimed("shard-1", 4)).await.unwrap();
                let mut transaction = pool.begin().await.unwrap();
                store.advance_to(&mut transaction, "shard-1", 4, &at(17)).await.unwrap();
                effect(&mut transaction, &table, 17).await;
                drop(transaction);
                assert_eq!(store.begin(&claimed("shard-1", 5)).await.unwrap(), None);
                assert!(effects(&pool, &table).await.is_empty());
            }

            #[tokio::test]
            async fn records_of_one_aggregate_have_different_positions() {
                let Some((store, pool, _, _directory)) = store().await else { return };
                store.begin(&claimed("shard-1", 4)).await.unwrap();
                let user_record = |sub_sequence_number| Position { sub_sequence_number, ..at(7) };
                for (to, previous) in [
                    (user_record(2), None),
                    (user_record(1), Some(user_record(2))),
                    (user_record(5), Some(user_record(2))),
                ] {
                    let mut transaction = pool.begin().await.unwrap();
                    let advanced = store.advance_to(&mut transaction, "shard-1", 4, &to).await.unwrap();
                    transaction.commit().await.unwrap();
                    assert_eq!(advanced.previous, previous);
                }
            }

            #[tokio::test]
            async fn advancing_a_lease_that_never_began_is_an_error() {
                let Some((store, pool, _, _directory)) = store().await else { return };
                let mut transaction = pool.begin().await.unwrap();
                let error = store.advance_to(&mut transaction, "shard-1", 4, &at(1)).await.unwrap_err();
                assert!(error.to_string().contains("has no row for lease `shard-1`"), "{error}");
            }

            /// Owners replace each other, crash before and after a commit, and continue after they
            /// were replaced.
            #[tokio::test]
            async fn each_effect_exists_once_after_any_sequence_of_crashes() {
                for seed in 0..12 {
                    let Some((store, pool, table, _directory)) = store().await else { return };
                    let mut rng = fastrand::Rng::with_seed(seed);
                    // The fencing token of each owner, and the number of the record that it
                    // processes next.
                    let mut owners: Vec<(u64, u64)> = Vec::new();
                    for _ in 0..60 {
                        if owners.is_empty() || rng.u8(0..6) == 0 {
                            let token = owners.len() as u64 + 1;
                            let position = store.begin(&claimed("shard-1", token)).await.unwrap();
                            let next = position.map_or(1, |at| at.sequence_number.as_str().parse::<u64>().unwrap() + 1);
                            owners.push((token, next));
                        }
                        // Mostly the current owner, sometimes one that was replaced.
                        let index = if rng.u8(0..4) == 0 { rng.usize(0..owners.len()) } else { owners.len() - 1 };
                        let (token, next) = owners[index];
                        let last = next + rng.u64(0..5);
                        let records: Vec<_> =
                            (next..=last).map(|n| kcl_core::record::Record::new(at(n).sequence_number, "x")).collect();
                        let mut transaction = pool.begin().await.unwrap();
                        let Ok(advanced) = store.advance_to(&mut transaction, "shard-1", token, &at(last)).await else {
                            continue;
                        };
                        for record in advanced.new_records(&records) {
                            effect(&mut transaction, &table, record.sequence_number.as_str().parse().unwrap()).await;
                        }
                        match rng.u8(0..5) {
                            0 => drop(transaction),
                            // The commit succeeds but its answer is lost: the same batch is
                            // delivered again.
                            1 => transaction.commit().await.unwrap(),
                            _ => {
                                transaction.commit().await.unwrap();
                                owners[index].1 = last + 1;
                            }
                        }
                    }
                    let token = owners.len() as u64 + 1;
                    let position = store.begin(&claimed("shard-1", token)).await.unwrap();
                    let last = position.map_or(0, |at| at.sequence_number.as_str().parse::<i64>().unwrap());
                    assert_eq!(effects(&pool, &table).await, (1..=last).collect::<Vec<_>>(), "seed {seed}");
                }
            }
        }
    };
}

#[cfg(feature = "sqlite")]
suite!(sqlite, kcl_sql::SqliteCheckpoints, sqlx::Sqlite, async {
    // A file, because the connections of a pool do not share a database in memory.
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("test.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file).create_if_missing(true);
    let pool = sqlx::sqlite::SqlitePoolOptions::new().max_connections(3).connect_with(options).await.unwrap();
    Some((pool, Some(directory)))
});

#[cfg(feature = "postgres")]
suite!(postgres, kcl_sql::PostgresCheckpoints, sqlx::Postgres, async {
    let Ok(url) = std::env::var("KCL_SQL_POSTGRES_URL") else {
        println!("skipped: KCL_SQL_POSTGRES_URL is not set");
        return None;
    };
    Some((sqlx::PgPool::connect(&url).await.unwrap(), None))
});
