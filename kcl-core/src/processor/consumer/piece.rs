//! Records on their way to a handler: some of those that were read together, with their numbers.

use crate::clock::Time;
use crate::processor::delivery::ShardDelivery;
use crate::record::Record;
use crate::retrieval::{CorruptAggregate, Reservation};
use std::ops::Range;
use std::sync::Arc;

/// See the module's documentation. Cheap to clone and to split: the records are shared.
#[derive(Clone, Debug)]
pub(in crate::processor) struct Piece {
    pub(in crate::processor) records: Arc<Vec<Record>>,
    /// Which of them.
    pub(in crate::processor) range: Range<usize>,
    pub(in crate::processor) numbers: Numbers,
    pub(in crate::processor) millis_behind_latest: Option<u64>,
    /// One record that no handler is to see.
    pub(in crate::processor) corrupt: Option<CorruptAggregate>,
    /// When they were read.
    pub(in crate::processor) since: Time,
    /// Their part of the byte budget; free again with the last piece of what was read together.
    pub(in crate::processor) reservation: Arc<Reservation>,
}

/// How a record's acknowledgement is told.
#[derive(Clone, Debug)]
pub(in crate::processor) enum Numbers {
    /// The first of the shared records has this number, and the others follow.
    From(u64),
    /// Each has its own, by its index.
    Each(Arc<[u64]>),
    /// They were parked, and are known by their positions.
    Parked,
}

impl Piece {
    pub(in crate::processor) fn slice(&self) -> &[Record] {
        self.records.get(self.range.clone()).unwrap_or_default()
    }

    pub(in crate::processor) fn len(&self) -> usize {
        self.range.len()
    }

    pub(in crate::processor) fn bytes(&self) -> usize {
        self.slice().iter().map(|record| record.data.len()).sum()
    }

    /// These of its records, by their indices within the shared ones.
    pub(in crate::processor) fn part(&self, range: Range<usize>) -> Piece {
        Piece { range, ..self.clone() }
    }

    /// One of its records.
    pub(in crate::processor) fn only(&self, index: usize) -> Piece {
        self.part(index..index + 1)
    }

    /// The first `count`, and the rest.
    pub(in crate::processor) fn split(&self, count: usize) -> (Piece, Piece) {
        let at = self.range.start + count.min(self.len());
        (self.part(self.range.start..at), self.part(at..self.range.end))
    }

    /// The numbers of these records.
    pub(in crate::processor) fn number(&self, index: usize) -> Option<u64> {
        match &self.numbers {
            Numbers::From(first) => Some(first + index as u64),
            Numbers::Each(numbers) => numbers.get(index).copied(),
            Numbers::Parked => None,
        }
    }

    /// These records are done.
    pub(in crate::processor) fn settle(&self, delivery: &ShardDelivery, range: Range<usize>) {
        match &self.numbers {
            Numbers::From(first) => delivery.acknowledge(first + range.start as u64..first + range.end as u64),
            Numbers::Each(numbers) => {
                for run in runs(numbers.get(range).unwrap_or_default()) {
                    delivery.acknowledge(run);
                }
            }
            Numbers::Parked => {
                let done: Vec<_> = self.records.get(range).unwrap_or_default().iter().map(Record::position).collect();
                delivery.unpark(&done);
            }
        }
    }

    /// All of them are.
    pub(in crate::processor) fn settle_all(&self, delivery: &ShardDelivery) {
        self.settle(delivery, self.range.clone());
    }

    /// Several pieces as one, with records of their own.
    pub(super) fn joined(pieces: Vec<Piece>) -> Option<Piece> {
        if pieces.len() < 2 {
            return pieces.into_iter().next();
        }
        let (last, since) = (pieces.last()?.clone(), pieces.first()?.since);
        let (mut records, mut numbers, mut reservations) = (Vec::new(), Vec::new(), Vec::new());
        for piece in pieces {
            numbers.extend(piece.range.clone().filter_map(|index| piece.number(index)));
            let whole = piece.range == (0..piece.records.len());
            reservations.push(Arc::clone(&piece.reservation));
            match Arc::try_unwrap(piece.records) {
                Ok(own) if whole => records.extend(own),
                Ok(own) => records.extend(own.into_iter().skip(piece.range.start).take(piece.range.len())),
                Err(shared) => records.extend(shared.get(piece.range).unwrap_or_default().iter().cloned()),
            }
        }
        let range = 0..records.len();
        let reservation = Arc::new(Reservation::combined(reservations));
        let numbers = Numbers::Each(numbers.into());
        Some(Piece { records: Arc::new(records), range, numbers, since, reservation, ..last })
    }
}

/// Numbers that follow each other, as ranges.
fn runs(numbers: &[u64]) -> impl Iterator<Item = Range<u64>> + '_ {
    numbers.chunk_by(|a, b| a + 1 == *b).filter_map(|run| Some(*run.first()?..run.last()? + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_a_row_are_acknowledged_together() {
        assert_eq!(runs(&[1, 2, 3, 7, 9, 10]).collect::<Vec<_>>(), [1..4, 7..8, 9..11]);
        assert_eq!(runs(&[]).count(), 0);
    }
}
