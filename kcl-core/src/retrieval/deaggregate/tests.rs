use super::*;
use crate::Settings;
use crate::clock::TokioClock;
use crate::record::SequenceNumber;
use crate::record::aggregate::{Aggregator, Corruption};
use crate::retrieval::{ByteBudget, Reservation};
use futures_util::FutureExt;
use proptest::prelude::*;

/// Serves the same records from any position, a number at a time, as the service does.
struct Served(Vec<Record>, usize);

struct Reading {
    records: std::vec::IntoIter<Record>,
    at_a_time: usize,
    reservation: Option<Reservation>,
}

impl Readers for Served {
    fn open(&self, _: &ShardId, from: StartingPosition, _: Arc<Stopwatch>) -> Box<dyn ShardReader> {
        let starts = |record: &Record| match &from {
            StartingPosition::TrimHorizon | StartingPosition::AtTimestamp(_) => true,
            StartingPosition::At(number) => record.sequence_number >= *number,
            StartingPosition::After(position) => record.sequence_number > position.sequence_number,
        };
        let records: Vec<Record> = self.0.iter().filter(|record| starts(record)).cloned().collect();
        Box::new(Reading { records: records.into_iter(), at_a_time: self.1, reservation: None })
    }
}

#[async_trait]
impl ShardReader for Reading {
    async fn next(&mut self) -> Result<Chunk, ReadError> {
        let records: Vec<Record> = self.records.by_ref().take(self.at_a_time).collect();
        let end = records.is_empty().then(Vec::new);
        Ok(Chunk { records, end, reservation: self.reservation.take().unwrap_or_default(), ..Chunk::default() })
    }
}

fn number(n: usize) -> SequenceNumber {
    SequenceNumber::parse((100 + n).to_string()).unwrap()
}

/// A KPL aggregate of `parts` records, or a plain record.
fn raw(n: usize, parts: Option<usize>) -> Record {
    let Some(parts) = parts else { return Record::new(number(n), "alone").with_partition_key("k") };
    let mut aggregator = Aggregator::default();
    for part in 0..parts {
        aggregator.add(&format!("key-{}", part % 3), None, &[part as u8]).unwrap();
    }
    match aggregator.finish() {
        Some(packed) => Record::new(number(n), packed.data),
        None => Record::new(number(n), empty()),
    }
}

/// An aggregate without records.
fn empty() -> Vec<u8> {
    let digest = [0xd4, 0x1d, 0x8c, 0xd9, 0x8f, 0x00, 0xb2, 0x04, 0xe9, 0x80, 0x09, 0x98, 0xec, 0xf8, 0x42, 0x7e];
    [&[0xf3, 0x89, 0x9a, 0xc2][..], &digest].concat()
}

fn corrupt(n: usize) -> Record {
    let mut record = raw(n, Some(2));
    let mut data = record.data.to_vec();
    data[5] ^= 1;
    record.data = data.into();
    record
}

fn reading(inner: Box<dyn ShardReader>) -> DeaggregatingReader {
    DeaggregatingReader {
        inner,
        unprocessed: None,
        shard: ShardId::from("s"),
        deaggregator: Deaggregator::default(),
        drops: false,
        fails: false,
        done: None,
        found: false,
        warn_limiter: WarnLimiter::default(),
        origin: Instant::now(),
    }
}

/// Reads all chunks from a position.
fn read(apart: Deaggregation, served: &Served, range: Option<HashKeyRange>, from: StartingPosition) -> Vec<Chunk> {
    let stopwatch = Arc::new(Stopwatch::new(Arc::new(TokioClock::new())));
    let mut reader = apart.open(served, &ShardId::from("s"), range, from, stopwatch);
    let mut chunks = Vec::new();
    loop {
        let chunk = reader.next().now_or_never().unwrap().unwrap();
        let last = chunk.end.is_some();
        chunks.push(chunk);
        if last {
            return chunks;
        }
    }
}

fn positions(chunks: &[Chunk]) -> Vec<Position> {
    chunks.iter().flat_map(|chunk| chunk.records.iter().map(Record::position)).collect()
}

/// The position that the consumer checkpoints after it has processed all chunks.
fn done(chunks: &[Chunk]) -> Option<Position> {
    chunks.iter().filter_map(|it| it.passed.clone().or_else(|| it.records.last().map(Record::position))).max()
}

fn set(set: impl FnOnce(Settings) -> Settings) -> Deaggregation {
    Deaggregation::new(AggregateConfig::from(&set(Settings::default())))
}

#[test]
fn a_chunk_without_aggregates_is_returned_unchanged() {
    let served = Served(vec![raw(1, None), raw(2, None)], 10);
    let chunks = read(set(|it| it), &served, None, StartingPosition::TrimHorizon);
    assert_eq!(chunks[0].records, served.0);
    assert_eq!(chunks[0].passed, None);
}

#[test]
fn deaggregation_can_be_disabled() {
    let served = Served(vec![raw(1, Some(3))], 10);
    let chunks = read(set(|it| it.deaggregate(false)), &served, None, StartingPosition::TrimHorizon);
    assert_eq!(chunks[0].records, served.0);
}

