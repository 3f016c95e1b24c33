//! Acknowledging record by record.

use super::Batch;
use super::BoxError;
use super::consumer::Piece;
use super::delivery::ShardDelivery;
use super::failure::Cause;
use crate::record::Record;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;

/// The right to acknowledge one record, or to fail it. Taken from a batch by [`Batch::take_handles`].
///
/// Dropped without either, it fails the record: what nobody took care of is not done.
#[must_use = "a handle that is dropped fails its record"]
pub struct RecordHandle {
    ledger: Arc<HandleSet>,
    index: usize,
    settled: bool,
}

/// What became of the records of one call of a handler.
#[derive(Debug)]
pub(super) struct HandleSet {
    records: Arc<Vec<Record>>,
    range: Range<usize>,
    /// Where acknowledgements go; nowhere for a batch that a test made.
    to: Option<HandleSink>,
    /// Positions are kept in a checkpoint store, which knows no gaps: no handles are given out.
    in_order: bool,
    state: Mutex<State>,
}

/// Who is told.
#[derive(Debug)]
pub(super) struct HandleSink {
    pub(super) piece: Piece,
    pub(super) delivery: Arc<ShardDelivery>,
    pub(super) returned: mpsc::UnboundedSender<Returned>,
}

/// A handle came back.
#[derive(Debug)]
pub(super) enum Returned {
    /// The last one of a batch.
    AllSettled,
    /// One that failed.
    Failed {
        /// Its record.
        piece: Piece,
        /// Why.
        cause: Cause,
    },
}

#[derive(Debug, Default)]
struct State {
    taken: bool,
    /// Handles were asked for where none are given out.
    refused: bool,
    /// The handler failed afterwards: its records come again anyway.
    revoked: bool,
    open: usize,
    /// By index within the range.
    acknowledged: Vec<bool>,
}

impl HandleSet {
    pub(super) fn new(records: Arc<Vec<Record>>, range: Range<usize>, to: HandleSink, in_order: bool) -> Arc<Self> {
        Arc::new(HandleSet { records, range, to: Some(to), in_order, state: Mutex::default() })
    }

    pub(super) fn detached(batch: &Batch) -> Arc<Self> {
        let (records, range) = batch.shared();
        Arc::new(HandleSet { records, range, to: None, in_order: false, state: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn take(&self, shared: &Arc<HandleSet>) -> Vec<RecordHandle> {
        let mut state = self.lock();
        state.refused |= self.in_order;
        if state.taken || state.refused {
            return Vec::new();
        }
        (state.taken, state.open) = (true, self.range.len());
        state.acknowledged = vec![false; self.range.len()];
        drop(state);
        self.range.clone().map(|index| RecordHandle { ledger: Arc::clone(shared), index, settled: false }).collect()
    }

    /// Whether the handler took the handles.
    pub(super) fn is_taken(&self) -> bool {
        self.lock().taken
    }

    /// Whether the handler asked for handles that it may not have.
    pub(super) fn was_refused(&self) -> bool {
        self.lock().refused
    }

    /// Whether handles are open.
    pub(super) fn is_open(&self) -> bool {
        self.lock().open > 0
    }

    /// The handler failed: tells which of its records are to come again.
    pub(super) fn revoke(&self) -> Option<Vec<usize>> {
        let mut state = self.lock();
        state.revoked = true;
        let left = |(offset, done): (usize, &bool)| (!done).then_some(self.range.start + offset);
        state.taken.then(|| state.acknowledged.iter().enumerate().filter_map(left).collect())
    }

    fn settle(&self, index: usize, failed: Option<Cause>) {
        let mut state = self.lock();
        state.open = state.open.saturating_sub(1);
        let (open, revoked) = (state.open, state.revoked);
        if failed.is_none()
            && let Some(done) = state.acknowledged.get_mut(index - self.range.start)
        {
            *done = true;
        }
        drop(state);
        let Some(HandleSink { piece, delivery, returned }) = &self.to else { return };
        match failed {
            None => piece.settle(delivery, index..index + 1),
            // The consumer may be gone: then the record comes again at the next one.
            Some(cause) if !revoked => drop(returned.send(Returned::Failed { piece: piece.only(index), cause })),
            Some(_) => {}
        }
        if open == 0 {
            drop(returned.send(Returned::AllSettled));
        }
    }
}

impl RecordHandle {
    /// The record.
    ///
    /// # Panics
    /// Never: a handle is made for a record that is there.
    #[must_use]
    #[allow(clippy::indexing_slicing, reason = "made for an index of these records, which nobody changes")]
    pub fn record(&self) -> &Record {
        &self.ledger.records[self.index]
    }

    /// The record is done. Whether or not others are, the position follows once there is no gap before it.
    pub fn acknowledge(mut self) {
        self.settle(None);
    }

    /// The record is not done: the error policy decides what becomes of it.
    pub fn fail(mut self, error: impl Into<BoxError>) {
        self.settle(Some(Cause::Error(error.into())));
    }

    fn settle(&mut self, failed: Option<Cause>) {
        if !std::mem::replace(&mut self.settled, true) {
            self.ledger.settle(self.index, failed);
        }
    }
}

impl Drop for RecordHandle {
    fn drop(&mut self) {
        self.settle(Some(Cause::Dropped));
    }
}

impl fmt::Debug for RecordHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordHandle").field("record", self.record()).finish_non_exhaustive()
    }
}
