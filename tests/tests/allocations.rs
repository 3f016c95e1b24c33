//! Counts allocations on a record's path: none for payloads, and few for each of many records.

#![cfg(test)]

use allocation_counter::AllocationInfo;
use async_trait::async_trait;
use base64::Engine as _;
use bytes::Bytes;
use kcl_core::fuzzing;
use kcl_core::lease::MemoryStore;
use kcl_core::lease::row::HashKeyRange;
use kcl_core::prelude::*;
use kcl_core::record::aggregate::{Aggregator, Deaggregator};
use kcl_core::record::{SequenceNumber, StartingPosition, StreamIdentity};
use kcl_core::settings::Parser;
use kcl_core::shard::{ApiError, Fetched, ListWhich, Listing, Shard, StreamApi, StreamDescription};
use kcl_core::testing::TokioClock;
use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

fn number(n: usize) -> SequenceNumber {
    SequenceNumber::parse((n + 1).to_string()).unwrap()
}

/// An aggregate of this many records of this size, with four keys.
fn aggregate(records: usize, size: usize) -> Bytes {
    let mut aggregator = Aggregator::default().max_bytes(usize::MAX);
    let payload = vec![7; size];
    for n in 0..records {
        aggregator.add(&format!("key-{}", n % 4), None, &payload).unwrap();
    }
    aggregator.finish().unwrap().data
}

/// The allocations for unpacking it into a vector with enough room.
fn taking_apart(records: usize, size: usize) -> AllocationInfo {
    let record = Record::new(number(0), aggregate(records, size)).with_partition_key("outer");
    let mut parts = Vec::with_capacity(records);
    let info = allocation_counter::measure(|| {
        Deaggregator::default().deaggregate(record, &mut parts);
    });
    assert_eq!(parts.len(), records);
    info
}

#[test]
fn taking_an_aggregate_apart_allocates_the_same_whatever_its_payloads_are() {
    let (small, large) = (taking_apart(300, 100), taking_apart(300, 10_000));
    assert_eq!((small.count_total, small.bytes_total), (large.count_total, large.bytes_total));
}

#[test]
fn taking_an_aggregate_apart_allocates_nothing_for_each_record() {
    let (few, many) = (taking_apart(100, 100), taking_apart(10_000, 100));
    // The list of offsets doubles as it grows: seven times from a hundred to ten thousand.
    let grown = many.count_total - few.count_total;
    assert!(grown <= 7, "{grown} allocations for 9,900 more records");
    assert!(few.count_total <= 20, "{} allocations for 100 records of 4 keys", few.count_total);
}