#[test]
fn the_position_advances_past_dropped_records() {
    let nothing_own = Some(HashKeyRange { start: 1, end: 2 });
    let drops = set(|it| it.foreign_records(ForeignRecords::Drop));
    for (served, last) in [
        (Served(vec![raw(1, Some(3))], 10), Position { sequence_number: number(1), sub_sequence_number: 2 }),
        (
            Served(vec![raw(1, None), raw(2, Some(4))], 10),
            Position { sequence_number: number(2), sub_sequence_number: 3 },
        ),
        (Served(vec![raw(2, Some(0))], 10), Position { sequence_number: number(2), sub_sequence_number: 0 }),
    ] {
        let chunks = read(drops, &served, nothing_own, StartingPosition::TrimHorizon);
        assert_eq!(chunks[0].passed, Some(last.clone()));
        // A reader that starts there receives none of them again.
        let again = read(drops, &served, nothing_own, StartingPosition::After(last));
        assert_eq!((positions(&again), done(&again)), (vec![], None));
    }
}

#[test]
fn a_corrupt_aggregate_is_delivered_or_fails() {
    let served = Served(vec![raw(1, Some(2)), corrupt(2), raw(3, None)], 10);
    let chunks = read(set(|it| it), &served, None, StartingPosition::TrimHorizon);
    assert_eq!((chunks[0].records.len(), chunks[0].corrupt.len()), (4, 0));
    let fails = set(|it| it.corrupt_aggregates(CorruptAggregates::Fail));
    let chunks = read(fails, &served, None, StartingPosition::TrimHorizon);
    assert_eq!(chunks[0].corrupt, [(2, CorruptAggregate(Corruption::Checksum))]);
    assert_eq!(chunks[0].records[2], corrupt(2));
    // If it was completed before, it is not reported.
    let chunks = read(fails, &served, None, StartingPosition::After(corrupt(2).position()));
    assert_eq!((positions(&chunks), &chunks[0].corrupt), (vec![raw(3, None).position()], &vec![]));
}

#[test]
fn a_record_that_only_another_reader_deaggregated_comes_again() {
    let served = Served(vec![corrupt(1), raw(2, None)], 10);
    let within = Position { sequence_number: number(1), sub_sequence_number: 1 };
    let chunks = read(set(|it| it), &served, None, StartingPosition::After(within));
    assert_eq!(positions(&chunks), [corrupt(1).position(), raw(2, None).position()]);
}

#[test]
fn records_of_an_aggregate_are_charged_to_the_budget() {
    let budget = ByteBudget::new(1 << 20, 1);
    let reservation = budget.charge(&ShardId::from("s"), 500);
    let records = vec![raw(1, Some(9))].into_iter();
    let mut reading = reading(Box::new(Reading { records, at_a_time: 10, reservation: Some(reservation) }));
    let chunk = reading.next().now_or_never().unwrap().unwrap();
    assert_eq!(chunk.records.len(), 9);
    assert_eq!(budget.free_bytes(), (1 << 20) - 500 - 8 * OVERHEAD_PER_PART);
    drop(chunk);
    assert_eq!(budget.free_bytes(), 1 << 20);
}

#[test]
fn a_response_of_many_records_is_deaggregated_in_chunks() {
    let records: Vec<Record> = (1..=30).map(|n| raw(n, Some(1_000))).collect();
    let served = Served(records, 30);
    let chunks = read(set(|it| it), &served, None, StartingPosition::TrimHorizon);
    let sizes: Vec<usize> = chunks.iter().map(|chunk| chunk.records.len()).collect();
    assert_eq!(sizes, [10_000, 10_000, 10_000, 0]);
    assert!(chunks.iter().rev().skip(1).all(|chunk| chunk.end.is_none()));
    // Each chunk continues where the previous one ended, also for a new reader.
    let rest = read(set(|it| it), &served, None, StartingPosition::After(done(&chunks[..2]).unwrap()));
    assert_eq!(positions(&rest), positions(&chunks[2..]));
}

#[test]
fn only_the_last_chunk_of_a_response_has_its_tip_and_end() {
    let budget = ByteBudget::new(1 << 30, 1);
    let reservation = budget.charge(&ShardId::from("s"), 500);
    let records: Vec<Record> = (1..=11).map(|n| raw(n, Some(1_000))).collect();
    let nothing = Reading { records: Vec::new().into_iter(), at_a_time: 1, reservation: None };
    let mut reading = reading(Box::new(nothing));
    reading.unprocessed = Some(Unprocessed {
        records: records.into_iter(),
        open: None,
        millis_behind_latest: Some(0),
        end: Some(Vec::new()),
        reservation: Arc::new(reservation),
    });
    let first = reading.next().now_or_never().unwrap().unwrap();
    assert_eq!((first.records.len(), first.millis_behind_latest, first.end.is_some()), (10_000, None, false));
    assert_eq!(budget.free_bytes(), (1 << 30) - 500 - 9_990 * OVERHEAD_PER_PART);
    drop(first);
    assert_eq!(budget.free_bytes(), (1 << 30) - 500, "the remaining part holds the response's bytes");
    let last = reading.next().now_or_never().unwrap().unwrap();
    assert_eq!((last.records.len(), last.millis_behind_latest, last.end.is_some()), (1_000, Some(0), true));
    drop(last);
    assert_eq!(budget.free_bytes(), 1 << 30);
}

