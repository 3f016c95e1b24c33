//! What a lane has taken and not finished: batches, parts of batches that failed, records that come again. Pure.

use super::piece::{Numbers, Piece};
use super::state::Failures;
use crate::processor::failure::Cause;
use crate::processor::outcome::BatchOutcome;
use crate::record::{Position, Record};
use std::sync::Arc;

/// Records that are next, and what became of them so far.
#[derive(Debug)]
pub(super) struct WorkItem {
    pub(super) piece: Piece,
    /// Failures in a row, of just these together.
    pub(super) failures: Failures,
    /// How often the handler was called with them, in whatever company.
    pub(super) tries: u32,
    /// They failed before they came here: nobody has decided on that yet.
    pub(super) failed: Option<Cause>,
    /// The policy has given up this one record, for this reason.
    pub(super) condemned: Option<Disposition>,
}

/// What the policy said of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Disposition {
    pub(super) parked: bool,
    pub(super) error: String,
}

impl WorkItem {
    pub(super) fn new(piece: Piece) -> Self {
        WorkItem { piece, failures: Failures::default(), tries: 0, failed: None, condemned: None }
    }

    fn part(&self, piece: Piece) -> WorkItem {
        WorkItem { tries: self.tries, ..WorkItem::new(piece) }
    }

    /// Its two halves, each to be tried anew.
    pub(super) fn halves(&self) -> [WorkItem; 2] {
        let (first, second) = self.piece.split(self.piece.len().div_ceil(2));
        [self.part(first), self.part(second)]
    }

    /// One of its records, and what is before and after it.
    pub(super) fn around(&self, index: usize) -> [Option<WorkItem>; 3] {
        let range = &self.piece.range;
        let part = |range: std::ops::Range<usize>| (!range.is_empty()).then(|| self.part(self.piece.part(range)));
        [part(range.start..index), part(index..index + 1), part(index + 1..range.end)]
    }

    /// Only the records at these indices, which failed together.
    pub(super) fn only(&self, indices: &[usize]) -> WorkItem {
        let all = &self.piece.records;
        let records: Vec<Record> = indices.iter().filter_map(|index| all.get(*index)).cloned().collect();
        let numbers = match &self.piece.numbers {
            Numbers::Parked => Numbers::Parked,
            Numbers::From(_) | Numbers::Each(_) => {
                Numbers::Each(indices.iter().filter_map(|index| self.piece.number(*index)).collect())
            }
        };
        let range = 0..records.len();
        let piece = Piece { records: Arc::new(records), range, numbers, ..self.piece.clone() };
        WorkItem { failures: self.failures, ..self.part(piece) }
    }
}

/// Which of the records an error blames.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FailedRecords {
    /// It does not say.
    All,
    /// This one, by its index.
    One(usize),
    /// This one, by its index; those before it are done.
    From(usize),
    /// These, by their indices; the others are done.
    Some(Vec<usize>),
}

impl FailedRecords {
    pub(super) fn of(cause: &Cause, piece: &Piece) -> FailedRecords {
        let Cause::Error(error) = cause else { return FailedRecords::All };
        if let Some(outcome) = error.downcast_ref::<BatchOutcome>() {
            let failed = piece
                .range
                .clone()
                .filter(|index| piece.records.get(*index).is_some_and(|record| outcome.error_of(record).is_some()));
            return FailedRecords::Some(failed.collect());
        }
        let at = |position: Option<Position>| position.and_then(|position| index_of(piece, &position));
        at(unreadable(error.as_ref()))
            .or_else(|| at(failed_at(error.as_ref())))
            .map_or(FailedRecords::All, FailedRecords::From)
    }

    /// The same, where a checkpoint store has said which of the records are done: the first one that failed is the cause,
    /// and none of the others is done.
    pub(super) fn beside_store(self) -> FailedRecords {
        match self {
            FailedRecords::From(index) | FailedRecords::One(index) => FailedRecords::One(index),
            FailedRecords::Some(failed) => {
                failed.first().map_or(FailedRecords::All, |index| FailedRecords::One(*index))
            }
            FailedRecords::All => FailedRecords::All,
        }
    }
}

/// The first record that a handler named as failed and that its store's position has passed.
pub(super) fn passed_failure(cause: &Cause, piece: &Piece, stored: &Position) -> Option<Position> {
    let Cause::Error(error) = cause else { return None };
    let outcome = error.downcast_ref::<BatchOutcome>()?;
    let passed = piece.slice().iter().take_while(|record| record.position() <= *stored);
    passed.filter(|record| outcome.has_failed(record)).map(Record::position).next()
}

fn index_of(piece: &Piece, position: &Position) -> Option<usize> {
    piece.range.clone().find(|index| piece.records.get(*index).is_some_and(|record| record.position() == *position))
}

/// The record that could not be decoded.
#[cfg(feature = "macros")]
fn unreadable(error: &(dyn std::error::Error + 'static)) -> Option<Position> {
    error.downcast_ref::<crate::DecodeError>().map(crate::DecodeError::position)
}

/// The record that a derived processor's handler failed at.
#[cfg(feature = "macros")]
fn failed_at(error: &(dyn std::error::Error + 'static)) -> Option<Position> {
    error.downcast_ref::<crate::processor::json::FailedAt>().map(|failed| failed.position.clone())
}

#[cfg(not(feature = "macros"))]
fn failed_at(_: &(dyn std::error::Error + 'static)) -> Option<Position> {
    None
}

#[cfg(not(feature = "macros"))]
fn unreadable(_: &(dyn std::error::Error + 'static)) -> Option<Position> {
    None
}

/// What an error says of one record.
pub(super) fn said_of(cause: &Cause, record: &Record) -> String {
    if let Cause::Error(error) = cause
        && let Some(own) = error.downcast_ref::<BatchOutcome>().and_then(|outcome| outcome.error_of(record))
    {
        return own.to_string();
    }
    cause.to_string()
}
