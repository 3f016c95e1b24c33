use super::*;
use crate::clock::TokioClock;
use crate::record::{Record, SequenceNumber, StreamIdentity};
use crate::shard::{ApiError, ApiErrorKind, Fetched, ListWhich, Listing, Shard, StreamDescription};
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

const UNTIL: i64 = 100_000;

/// Chunks of arrival times, one per response; after the last, an empty one at the tip.
type Answers = Vec<(Vec<i64>, Option<u64>)>;

/// Serves the first list to the first reader, from where it starts, and the second to any later
/// one. Counts the readers.
struct Script(Answers, Answers, Arc<AtomicUsize>);

struct Reading(std::vec::IntoIter<(Vec<i64>, Option<u64>)>);

impl Readers for Script {
    fn open(&self, _: &ShardId, from: StartingPosition, _: Arc<Stopwatch>) -> Box<dyn ShardReader> {
        let answers = if self.2.fetch_add(1, Ordering::Relaxed) == 0 { &self.0 } else { &self.1 };
        let after = match &from {
            StartingPosition::After(position) => position.sequence_number.as_str().parse::<i64>().unwrap(),
            StartingPosition::TrimHorizon | StartingPosition::AtTimestamp(_) | StartingPosition::At(_) => -1,
        };
        let left: Answers = answers
            .iter()
            .map(|(times, behind)| (times.iter().copied().filter(|time| *time > after).collect(), *behind))
            .collect();
        Box::new(Reading(left.into_iter()))
    }
}

#[async_trait]
impl ShardReader for Reading {
    async fn next(&mut self) -> Result<Chunk, ReadError> {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let (times, millis_behind_latest) = self.0.next().unwrap_or((Vec::new(), Some(0)));
        Ok(Chunk { records: times.into_iter().map(record).collect(), millis_behind_latest, ..Chunk::default() })
    }
}

/// A record whose sequence number is its arrival time.
fn record(at: i64) -> Record {
    Record::new(SequenceNumber::parse(at.to_string()).unwrap(), "x").with_arrival_ms(at)
}

/// Returns the service's time, which advances with tokio's, in whole seconds; or none.
#[derive(Debug)]
struct Dated {
    began: Instant,
    at: Option<i64>,
    asked: AtomicI64,
}

#[async_trait]
impl StreamApi for Dated {
    async fn describe(&self) -> Result<StreamDescription, ApiError> {
        let identity = StreamIdentity { arn: String::new(), created_at: 0 };
        Ok(StreamDescription { identity, retention_hours: 24, open_shards: 1, keyed: true })
    }

    async fn list_shards(&self, _: ListWhich) -> Result<Listing, ApiError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let elapsed = i64::try_from(self.began.elapsed().as_millis()).unwrap();
        let answered_at_ms = self.at.map(|at| (at + elapsed) / 1_000 * 1_000);
        Ok(Listing { shards: Vec::<Shard>::new(), answered_at_ms })
    }

    async fn shard_iterator(&self, _: &ShardId, _: &StartingPosition) -> Result<String, ApiError> {
        Err(ApiError { kind: ApiErrorKind::Refused, message: String::new(), code: None, source: None })
    }

    async fn get_records(&self, _: &str, _: u32) -> Result<Fetched, ApiError> {
        Err(ApiError { kind: ApiErrorKind::Refused, message: String::new(), code: None, source: None })
    }
}

struct Read {
    times: Vec<i64>,
    opened: usize,
    asked: i64,
    took: Duration,
}

/// Reads to the end, with the service's time starting at `at`.
async fn read(answers: Answers, at: Option<i64>) -> Read {
    read_anew(answers.clone(), answers, at).await
}