/// An aggregate of `parts` records without a payload, six bytes each.
fn empty_parts(parts: usize) -> Record {
    use md5::{Digest, Md5};
    let mut message = vec![0x0a, 1, b'k'];
    for _ in 0..parts {
        message.extend([0x1a, 4, 0x08, 0, 0x1a, 0]);
    }
    let digest = Md5::digest(&message);
    Record::new(number(1), [&[0xf3, 0x89, 0x9a, 0xc2][..], &message, &digest].concat())
}

#[test]
fn a_large_aggregate_is_deaggregated_while_it_is_consumed_within_the_budget() {
    const PARTS: usize = 1_740_000;
    const BUDGET: usize = 256 << 20;
    let budget = ByteBudget::new(BUDGET, 1);
    let record = empty_parts(PARTS);
    let size = record.data.len() as u64;
    assert!(size > 10_000_000);
    // Eight shards with stalled handlers: two chunks are prefetched, one waits for the handler, and
    // one is with it.
    let mut held = Vec::new();
    for shard in 0..8 {
        let reservation = Some(budget.charge(&ShardId::from(format!("s{shard}").as_str()), size));
        let records = vec![record.clone()].into_iter();
        let mut reading = reading(Box::new(Reading { records, at_a_time: 10, reservation }));
        for _ in 0..4 {
            let chunk = reading.next().now_or_never().unwrap().unwrap();
            assert_eq!((chunk.records.len(), chunk.records.capacity()), (10_000, 10_000));
            assert!(chunk.end.is_none());
            held.push(chunk);
        }
    }
    // The first record of each aggregate is charged with the Kinesis record itself.
    let charged = 8 * size + (32 * 10_000 - 8) * OVERHEAD_PER_PART;
    assert_eq!(BUDGET as u64 - budget.free_bytes(), charged);
    assert!(charged < BUDGET as u64, "{charged}");
    drop(held);
    assert_eq!(budget.free_bytes(), BUDGET as u64);
}

#[test]
fn a_reader_that_starts_within_a_large_aggregate_gets_the_rest_of_it() {
    let served = Served(vec![empty_parts(25_000), raw(2, None)], 10);
    let all = read(set(|it| it), &served, None, StartingPosition::TrimHorizon);
    let sizes: Vec<usize> = all.iter().map(|chunk| chunk.records.len()).collect();
    assert_eq!(sizes, [10_000, 10_000, 5_001, 0]);
    for at in [0, 9_999, 10_000, 20_001, 24_999] {
        let from = StartingPosition::After(Position { sequence_number: number(1), sub_sequence_number: at });
        let rest = read(set(|it| it), &served, None, from);
        assert_eq!(positions(&rest), positions(&all)[usize::try_from(at).unwrap() + 1..]);
    }
}

#[test]
fn an_expired_position_is_reported_once() {
    let from =
        StartingPosition::After(Position { sequence_number: raw(3, None).sequence_number, sub_sequence_number: 0 });
    let all = |numbers: std::ops::RangeInclusive<usize>| Served(numbers.map(|n| raw(n, None)).collect(), 1);
    let expired = |served: &Served| -> Vec<Option<Position>> {
        let chunks = read(set(|it| it), served, None, from.clone());
        chunks.into_iter().map(|chunk| chunk.expired_after).filter(Option::is_some).collect()
    };
    assert_eq!(expired(&all(1..=6)), []);
    let StartingPosition::After(position) = from.clone() else { unreachable!() };
    assert_eq!(expired(&all(4..=6)), [Some(position)], "the record of the position has expired");
}

proptest! {
    /// From any position: exactly the records that have not come before, once.
    #[test]
    fn nothing_is_repeated_or_lost_from_any_position(
        parts in proptest::collection::vec(proptest::option::of(0..5_usize), 1..12),
        at_a_time in 1..5_usize,
        from: prop::sample::Index,
        drops: bool,
    ) {
        let records = parts.iter().enumerate().map(|(n, parts)| raw(n, *parts)).collect();
        let served = Served(records, at_a_time);
        let apart = set(|it| it.foreign_records(if drops { ForeignRecords::Drop } else { ForeignRecords::Deliver }));
        // About half of all keys.
        let range = Some(HashKeyRange { start: 0, end: u128::MAX / 2 });
        let all = read(apart, &served, range, StartingPosition::TrimHorizon);
        let positions_of_all = positions(&all);
        if positions_of_all.is_empty() {
            return Ok(());
        }
        let at = from.index(positions_of_all.len());
        let rest = read(apart, &served, range, StartingPosition::After(positions_of_all[at].clone()));
        prop_assert_eq!(positions(&rest), &positions_of_all[at + 1..]);
        if let Some(last) = done(&all) {
            let none = read(apart, &served, range, StartingPosition::After(last));
            prop_assert_eq!(positions(&none), vec![]);
        }
    }
}
