//! Defines a lane's unfinished work: batches, parts of failed batches, and records to deliver
//! again. Pure.

use super::state::Failures;
use crate::processor::failure::Cause;
use crate::processor::outcome::BatchOutcome;
use crate::processor::record_slice::{AckIds, RecordSlice};
use crate::record::{Position, Record};
use std::sync::Arc;

/// Records to be delivered together, and the failures they have had.
#[derive(Debug)]
pub(super) struct WorkItem {
    pub(super) slice: RecordSlice,
    /// Failures in a row of exactly these records together.
    pub(super) failures: Failures,
    /// How often the handler was called with these records, alone or together with others.
    pub(super) tries: u32,
    /// A failure of these records (a failed handle) on which the policy has not decided yet.
    pub(super) failed: Option<Cause>,
    /// The policy has given up this item's only record.
    pub(super) disposition: Option<Disposition>,
}

/// How a record that was given up is disposed of: quarantined, else dead-lettered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Disposition {
    pub(super) quarantine: bool,
    pub(super) error: String,
}

impl WorkItem {
    pub(super) fn new(slice: RecordSlice) -> Self {
        WorkItem { slice, failures: Failures::default(), tries: 0, failed: None, disposition: None }
    }

    fn part(&self, slice: RecordSlice) -> WorkItem {
        WorkItem { tries: self.tries, ..WorkItem::new(slice) }
    }

    /// The two halves. Their failures count from zero.
    pub(super) fn halves(&self) -> [WorkItem; 2] {
        let (first, second) = self.slice.split(self.slice.len().div_ceil(2));
        [self.part(first), self.part(second)]
    }

    /// The records before an index, the one at it, and those after it.
    pub(super) fn around(&self, index: usize) -> [Option<WorkItem>; 3] {
        let range = &self.slice.range;
        let part = |range: std::ops::Range<usize>| (!range.is_empty()).then(|| self.part(self.slice.part(range)));
        [part(range.start..index), part(index..index + 1), part(index + 1..range.end)]
    }

    /// An item of only the records at these indices, which failed together.
    pub(super) fn only(&self, indices: &[usize]) -> WorkItem {
        let all = &self.slice.shared;
        let records: Vec<Record> = indices.iter().filter_map(|index| all.get(*index)).cloned().collect();
        let ack_ids = match &self.slice.ack_ids {
            AckIds::Quarantined => AckIds::Quarantined,
            AckIds::From(_) | AckIds::Each(_) => {
                AckIds::Each(indices.iter().filter_map(|index| self.slice.ack_id(*index)).collect())
            }
        };
        let range = 0..records.len();
        let slice = RecordSlice { shared: Arc::new(records), range, ack_ids, ..self.slice.clone() };
        WorkItem { failures: self.failures, ..self.part(slice) }
    }
}

/// The records to which an error applies, by their indices.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FailedRecords {
    /// The error does not say.
    All,
    /// This record failed; nothing is known of the others.
    One(usize),
    /// This record failed; those before it are done.
    From(usize),
    /// These records failed; the others are done.
    Some(Vec<usize>),
}

impl FailedRecords {
    pub(super) fn of(cause: &Cause, slice: &RecordSlice) -> FailedRecords {
        let Cause::Error(error) = cause else { return FailedRecords::All };
        if let Some(outcome) = error.downcast_ref::<BatchOutcome>() {
            let failed = slice
                .range
                .clone()
                .filter(|index| slice.shared.get(*index).is_some_and(|record| outcome.error_of(record).is_some()));
            return FailedRecords::Some(failed.collect());
        }
        let at = |position: Option<Position>| position.and_then(|position| index_of(slice, &position));
        at(decode_failure(error.as_ref()))
            .or_else(|| at(failed_at(error.as_ref())))
            .map_or(FailedRecords::All, FailedRecords::From)
    }

    /// The failed record on a worker with a checkpoint store: the first one that failed. The
    /// store's position alone says which records are done.
    pub(super) fn with_store(self) -> FailedRecords {
        match self {
            FailedRecords::From(index) | FailedRecords::One(index) => FailedRecords::One(index),
            FailedRecords::Some(failed) => {
                failed.first().map_or(FailedRecords::All, |index| FailedRecords::One(*index))
            }
            FailedRecords::All => FailedRecords::All,
        }
    }
}

/// The first record that a handler named as failed although the store's position has passed it.
pub(super) fn passed_failure(cause: &Cause, slice: &RecordSlice, stored: &Position) -> Option<Position> {
    let Cause::Error(error) = cause else { return None };
    let outcome = error.downcast_ref::<BatchOutcome>()?;
    let passed = slice.records().iter().take_while(|record| record.position() <= *stored);
    passed.filter(|record| outcome.has_failed(record)).map(Record::position).next()
}

fn index_of(slice: &RecordSlice, position: &Position) -> Option<usize> {
    slice.range.clone().find(|index| slice.shared.get(*index).is_some_and(|record| record.position() == *position))
}

/// The position of the record that could not be decoded.
#[cfg(feature = "macros")]
fn decode_failure(error: &(dyn std::error::Error + 'static)) -> Option<Position> {
    error.downcast_ref::<crate::DecodeError>().map(crate::DecodeError::position)
}

/// The position of the record at which a derived processor's handler failed.
#[cfg(feature = "macros")]
fn failed_at(error: &(dyn std::error::Error + 'static)) -> Option<Position> {
    error.downcast_ref::<crate::processor::json::FailedAt>().map(|failed| failed.position.clone())
}

#[cfg(not(feature = "macros"))]
fn failed_at(_: &(dyn std::error::Error + 'static)) -> Option<Position> {
    None
}

#[cfg(not(feature = "macros"))]
fn decode_failure(_: &(dyn std::error::Error + 'static)) -> Option<Position> {
    None
}

/// The error's text for one record: its own if the handler named one.
pub(super) fn error_text(cause: &Cause, record: &Record) -> String {
    if let Cause::Error(error) = cause
        && let Some(own) = error.downcast_ref::<BatchOutcome>().and_then(|outcome| outcome.error_of(record))
    {
        return own.to_string();
    }
    cause.to_string()
}