async fn read_anew(first: Answers, then: Answers, at: Option<i64>) -> Read {
    let (opened, began) = (Arc::default(), Instant::now());
    let api = Arc::new(Dated { began, at, asked: AtomicI64::new(0) });
    let readers = EndAtTime::new(Arc::new(Script(first, then, Arc::clone(&opened))), api.clone(), UNTIL);
    let fetching = Arc::new(Stopwatch::new(Arc::new(TokioClock::new())));
    let mut reader = readers.open(&ShardId::from("s"), StartingPosition::TrimHorizon, fetching);
    let mut times = Vec::new();
    loop {
        let chunk = reader.next().await.unwrap();
        times.extend(chunk.records.iter().map(|record| record.arrived_at_ms));
        if let Some(children) = chunk.end {
            assert_eq!(children, []);
            break;
        }
    }
    assert_eq!(reader.next().await.unwrap().end, Some(Vec::new()), "the end is returned again");
    let (opened, asked) = (opened.load(Ordering::Relaxed), api.asked.load(Ordering::Relaxed));
    Read { times, opened, asked, took: began.elapsed() }
}

#[tokio::test(start_paused = true)]
async fn a_shard_ends_before_the_first_record_after_the_range() {
    let answers = vec![(vec![1, 2], Some(9)), (vec![UNTIL - 1, UNTIL, UNTIL + 1], Some(5)), (vec![UNTIL + 2], Some(0))];
    let read = read(answers, None).await;
    assert_eq!((read.times, read.opened, read.asked), (vec![1, 2, UNTIL - 1], 1, 0));
}

#[tokio::test(start_paused = true)]
async fn an_idle_shard_ends_once_the_services_time_has_passed_the_end() {
    let read = read(vec![(vec![1], Some(0))], Some(UNTIL - 30_000)).await;
    assert_eq!(read.times, [1]);
    assert!(read.took >= Duration::from_secs(32), "{:?}", read.took);
    assert!(read.took < Duration::from_secs(36), "{:?}", read.took);
    assert!(read.asked <= 4, "asked {} times", read.asked);
}

#[tokio::test(start_paused = true)]
async fn an_event_queued_since_before_the_end_does_not_end_a_shard() {
    // The second response shows an old tip: a record of the range followed.
    let pushed = vec![(vec![1], Some(0)), (Vec::new(), Some(0)), (vec![2], Some(7))];
    let read = read_anew(pushed, vec![(vec![1, 2], Some(0))], Some(UNTIL + 10_000)).await;
    assert_eq!((read.opened, read.times), (2, vec![1, 2]));
}

#[tokio::test(start_paused = true)]
async fn an_empty_response_before_the_tip_does_not_end_a_shard() {
    let answers = vec![(Vec::new(), Some(40_000)), (Vec::new(), None), (vec![3], Some(1)), (vec![UNTIL], Some(0))];
    assert_eq!(read(answers, Some(UNTIL + 50_000)).await.times, [3]);
}

#[test]
fn a_real_end_keeps_its_children() {
    let child = Shard {
        id: ShardId::from("child"),
        parents: vec![ShardId::from("s")],
        hash_range: None,
        starting_sequence_number: None,
        closed: false,
    };
    let chunk = Chunk { records: vec![record(UNTIL - 1)], end: Some(vec![child.clone()]), ..Chunk::default() };
    assert_eq!(cut(chunk, UNTIL, true).end, Some(vec![child.clone()]));
    let chunk = Chunk { records: vec![record(UNTIL)], end: Some(vec![child]), ..Chunk::default() };
    assert_eq!(cut(chunk, UNTIL, true).end, Some(Vec::new()), "they began after the range");
}

#[test]
fn the_service_is_not_asked_again_before_the_end_is_due() {
    let now = Instant::now();
    let seen = |at| Seen::after(at, UNTIL, now);
    assert_eq!(seen(None), Seen::NotBefore(now + POLL_INTERVAL));
    assert_eq!(seen(Some(UNTIL + MARGIN_MS - 10_000)), Seen::NotBefore(now + Duration::from_secs(10)));
    assert_eq!(seen(Some(UNTIL + MARGIN_MS - 1)), Seen::NotBefore(now + POLL_INTERVAL));
    assert_eq!(seen(Some(UNTIL + MARGIN_MS)), Seen::Passed);
    assert_eq!(seen(Some(0)), Seen::NotBefore(now + Duration::from_secs(60)));
}
