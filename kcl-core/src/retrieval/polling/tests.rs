//! Tests complete polling readers against a scripted stream, under virtual time.

use super::PollingReaders;
use crate::clock::TokioClock;
use crate::config::Settings;
use crate::record::{Record, SequenceNumber, ShardId, StartingPosition};
use crate::retrieval::{ByteBudget, Chunk, Prefetch, ReadOutage, Readers, ShardReader};
use crate::shard::{ApiError, ApiErrorKind, Fetched, ListWhich, Listing, Shard, StreamApi, StreamDescription};
use crate::stopwatch::Stopwatch;
use async_trait::async_trait;
use futures_util::future::{join_all, pending};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::TaskTracker;

const MIB: usize = 1024 * 1024;

/// A stream of one shard. Every call takes 10 ms. An iterator is the index of the next record.
#[derive(Debug)]
struct Scripted {
    /// Payload sizes; record `n` has sequence number `n + 1`.
    sizes: Vec<usize>,
    /// Faults of the next GetRecords calls.
    next: Mutex<VecDeque<Fault>>,
    /// The fault of every later GetRecords call.
    always: Option<Fault>,
    listing: Result<Vec<Shard>, ApiErrorKind>,
    closed: bool,
    /// The end of the shard names no children.
    childless: bool,
    /// Replaces `listing` once it is set.
    listed_later: Mutex<Option<Vec<Shard>>>,
    /// Bytes per second of the connection.
    line: Option<usize>,
    /// The calls, with the times when they were sent.
    calls: Mutex<Vec<(Duration, String)>>,
    origin: Instant,
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    Fails(ApiErrorKind),
    NoAnswer,
}

impl Scripted {
    fn new(sizes: Vec<usize>) -> Self {
        let listing = Ok(vec![shard("shardId-000000000000", &[])]);
        let (next, calls, origin) = (Mutex::default(), Mutex::default(), Instant::now());
        let (closed, childless, listed_later) = (false, false, Mutex::default());
        Scripted { sizes, next, always: None, listing, closed, childless, listed_later, line: None, calls, origin }
    }

    fn failing(self, faults: impl IntoIterator<Item = Fault>) -> Self {
        self.next.lock().unwrap().extend(faults);
        self
    }

    async fn called(&self, what: String) {
        self.calls.lock().unwrap().push((self.origin.elapsed(), what));
        sleep(Duration::from_millis(10)).await;
    }

    fn calls(&self, operation: &str) -> Vec<Duration> {
        let calls = self.calls.lock().unwrap();
        calls.iter().filter(|(_, what)| what.starts_with(operation)).map(|(when, _)| *when).collect()
    }

    fn iterators(&self) -> Vec<String> {
        let calls = self.calls.lock().unwrap();
        calls.iter().filter_map(|(_, what)| what.strip_prefix("GetShardIterator ")).map(str::to_owned).collect()
    }
}

fn shard(id: &str, parents: &[&str]) -> Shard {
    Shard {
        id: ShardId::from(id),
        parents: parents.iter().copied().map(ShardId::from).collect(),
        hash_range: None,
        starting_sequence_number: None,
        closed: false,
    }
}

fn error(kind: ApiErrorKind) -> ApiError {
    ApiError::new(kind, format!("{kind:?}"))
}

#[async_trait]
impl StreamApi for Scripted {
    async fn describe(&self) -> Result<StreamDescription, ApiError> {
        Err(error(ApiErrorKind::NotFound))
    }

    async fn list_shards(&self, _: ListWhich) -> Result<Listing, ApiError> {
        self.called("ListShards".to_owned()).await;
        let later = self.listed_later.lock().unwrap().clone();
        later
            .map_or_else(|| self.listing.clone(), Ok)
            .map(|shards| Listing { shards, answered_at_ms: None })
            .map_err(error)
    }

    async fn shard_iterator(&self, _: &ShardId, from: &StartingPosition) -> Result<String, ApiError> {
        self.called(format!("GetShardIterator {from:?}")).await;
        Ok(match from {
            StartingPosition::After(position) => position.sequence_number.as_str().to_owned(),
            StartingPosition::TrimHorizon | StartingPosition::AtTimestamp(_) | StartingPosition::At(_) => {
                "0".to_owned()
            }
        })
    }

