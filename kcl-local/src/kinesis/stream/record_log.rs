//! Stores the records of a shard in order, and trims the oldest.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::kinesis::iterator::Position;
use crate::kinesis::model::Record;
use crate::kinesis::{EngineTime, SequenceNumber};

/// The records of a shard in the order of their sequence numbers. Records beyond the retention
/// period are trimmed.
#[derive(Debug)]
pub(crate) struct RecordLog {
    entries: VecDeque<Entry>,
    /// Number of the newest record ever written, or the shard's starting number.
    newest: SequenceNumber,
    /// Number of the newest trimmed record.
    trimmed: Option<SequenceNumber>,
}

#[derive(Debug)]
struct Entry {
    sequence: SequenceNumber,
    arrival: EngineTime,
    /// The latest arrival up to this record. Arrivals may decrease; this never does, so that it can
    /// be searched.
    latest_arrival: EngineTime,
    bytes: usize,
    record: Arc<Record>,
}

/// The result of a read.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) records: Vec<Arc<Record>>,
    pub(crate) bytes: usize,
    /// Number and arrival of the last record of the page.
    pub(crate) last: Option<(SequenceNumber, EngineTime)>,
    /// Whether no record follows.
    pub(crate) at_tip: bool,
}

impl RecordLog {
    pub(crate) fn new(start: SequenceNumber) -> Self {
        Self { entries: VecDeque::new(), newest: start, trimmed: None }
    }

    pub(crate) fn newest(&self) -> SequenceNumber {
        self.newest
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn append(&mut self, arrival: EngineTime, bytes: usize, record: Record) {
        let sequence = record.sequence_number;
        debug_assert!(sequence > self.newest, "sequence numbers grow");
        self.newest = sequence;
        let latest_arrival = self.entries.back().map_or(arrival, |last| last.latest_arrival.max(arrival));
        self.entries.push_back(Entry { sequence, arrival, latest_arrival, bytes, record: Arc::new(record) });
    }

    /// Trims the oldest records that arrived before `horizon`.
    pub(crate) fn trim_before(&mut self, horizon: EngineTime) {
        self.trim_while(|entry| entry.arrival < horizon);
    }

    /// Trims the records before `sequence`.
    pub(crate) fn trim_to(&mut self, sequence: SequenceNumber) {
        self.trim_while(|entry| entry.sequence < sequence);
    }

    fn trim_while(&mut self, is_old: impl Fn(&Entry) -> bool) {
        while let Some(entry) = self.entries.pop_front_if(|entry| is_old(entry)) {
            self.trimmed = Some(entry.sequence);
        }
    }

    /// The position of the oldest record, or of the next record if the log is empty.
    pub(crate) fn horizon(&self) -> Position {
        self.entries.front().map_or(self.tip(), |oldest| Position::At(oldest.sequence))
    }

    /// The position of the next record to be written.
    pub(crate) fn tip(&self) -> Position {
        Position::After(self.newest)
    }

    /// The position of the first record that arrived at `time` or later, or of the next record to
    /// be written.
    pub(crate) fn arrived_at(&self, time: EngineTime) -> Position {
        let found = self.entries.partition_point(|entry| entry.latest_arrival < time);
        self.entries.get(found).map_or(self.tip(), |entry| Position::At(entry.sequence))
    }

    /// Whether records after `position` have been trimmed.
    pub(crate) fn is_before_horizon(&self, position: Position) -> bool {
        self.trimmed.is_some_and(|trimmed| match position {
            Position::At(sequence) => sequence <= trimmed,
            Position::After(sequence) => sequence < trimmed,
        })
    }

    fn index_of(&self, position: Position) -> usize {
        match position {
            Position::At(sequence) => self.entries.partition_point(|entry| entry.sequence < sequence),
            Position::After(sequence) => self.entries.partition_point(|entry| entry.sequence <= sequence),
        }
    }

    /// Arrival of the first record at `position`.
    pub(crate) fn next_arrival(&self, position: Position) -> Option<EngineTime> {
        self.entries.get(self.index_of(position)).map(|entry| entry.arrival)
    }

    /// The records from `position` on: at most `limit`, and at most `max_bytes` unless the first
    /// one alone is larger.
    pub(crate) fn read(&self, position: Position, limit: usize, max_bytes: usize) -> Page {
        let start = self.index_of(position);
        let mut records = Vec::with_capacity(limit.min(self.entries.len() - start));
        let (mut bytes, mut last) = (0, None);
        for entry in self.entries.range(start..).take(limit) {
            if bytes + entry.bytes > max_bytes && !records.is_empty() {
                break;
            }
            bytes += entry.bytes;
            last = Some((entry.sequence, entry.arrival));
            records.push(Arc::clone(&entry.record));
        }
        let at_tip = start + records.len() == self.entries.len();
        Page { records, bytes, last, at_tip }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinesis::ShardId;
    use crate::kinesis::model::{Blob, EncryptionType, Timestamp};

    fn number(index: u64) -> SequenceNumber {
        SequenceNumber::new(0, ShardId::new(0), index, 0)
    }

    fn at(millis: i64) -> EngineTime {
        EngineTime::from_millis(millis)
    }

    /// Records 1, 2, ... with these arrivals, ten bytes each.
    fn log(arrivals: &[i64]) -> RecordLog {
        let mut log = RecordLog::new(number(0));
        for (index, arrival) in (1..).zip(arrivals) {
            let record = Record {
                sequence_number: number(index),
                approximate_arrival_timestamp: Timestamp(*arrival),
                data: Blob::default(),
                partition_key: None,
                encryption_type: Some(EncryptionType::None),
            };
            log.append(at(*arrival), 10, record);
        }
        log
    }

    fn indexes(page: &Page) -> Vec<u64> {
        page.records.iter().map(|record| record.sequence_number.index()).collect()
    }

    #[test]
    fn at_includes_the_number_and_after_does_not() {
        let log = log(&[0, 0, 0]);
        assert_eq!(indexes(&log.read(Position::At(number(2)), 10, 1000)), [2, 3]);
        assert_eq!(indexes(&log.read(Position::After(number(2)), 10, 1000)), [3]);
        assert_eq!(indexes(&log.read(log.horizon(), 10, 1000)), [1, 2, 3]);
        assert!(log.read(log.tip(), 10, 1000).at_tip);
    }

    #[test]
    fn a_page_ends_at_the_limits_but_has_at_least_one_record() {
        let log = log(&[0, 0, 0]);
        let page = log.read(log.horizon(), 2, 1000);
        assert_eq!((indexes(&page), page.at_tip), (vec![1, 2], false));
        assert_eq!(indexes(&log.read(log.horizon(), 10, 29)), [1, 2]);
        assert_eq!(indexes(&log.read(log.horizon(), 10, 5)), [1]);
    }

    #[test]
    fn a_time_finds_the_first_later_record_even_if_arrivals_decrease() {
        let log = log(&[10, 30, 20, 40]);
        assert_eq!(log.arrived_at(at(25)), Position::At(number(2)));
        assert_eq!(log.arrived_at(at(31)), Position::At(number(4)));
        assert_eq!(log.arrived_at(at(41)), log.tip());
    }

    #[test]
    fn trimming_moves_the_horizon_and_remembers_the_trimmed_records() {
        let mut log = log(&[10, 20, 30]);
        log.trim_before(at(20));
        assert_eq!(log.horizon(), Position::At(number(2)));
        assert!(log.is_before_horizon(Position::At(number(1))));
        assert!(!log.is_before_horizon(Position::After(number(1))));
        log.trim_to(number(9));
        assert_eq!(log.horizon(), Position::After(number(3)));
    }
}
