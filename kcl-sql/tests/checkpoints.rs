//! What a store of checkpoints promises, on each database. PostgreSQL is tested where `KCL_SQL_POSTGRES_URL` names a server
//! (`tests/postgres/run` starts one).

#![cfg(test)]

use kcl_core::record::{Position, SequenceNumber, ShardId};
use kcl_core::{CheckpointStore, ClaimedLease};

fn at(n: u64) -> Position {
    Position { sequence_number: SequenceNumber::parse(n.to_string()).unwrap(), sub_sequence_number: 0 }
}

fn claimed(lease: &str, token: u64) -> ClaimedLease {
    ClaimedLease::new(lease, ShardId::from(lease), token)
}

/// A name that no other test has.
fn unique() -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("t_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

macro_rules! suite {
    ($backend:ident, $checkpoints:ty, $database:ty, $pool:expr) => {
        mod $backend {
            use super::*;

            /// A store in tables of its own, and a table for effects; none where there is no server.
            async fn store() -> Option<($checkpoints, sqlx::Pool<$database>, String, Option<tempfile::TempDir>)> {
                let (pool, directory): (sqlx::Pool<$database>, Option<tempfile::TempDir>) = $pool.await?;
                let (table, effects) = (unique(), unique());
                let store = <$checkpoints>::new(pool.clone(), "delays").in_table(&table).unwrap();
                store.create_table().await.unwrap();
                store.create_table().await.expect("twice is no harm");
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
            async fn a_lease_begins_where_it_stands_and_lower_tokens_are_refused_from_then_on() {
                let Some((store, pool, _, _directory)) = store().await else { return };
                assert_eq!(store.begin(&claimed("shard-1", 4)).await.unwrap(), None);
                let mut transaction = pool.begin().await.unwrap();
                store.advance_to(&mut transaction, "shard-1", 4, &at(17)).await.unwrap();
                transaction.commit().await.unwrap();
                assert_eq!(store.begin(&claimed("shard-1", 4)).await.unwrap(), Some(at(17)), "a second time");
                assert_eq!(store.begin(&claimed("shard-1", 9)).await.unwrap(), Some(at(17)));
                let error = store.begin(&claimed("shard-1", 8)).await.unwrap_err().to_string();
                assert!(
                    error.contains("lease `shard-1` of `delays` is fenced") && error.contains("token 9"),
                    "{error}"
                );
                assert_eq!(store.begin(&claimed("shard-2", 1)).await.unwrap(), None, "leases count each for itself");
            }

            #[tokio::test]
            async fn a_handler_that_outlived_its_lease_commits_nothing() {
                let Some((store, pool, table, _directory)) = store().await else { return };
                store.begin(&claimed("shard-1", 4)).await.unwrap();
                store.begin(&claimed("shard-1", 5)).await.unwrap();
                let mut transaction = pool.begin().await.unwrap();
                let refused = store.advance_to(&mut transaction, "shard-1", 4, &at(17)).await.unwrap_err();
                assert!(matches!(refused, kcl_sql::Error::Fenced { own: 4, seen: 5, .. }), "{refused}");
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
            async fn a_batch_that_comes_again_or_half_again_is_known() {
                let Some((store, pool, _, _directory)) = store().await else { return };
                store.begin(&claimed("shard-1", 4)).await.unwrap();
                let record = |n: u64| kcl_core::record::Record::new(at(n).sequence_number, "x");
                let mut new = Vec::new();
                for batch in [3..6, 3..6, 5..8, 1..2, 8..11] {
                    let records: Vec<_> = batch.map(record).collect();
                    let last = records.last().unwrap().position();
                    let mut transaction = pool.begin().await.unwrap();
                    let stood = store.advance_to(&mut transaction, "shard-1", 4, &last).await.unwrap();
                    transaction.commit().await.unwrap();
                    new.push(stood.new_of(&records).len());
                }
                assert_eq!(new, [3, 0, 2, 0, 3]);
                let stands = store.begin(&claimed("shard-1", 4)).await.unwrap();
                assert_eq!(stands, Some(at(10)), "9 is less than 10, and 1 moved nothing back");
            }

            #[tokio::test]
            async fn a_rollback_leaves_position_and_effect_as_they_were() {
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
            async fn parts_of_an_aggregate_are_told_apart() {
                let Some((store, pool, _, _directory)) = store().await else { return };
                store.begin(&claimed("shard-1", 4)).await.unwrap();
                let part = |sub_sequence_number| Position { sub_sequence_number, ..at(7) };
                for (to, before) in [(part(2), None), (part(1), Some(part(2))), (part(5), Some(part(2)))] {
                    let mut transaction = pool.begin().await.unwrap();
                    let stood = store.advance_to(&mut transaction, "shard-1", 4, &to).await.unwrap();
                    transaction.commit().await.unwrap();
                    assert_eq!(stood.before, before);
                }
            }

            #[tokio::test]
            async fn a_lease_that_never_began_is_told() {
                let Some((store, pool, _, _directory)) = store().await else { return };
                let mut transaction = pool.begin().await.unwrap();
                let error = store.advance_to(&mut transaction, "shard-1", 4, &at(1)).await.unwrap_err();
                assert!(error.to_string().contains("does not know lease `shard-1`"), "{error}");
            }

            /// Owners come and go, crash before and after they commit, and go on after they were replaced.
            #[tokio::test]
            async fn whatever_crashes_when_each_effect_is_there_once() {
                for seed in 0..12 {
                    let Some((store, pool, table, _directory)) = store().await else { return };
                    let mut rng = fastrand::Rng::with_seed(seed);
                    // Each owner with its token and where it would go on.
                    let mut owners: Vec<(u64, u64)> = Vec::new();
                    for _ in 0..60 {
                        if owners.is_empty() || rng.u8(0..6) == 0 {
                            let token = owners.len() as u64 + 1;
                            let stood = store.begin(&claimed("shard-1", token)).await.unwrap();
                            let next = stood.map_or(1, |at| at.sequence_number.as_str().parse::<u64>().unwrap() + 1);
                            owners.push((token, next));
                        }
                        // Mostly the last one; sometimes one that should be gone.
                        let index = if rng.u8(0..4) == 0 { rng.usize(0..owners.len()) } else { owners.len() - 1 };
                        let (token, next) = owners[index];
                        let last = next + rng.u64(0..5);
                        let records: Vec<_> =
                            (next..=last).map(|n| kcl_core::record::Record::new(at(n).sequence_number, "x")).collect();
                        let mut transaction = pool.begin().await.unwrap();
                        let Ok(stood) = store.advance_to(&mut transaction, "shard-1", token, &at(last)).await else {
                            continue;
                        };
                        for record in stood.new_of(&records) {
                            effect(&mut transaction, &table, record.sequence_number.as_str().parse().unwrap()).await;
                        }
                        match rng.u8(0..5) {
                            0 => drop(transaction),
                            // Committed, and the answer is lost: the same batch comes again.
                            1 => transaction.commit().await.unwrap(),
                            _ => {
                                transaction.commit().await.unwrap();
                                owners[index].1 = last + 1;
                            }
                        }
                    }
                    let token = owners.len() as u64 + 1;
                    let stood = store.begin(&claimed("shard-1", token)).await.unwrap();
                    let last = stood.map_or(0, |at| at.sequence_number.as_str().parse::<i64>().unwrap());
                    assert_eq!(effects(&pool, &table).await, (1..=last).collect::<Vec<_>>(), "seed {seed}");
                }
            }
        }
    };
}

#[cfg(feature = "sqlite")]
suite!(sqlite, kcl_sql::SqliteCheckpoints, sqlx::Sqlite, async {
    // A file of its own, which several connections share.
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