    async fn get_records(&self, iterator: &str, limit: u32) -> Result<Fetched, ApiError> {
        self.called(format!("GetRecords {iterator}")).await;
        let fault = self.next.lock().unwrap().pop_front().or(self.always);
        match fault {
            Some(Fault::Fails(kind)) => return Err(error(kind)),
            Some(Fault::NoAnswer) => return pending().await,
            None => {}
        }
        let start: usize = iterator.parse().unwrap();
        let end = (start + limit as usize).min(self.sizes.len());
        let records = (start..end)
            .map(|n| Record::new(SequenceNumber::parse((n + 1).to_string()).unwrap(), vec![0; self.sizes[n]]))
            .collect();
        if let Some(line) = self.line {
            sleep(Duration::from_secs_f64(self.sizes[start..end].iter().sum::<usize>() as f64 / line as f64)).await;
        }
        let left = self.sizes.len() - end;
        let over = self.closed && left == 0;
        Ok(Fetched {
            records,
            millis_behind_latest: Some(left as u64 * 1_000),
            next_iterator: (!over).then(|| end.to_string()),
            children: if over && !self.childless {
                vec![shard("shardId-000000000001", &["shardId-000000000000"])]
            } else {
                vec![]
            },
        })
    }
}

fn open(api: &Arc<Scripted>, budget: &ByteBudget, settings: &Settings) -> Box<dyn ShardReader> {
    open_shard("shardId-000000000000", api, budget, settings)
}

fn readers(api: &Arc<Scripted>, budget: &ByteBudget, settings: &Settings) -> PollingReaders {
    let api = Arc::clone(api) as Arc<dyn StreamApi>;
    PollingReaders::new(api, budget.clone(), settings.into(), fastrand::Rng::with_seed(1))
}

fn open_shard(shard: &str, api: &Arc<Scripted>, budget: &ByteBudget, settings: &Settings) -> Box<dyn ShardReader> {
    open_from(&readers(api, budget, settings), shard, StartingPosition::TrimHorizon)
}

fn open_from(readers: &PollingReaders, shard: &str, from: StartingPosition) -> Box<dyn ShardReader> {
    let stopwatch = Arc::new(Stopwatch::new(Arc::new(TokioClock::new())));
    readers.open(&ShardId::from(shard), from, stopwatch)
}

fn roomy() -> ByteBudget {
    ByteBudget::new(256 * MIB, 30 * MIB as u64)
}

/// Two records per response.
fn settings() -> Settings {
    Settings::default().max_records(2)
}

/// Reads until `count` records have arrived, and checks that each arrived once and in order.
async fn read(reader: &mut dyn ShardReader, count: usize) {
    read_from(reader, 1, count).await;
}

/// Like [`read`], from the record with number `first` on.
async fn read_from(reader: &mut dyn ShardReader, first: usize, last: usize) {
    let mut numbers = Vec::new();
    while numbers.len() < last + 1 - first {
        // Long outages are returned as errors; the caller retries.
        let chunk = match reader.next().await {
            Err(error) if error.source.kind == ApiErrorKind::Unavailable => continue,
            chunk => chunk.unwrap(),
        };
        numbers.extend(chunk.records.iter().map(|record| record.sequence_number.as_str().parse::<usize>().unwrap()));
    }
    assert_eq!(numbers, (first..=last).collect::<Vec<_>>());
}

/// The most calls within any second.
fn busiest_second(calls: &[Duration]) -> usize {
    let within =
        |from: Duration| calls.iter().filter(|&&call| (from..from + Duration::from_secs(1)).contains(&call)).count();
    calls.iter().map(|from| within(*from)).max().unwrap_or(0)
}

#[tokio::test(start_paused = true)]
async fn a_reader_never_sends_more_than_five_calls_a_second() {
    let api = Arc::new(Scripted::new(vec![10; 60]));
    let mut reader = open(&api, &roomy(), &settings());
    read(&mut *reader, 60).await;
    for _ in 0..20 {
        reader.next().await.unwrap();
    }
    assert!(api.calls("GetRecords").len() >= 50);
    assert!(busiest_second(&api.calls("GetRecords")) <= 5);
}

#[tokio::test(start_paused = true)]
async fn consecutive_readers_together_send_at_most_five_calls_a_second() {
    let api = Arc::new(Scripted::new(vec![10; 60]));
    let readers = readers(&api, &roomy(), &settings());
    let mut from = StartingPosition::TrimHorizon;
    for read in 1..=30 {
        let mut reader = open_from(&readers, "shardId-000000000000", from.clone());
        let chunk = reader.next().await.unwrap();
        let last = chunk.records.last().unwrap();
        assert_eq!(last.sequence_number.as_str(), (2 * read).to_string());
        from = StartingPosition::After(last.position());
    }
    assert!(busiest_second(&api.calls("GetRecords")) <= 5, "{:?}", api.calls("GetRecords"));
}