/// An answer with this many records of this size.
fn answer(records: usize, size: usize) -> String {
    let payload = base64::engine::general_purpose::STANDARD.encode(vec![7; size]);
    let mut text = r#"{"NextShardIterator":"AAAAAAAAAAE=","MillisBehindLatest":0,"Records":["#.to_owned();
    for n in 0..records {
        let comma = if n == 0 { "" } else { "," };
        let _ = write!(
            text,
            r#"{comma}{{"SequenceNumber":"4959033827149025660855969253836157109592157{n:05}","PartitionKey":"key-{n}","#
        );
        let _ = write!(text, r#""ApproximateArrivalTimestamp":1700000000.123,"Data":"{payload}"}}"#);
    }
    text + "]}"
}

fn parsing(records: usize, size: usize) -> AllocationInfo {
    let text = answer(records, size);
    let mut read = None;
    let info = allocation_counter::measure(|| read = fuzzing::parse_response(text.as_bytes(), Parser::Fast));
    assert_eq!(read.unwrap().records().len(), records);
    info
}

#[test]
fn parsing_an_answer_makes_four_allocations_for_each_record() {
    // Payload, number, key, and the shared owner of the payload; the vector of records doubles as
    // it grows.
    for (records, size) in [(100, 100), (100, 10_000), (1_000, 100)] {
        let info = parsing(records, size);
        assert!(info.count_total <= 4 * records as u64 + 16, "{} for {records} of {size}", info.count_total);
    }
}

#[test]
fn parsing_an_answer_holds_each_payload_once() {
    let (small, large) = (parsing(100, 1_000), parsing(100, 101_000));
    let more = large.bytes_total - small.bytes_total;
    assert!((10_000_000..10_100_000).contains(&more), "{more} bytes for 10,000,000 more of payload");
}

/// One shard that returns these records and then nothing.
#[derive(Debug)]
struct Prepared(Vec<Record>);

#[async_trait]
impl StreamApi for Prepared {
    async fn describe(&self) -> Result<StreamDescription, ApiError> {
        let identity = StreamIdentity::new("arn:aws:kinesis:eu-central-1:0:stream/s", std::time::UNIX_EPOCH);
        Ok(StreamDescription { identity, retention_hours: 24, open_shards: 1, keyed: true })
    }

    async fn list_shards(&self, _: ListWhich) -> Result<Listing, ApiError> {
        let id = ShardId::new("shardId-000000000000");
        let hash_range = Some(HashKeyRange { start: 0, end: u128::MAX });
        let shard = Shard { id, parents: vec![], hash_range, starting_sequence_number: None, closed: false };
        Ok(Listing { shards: vec![shard], answered_at_ms: None })
    }

    async fn shard_iterator(&self, _: &ShardId, _: &StartingPosition) -> Result<String, ApiError> {
        Ok("0".to_owned())
    }

    async fn get_records(&self, iterator: &str, limit: u32) -> Result<Fetched, ApiError> {
        let from: usize = iterator.parse().unwrap();
        let records: Vec<_> = self.0.iter().skip(from).take(limit as usize).cloned().collect();
        let next_iterator = Some((from + records.len()).to_string());
        Ok(Fetched { records, next_iterator, millis_behind_latest: Some(0), children: vec![] })
    }
}

/// Reports the addresses of payloads.
struct Places(mpsc::UnboundedSender<Range<usize>>);

impl RecordProcessor for Places {
    async fn process_records(&mut self, batch: &Batch, _: &ShardContext) -> Result<(), BoxError> {
        for record in batch.records() {
            self.0.send(place(&record.data))?;
        }
        Ok(())
    }
}

fn place(data: &[u8]) -> Range<usize> {
    let Range { start, end } = data.as_ptr_range();
    start as usize..end as usize
}

/// The addresses of the first payloads that a handler receives.
async fn handled(records: Vec<Record>, count: usize) -> Vec<Range<usize>> {
    let (places, mut come) = mpsc::unbounded_channel();
    let worker = Worker::builder("places", "s")
        .with_store_and_stream(Arc::new(MemoryStore::default()), Arc::new(Prepared(records)))
        .with_clock(Arc::new(TokioClock::new()))
        .with_seed(1)
        .on_current_runtime()
        .processor(move |_: &ShardId| Places(places.clone()))
        .build()
        .await
        .unwrap();
    let handle = worker.handle();
    let running = tokio::spawn(worker.run());
    let mut seen = Vec::new();
    while seen.len() < count {
        let place = tokio::time::timeout(Duration::from_secs(600), come.recv()).await.expect("the handler gets them");
        seen.push(place.unwrap());
    }
    handle.abort().await;
    running.await.unwrap().unwrap();
    seen
}

#[tokio::test(start_paused = true)]
async fn a_payload_that_comes_alone_reaches_the_handler_where_it_was_read() {
    let records: Vec<_> = (0..50).map(|n| Record::new(number(n), vec![n as u8; 10_000])).collect();
    let read: Vec<_> = records.iter().map(|record| place(&record.data)).collect();
    assert_eq!(handled(records, 50).await, read);
}

#[tokio::test(start_paused = true)]
async fn the_payloads_of_an_aggregate_reach_the_handler_where_it_was_read() {
    let data = aggregate(50, 10_000);
    let read = place(&data);
    for part in handled(vec![Record::new(number(0), data)], 50).await {
        assert!(read.start <= part.start && part.end <= read.end);
    }
}
