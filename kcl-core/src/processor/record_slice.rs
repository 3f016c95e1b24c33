//! Holds records on their way from the reader to a handler: a range of the records that were read
//! together, with the ids by which they are acknowledged.

use crate::clock::Time;
use crate::processor::delivery::ShardDelivery;
use crate::record::Record;
use crate::retrieval::{CorruptAggregate, Reservation};
use std::ops::Range;
use std::sync::Arc;

/// A range of the records that were read together. Cheap to clone and to split, because the records
/// are shared.
#[derive(Clone, Debug)]
pub(super) struct RecordSlice {
    /// The records that were read together.
    pub(super) shared: Arc<Vec<Record>>,
    /// The indices of this slice within `shared`.
    pub(super) range: Range<usize>,
    pub(super) ack_ids: AckIds,
    pub(super) millis_behind_latest: Option<u64>,
    /// Why this slice's only record is not shown to a handler: it is an aggregate that fails to
    /// decode.
    pub(super) corrupt: Option<CorruptAggregate>,
    /// When the records were read.
    pub(super) since: Time,
    /// The records' share of the byte budget. Dropped, and so freed, with the last slice of the
    /// shared records.
    pub(super) reservation: Arc<Reservation>,
}

/// The numbers by which the records are acknowledged at the watermark.
#[derive(Clone, Debug)]
pub(super) enum AckIds {
    /// The first of the shared records has this number, and the others follow.
    From(u64),
    /// Each of the shared records has its own number, by its index.
    Each(Arc<[u64]>),
    /// The records were read again from quarantine. They are identified by their positions.
    Quarantined,
}

impl RecordSlice {
    pub(super) fn records(&self) -> &[Record] {
        self.shared.get(self.range.clone()).unwrap_or_default()
    }

    pub(super) fn len(&self) -> usize {
        self.range.len()
    }

    /// Payload bytes.
    pub(super) fn bytes(&self) -> usize {
        self.records().iter().map(|record| record.data.len()).sum()
    }

    /// The records at these indices of the shared ones.
    pub(super) fn part(&self, range: Range<usize>) -> RecordSlice {
        RecordSlice { range, ..self.clone() }
    }

    /// The record at this index of the shared ones.
    pub(super) fn only(&self, index: usize) -> RecordSlice {
        self.part(index..index + 1)
    }

    /// The first `count` records, and the rest.
    pub(super) fn split(&self, count: usize) -> (RecordSlice, RecordSlice) {
        let at = self.range.start + count.min(self.len());
        (self.part(self.range.start..at), self.part(at..self.range.end))
    }

    /// The number of the record at this index of the shared ones; none for a record from
    /// quarantine.
    pub(super) fn ack_id(&self, index: usize) -> Option<u64> {
        match &self.ack_ids {
            AckIds::From(first) => Some(first + index as u64),
            AckIds::Each(ids) => ids.get(index).copied(),
            AckIds::Quarantined => None,
        }
    }

    /// Acknowledges the records at these indices, or removes them from quarantine.
    pub(super) fn settle(&self, delivery: &ShardDelivery, range: Range<usize>) {
        match &self.ack_ids {
            AckIds::From(first) => delivery.acknowledge(first + range.start as u64..first + range.end as u64),
            AckIds::Each(ids) => {
                for run in runs(ids.get(range).unwrap_or_default()) {
                    delivery.acknowledge(run);
                }
            }
            AckIds::Quarantined => {
                let done: Vec<_> = self.shared.get(range).unwrap_or_default().iter().map(Record::position).collect();
                delivery.release_quarantined(&done);
            }
        }
    }

    /// Settles every record of the slice.
    pub(super) fn settle_all(&self, delivery: &ShardDelivery) {
        self.settle(delivery, self.range.clone());
    }

    /// Joins several slices into one batch. Records of a slice that nothing else shares are moved,
    /// others are copied.
    pub(super) fn joined(slices: Vec<RecordSlice>) -> Option<RecordSlice> {
        if slices.len() < 2 {
            return slices.into_iter().next();
        }
        let (last, since) = (slices.last()?.clone(), slices.first()?.since);
        let (mut records, mut ids, mut reservations) = (Vec::new(), Vec::new(), Vec::new());
        for slice in slices {
            ids.extend(slice.range.clone().filter_map(|index| slice.ack_id(index)));
            let whole = slice.range == (0..slice.shared.len());
            reservations.push(Arc::clone(&slice.reservation));
            match Arc::try_unwrap(slice.shared) {
                Ok(own) if whole => records.extend(own),
                Ok(own) => records.extend(own.into_iter().skip(slice.range.start).take(slice.range.len())),
                Err(shared) => records.extend(shared.get(slice.range).unwrap_or_default().iter().cloned()),
            }
        }
        let range = 0..records.len();
        let reservation = Arc::new(Reservation::combined(reservations));
        let (shared, ack_ids) = (Arc::new(records), AckIds::Each(ids.into()));
        Some(RecordSlice { shared, range, ack_ids, since, reservation, ..last })
    }
}

/// Consecutive numbers, as ranges.
fn runs(ids: &[u64]) -> impl Iterator<Item = Range<u64>> + '_ {
    ids.chunk_by(|a, b| a + 1 == *b).filter_map(|run| Some(*run.first()?..run.last()? + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consecutive_numbers_are_acknowledged_together() {
        assert_eq!(runs(&[1, 2, 3, 7, 9, 10]).collect::<Vec<_>>(), [1..4, 7..8, 9..11]);
        assert_eq!(runs(&[]).count(), 0);
    }
}