#[tokio::test(start_paused = true)]
async fn the_pause_after_a_full_response_outlives_its_reader() {
    let api = Arc::new(Scripted::new(vec![5 * MIB; 4]));
    let readers = readers(&api, &roomy(), &settings());
    let first = open_from(&readers, "shardId-000000000000", StartingPosition::TrimHorizon).next().await.unwrap();
    let from = StartingPosition::After(first.records.last().unwrap().position());
    open_from(&readers, "shardId-000000000000", from).next().await.unwrap();
    let calls = api.calls("GetRecords");
    assert!(calls[1] - calls[0] >= Duration::from_secs(5), "{calls:?}");
}

/// A response of ten records has 10 MiB, which takes 20 s; the deadline of a call is 10 s.
#[tokio::test(start_paused = true)]
async fn over_a_slow_connection_smaller_batches_are_requested() {
    let api = Arc::new(Scripted { line: Some(MIB / 2), ..Scripted::new(vec![MIB; 30]) });
    let mut reader = open(&api, &roomy(), &Settings::default().max_records(10_000));
    let within = Duration::from_secs(60 + 110);
    timeout(within, read(&mut *reader, 30)).await.expect("four timeouts, and 30 MiB at half a MiB a second");
    let why = "one to read with, which stays valid, and one probe before each call after a timeout";
    assert_eq!(api.iterators().len(), 1 + 4, "{why}");
}

#[tokio::test(start_paused = true)]
async fn without_pacing_a_backlog_is_read_without_pauses() {
    let api = Arc::new(Scripted::new(vec![10; 60]));
    let mut reader = open(&api, &roomy(), &settings().poll_interval(Duration::ZERO));
    read(&mut *reader, 60).await;
    let calls = api.calls("GetRecords");
    assert_eq!(calls.len(), 30);
    assert_eq!(calls[29] - calls[0], Duration::from_millis(290));
}

#[tokio::test(start_paused = true)]
async fn an_idle_shard_is_read_every_idle_poll_interval() {
    let api = Arc::new(Scripted::new(vec![]));
    let mut reader = open(&api, &roomy(), &settings());
    for _ in 0..20 {
        reader.next().await.unwrap();
    }
    let calls = api.calls("GetRecords");
    assert!(calls.windows(2).skip(5).all(|pair| pair[1] - pair[0] == Duration::from_millis(500)), "{calls:?}");
}

#[tokio::test(start_paused = true)]
async fn an_expired_iterator_resumes_after_the_last_accepted_record() {
    let api = Arc::new(Scripted::new(vec![10; 6]));
    let mut reader = open(&api, &roomy(), &settings());
    let first = reader.next().await.unwrap();
    assert_eq!(first.records.len(), 2);
    api.next.lock().unwrap().push_back(Fault::Fails(ApiErrorKind::IteratorExpired));
    let second = reader.next().await.unwrap();
    assert_eq!(second.records[0].sequence_number.as_str(), "3");
    assert_eq!(api.iterators(), ["TrimHorizon", "After(2)"]);
}

/// Like a start at LATEST: there is no record to continue after, and records arrive before the
/// first successful read.
#[tokio::test(start_paused = true)]
async fn an_iterator_that_expires_before_the_first_record_is_replaced_at_the_pinned_instant() {
    let api = Arc::new(Scripted::new(vec![10; 4]).failing([Fault::Fails(ApiErrorKind::IteratorExpired)]));
    let readers = readers(&api, &roomy(), &settings());
    let mut reader = open_from(&readers, "shardId-000000000000", StartingPosition::AtTimestamp(1_000));
    read(&mut *reader, 4).await;
    assert_eq!(api.iterators(), ["AtTimestamp(1000)", "AtTimestamp(1000)"]);
}

#[tokio::test(start_paused = true)]
async fn throttling_backs_off_and_loses_nothing() {
    let faults = vec![Fault::Fails(ApiErrorKind::Throttled); 12];
    let api = Arc::new(Scripted::new(vec![10; 10]).failing(faults));
    let mut reader = open(&api, &roomy(), &settings());
    read(&mut *reader, 10).await;
    let calls = api.calls("GetRecords");
    assert!(calls[12] > Duration::from_secs(10), "{calls:?}");
    assert_eq!(api.iterators().len(), 1, "the iterator is still valid");
}

