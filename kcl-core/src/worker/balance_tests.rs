//! What the setting `balance_by` does to two workers and four shards, two of them with all the
//! bytes.

use super::Worker;
use crate::clock::TokioClock;
use crate::config::{BalanceBy, Settings};
use crate::lease::row::HashKeyRange;
use crate::lease::{MemoryStore, RowKey, Weights, WorkerId};
use crate::prelude::*;
use crate::record::{SequenceNumber, StartingPosition, StreamIdentity};
use crate::shard::{ApiError, Fetched, ListWhich, Listing, Shard, StreamApi, StreamDescription};
use async_trait::async_trait;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

const SHARDS: usize = 4;
/// A quarter of all hash keys.
const STEP: u128 = 1 << 126;
const HOT: [usize; 2] = [0, 1];
static PAYLOAD: [u8; 100_000] = [0; 100_000];

/// Hot shards have a record for every read, the others none.
#[derive(Debug)]
struct Lopsided;

fn shard(n: usize) -> ShardId {
    ShardId::new(format!("shardId-{n:012}"))
}

#[async_trait]
impl StreamApi for Lopsided {
    async fn describe(&self) -> Result<StreamDescription, ApiError> {
        let identity =
            StreamIdentity { arn: "arn:aws:kinesis:eu-central-1:0:stream/lopsided".to_owned(), created_at: 1 };
        Ok(StreamDescription { identity, retention_hours: 24, open_shards: SHARDS as u32, keyed: true })
    }

    async fn list_shards(&self, _: ListWhich) -> Result<Listing, ApiError> {
        let shard = |n| Shard {
            id: shard(n),
            parents: vec![],
            hash_range: Some(HashKeyRange { start: STEP * n as u128, end: STEP * n as u128 + (STEP - 1) }),
            starting_sequence_number: None,
            closed: false,
        };
        Ok(Listing { shards: (0..SHARDS).map(shard).collect(), answered_at_ms: None })
    }

    /// The iterator is `<shard>/<next record>`.
    async fn shard_iterator(&self, shard: &ShardId, from: &StartingPosition) -> Result<String, ApiError> {
        let next = match from {
            StartingPosition::After(position) => position.sequence_number.as_str().parse::<u64>().unwrap() + 1,
            StartingPosition::TrimHorizon | StartingPosition::AtTimestamp(_) | StartingPosition::At(_) => 1,
        };
        Ok(format!("{shard}/{next}"))
    }

    async fn get_records(&self, iterator: &str, _: u32) -> Result<Fetched, ApiError> {
        let (name, next) = iterator.split_once('/').unwrap();
        let next: u64 = next.parse().unwrap();
        let hot = HOT.iter().any(|n| shard(*n).as_str() == name);
        let number = SequenceNumber::parse(next.to_string()).unwrap();
        let records = hot.then(|| Record::new(number, Bytes::from_static(&PAYLOAD)));
        Ok(Fetched {
            next_iterator: Some(format!("{name}/{}", next + u64::from(hot))),
            records: records.into_iter().collect(),
            millis_behind_latest: Some(0),
            children: vec![],
        })
    }
}

struct Handler;

impl RecordProcessor for Handler {
    async fn process_records(&mut self, _: &Batch, _: &ShardContext) -> Result<(), BoxError> {
        Ok(())
    }
}

async fn start(name: &str, by: BalanceBy, table: &Arc<MemoryStore>) {
    let worker = Worker::builder("balance", "lopsided")
        .settings(Settings::default().balance_by(by))
        .worker_id(name)
        .with_store_and_stream(Arc::clone(table) as _, Arc::new(Lopsided))
        .with_clock(Arc::new(TokioClock::new()))
        .with_seed(name.len() as u64)
        .on_current_runtime()
        .processor(|_: &ShardId| Handler)
        .build()
        .await
        .unwrap();
    tokio::spawn(worker.run());
}

/// One worker for a minute, then another: how many hot shards each has, and what the first says of
/// weights.
async fn hot_shards(by: BalanceBy) -> (usize, usize, Option<Weights>) {
    let table = Arc::new(MemoryStore::default());
    start("a", by, &table).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    start("bb", by, &table).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    let owner = |n: usize| {
        let row = table.get(&RowKey::Lease((&shard(n)).into())).unwrap();
        row.as_lease().unwrap().owner.as_ref().unwrap().worker.as_str().to_owned()
    };
    assert_eq!((0..SHARDS).filter(|n| owner(*n) == "a").count(), 2, "{by:?}");
    let of = |name: &str| HOT.iter().filter(|n| owner(**n) == name).count();
    let session = table.get(&RowKey::Session(WorkerId::parse("a").unwrap())).unwrap();
    (of("a"), of("bb"), session.as_session().unwrap().weights.clone())
}

#[tokio::test(start_paused = true)]
async fn by_bytes_each_worker_gets_one_of_the_two_hot_shards() {
    let (a, b, weights) = hot_shards(BalanceBy::Bytes).await;
    assert_eq!((a, b), (1, 1));
    assert!(weights.is_some_and(|weights| weights.to_text().len() < Weights::MOST_BYTES));
}

#[tokio::test(start_paused = true)]
async fn by_leases_bytes_do_not_count_and_session_rows_say_nothing_of_them() {
    let (a, b, weights) = hot_shards(BalanceBy::Leases).await;
    assert_eq!((a, b, weights), (2, 0, None));
}