#[tokio::test(start_paused = true)]
async fn an_unanswered_call_times_out_and_is_retried() {
    let api = Arc::new(Scripted::new(vec![10; 4]).failing([Fault::NoAnswer]));
    let mut reader = open(&api, &roomy(), &settings());
    read(&mut *reader, 4).await;
    let calls = api.calls("GetRecords");
    assert!((10..=12).contains(&(calls[1] - calls[0]).as_secs()), "{calls:?}");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_loses_nothing() {
    let api = Arc::new(Scripted::new(vec![10; 40]));
    let mut reader = open(&api, &roomy(), &settings());
    let mut numbers = Vec::new();
    let mut rng = fastrand::Rng::with_seed(5);
    while numbers.len() < 40 {
        let patience = Duration::from_millis(rng.u64(0..400));
        if let Ok(chunk) = timeout(patience, reader.next()).await {
            numbers.extend(chunk.unwrap().records.iter().map(|record| record.sequence_number.to_string()));
        }
    }
    assert_eq!(numbers, (1..=40).map(|n: u32| n.to_string()).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_shard_includes_its_children() {
    let api = Arc::new(Scripted { closed: true, ..Scripted::new(vec![10; 3]) });
    let mut reader = open(&api, &roomy(), &settings());
    assert_eq!(reader.next().await.unwrap().end, None);
    let Chunk { records, end, .. } = reader.next().await.unwrap();
    let children = vec![shard("shardId-000000000001", &["shardId-000000000000"])];
    assert_eq!((records.len(), &end), (1, &Some(children.clone())));
    assert_eq!(reader.next().await.unwrap().end, Some(children));
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_is_listed_and_not_found_is_read_again_within_five_seconds_each_time() {
    let always = Some(Fault::Fails(ApiErrorKind::NotFound));
    let api = Arc::new(Scripted { always, ..Scripted::new(vec![10]) });
    let mut reader = open(&api, &roomy(), &settings());
    assert!(timeout(Duration::from_secs(300), reader.next()).await.is_err());
    let reads = api.calls("GetRecords");
    let apart = reads.windows(2).map(|pair| pair[1] - pair[0]);
    let (least, most) = (apart.clone().min().unwrap(), apart.max().unwrap());
    assert!(least >= Duration::from_millis(800) && most <= Duration::from_millis(4_500), "{least:?} {most:?}");
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_its_stream_no_longer_lists_has_ended() {
    let child = shard("shardId-000000000001", &["shardId-000000000000"]);
    let always = Some(Fault::Fails(ApiErrorKind::NotFound));
    let api = Scripted { listing: Ok(vec![child.clone()]), always, ..Scripted::new(vec![10]) };
    let api = Arc::new(api);
    let mut reader = open(&api, &roomy(), &settings());
    assert_eq!(reader.next().await.unwrap().end, Some(vec![child]));
    assert!((30..90).contains(&api.origin.elapsed().as_secs()), "{:?}", api.origin.elapsed());
    assert!((3..10).contains(&api.calls("ListShards").len()), "{:?}", api.calls("ListShards"));
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_is_once_not_found_and_once_not_listed_is_still_read() {
    for listing in [vec![], vec![shard("shardId-000000000001", &[])]] {
        let api = Scripted { listing: Ok(listing), ..Scripted::new(vec![10; 4]) };
        let api = Arc::new(api.failing([Fault::Fails(ApiErrorKind::NotFound)]));
        let mut reader = open(&api, &roomy(), &settings());
        assert_eq!(reader.next().await.unwrap().end, None, "one list is not enough");
        read_from(&mut *reader, 3, 4).await;
        assert!(api.origin.elapsed() < Duration::from_secs(5), "{:?}", api.origin.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_without_children_waits_until_a_list_shows_them() {
    let parent = Shard { closed: true, ..shard("shardId-000000000000", &[]) };
    let child = shard("shardId-000000000001", &["shardId-000000000000"]);
    let api = Scripted { listing: Ok(vec![parent.clone()]), closed: true, childless: true, ..Scripted::new(vec![10]) };
    let api = Arc::new(api);
    let mut reader = open(&api, &roomy(), &settings());
    assert_eq!(reader.next().await.unwrap().records.len(), 1);
    assert!(timeout(Duration::from_secs(1_800), reader.next()).await.is_err(), "its children are unknown");
    assert!(api.calls("ListShards").len() < 200, "{}", api.calls("ListShards").len());
    *api.listed_later.lock().unwrap() = Some(vec![parent, child.clone()]);
    let end = timeout(Duration::from_secs(60), reader.next()).await.unwrap().unwrap().end;
    assert_eq!(end, Some(vec![child]));
}

#[tokio::test(start_paused = true)]
async fn a_missing_stream_is_an_error_and_never_the_end_of_a_shard() {
    let api = Scripted { listing: Err(ApiErrorKind::NotFound), ..Scripted::new(vec![10]) };
    let api = Arc::new(Scripted { always: Some(Fault::Fails(ApiErrorKind::NotFound)), ..api });
    let mut reader = open(&api, &roomy(), &settings());
    for _ in 0..20 {
        assert_eq!(reader.next().await.unwrap_err().source.kind, ApiErrorKind::NotFound);
    }
    assert!(api.origin.elapsed() > Duration::from_secs(20), "a reader that is called again still backs off");
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_is_not_found_but_listed_is_still_read() {
    let faults = vec![Fault::Fails(ApiErrorKind::NotFound); 3];
    let api = Arc::new(Scripted::new(vec![10; 4]).failing(faults));
    let mut reader = open(&api, &roomy(), &settings());
    read(&mut *reader, 4).await;
}

#[tokio::test(start_paused = true)]
async fn a_refused_call_is_an_error_and_is_retried_by_the_next_call() {
    let api = Arc::new(Scripted::new(vec![10; 4]).failing([Fault::Fails(ApiErrorKind::Refused)]));
    let mut reader = open(&api, &roomy(), &settings());
    let error = reader.next().await.unwrap_err();
    assert_eq!(error.to_string(), "shard `shardId-000000000000` cannot be read: Refused");
    read(&mut *reader, 4).await;
}

#[tokio::test(start_paused = true)]
async fn a_chunk_holds_its_size_of_the_budget() {
    let (budget, api) = (roomy(), Arc::new(Scripted::new(vec![MIB; 3])));
    let mut reader = open(&api, &budget, &settings());
    let chunk = reader.next().await.unwrap();
    let overhead = 224;
    assert_eq!(budget.free_bytes() as usize, 254 * MIB - 2 * overhead);
    let empty = (reader.next().await.unwrap(), reader.next().await.unwrap());
    assert_eq!(budget.free_bytes() as usize, 253 * MIB - 3 * overhead);
    drop((chunk, empty));
    assert_eq!(budget.free_bytes() as usize, 256 * MIB);
}

#[tokio::test(start_paused = true)]
async fn prefetched_bytes_never_exceed_the_budget_and_every_shard_is_served() {
    let budget = ByteBudget::new(30 * MIB, 30 * MIB as u64);
    let tracker = TaskTracker::new();
    let runtime = tokio::runtime::Handle::current();
    let waiting = Arc::new(AtomicUsize::new(0));
    // Each record has 4 MiB, a response two records, and every handler takes 100 ms.
    let handlers = (0..6).map(|n| {
        let api = Arc::new(Scripted::new(vec![4 * MIB; 10]));
        let (its_budget, settings) = (budget.clone(), settings().poll_interval(Duration::ZERO));
        let shard = format!("shardId-{n:012}");
        let reader = move |_| open_shard(&shard, &api, &its_budget, &settings);
        let from = StartingPosition::TrimHorizon;
        let outage = Arc::new(ReadOutage::new(Arc::new(TokioClock::new())));
        let mut chunks = Prefetch::start(reader, from, Arc::default(), outage, (), &runtime, &tracker);
        let waiting = Arc::clone(&waiting);
        let budget = budget.clone();
        async move {
            let mut read = 0;
            while read < 10 {
                let chunk = chunks.next().await.unwrap().unwrap();
                let bytes: usize = chunk.records.iter().map(|record| record.data.len()).sum();
                let handled = waiting.fetch_add(bytes, Ordering::Relaxed) + bytes;
                assert!(handled + budget.free_bytes() as usize <= 30 * MIB, "all fetched bytes are counted");
                read += chunk.records.len();
                sleep(Duration::from_millis(100)).await;
                waiting.fetch_sub(bytes, Ordering::Relaxed);
                drop(chunk);
            }
        }
    });
    timeout(Duration::from_secs(60), join_all(handlers)).await.expect("no shard starves");
    tracker.close();
    tracker.wait().await;
    assert_eq!(budget.free_bytes() as usize, 30 * MIB, "all bytes are returned");
}
