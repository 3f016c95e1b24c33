//! Implements record handles, by which a handler acknowledges or fails records one by one.

use super::Batch;
use super::BoxError;
use super::delivery::ShardDelivery;
use super::failure::Cause;
use super::record_slice::RecordSlice;
use crate::record::Record;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;

/// Acknowledges or fails one record. Taken from a batch by [`Batch::take_handles`]; may be moved to
/// any task.
///
/// A handle that is dropped without either fails its record, so a record that is forgotten, or
/// whose task panicked, goes to the error policy.
///
/// # Examples
/// ```
/// use kcl_core::prelude::*;
///
/// /// Acknowledges each record when a task of its own has handled it.
/// struct Spawning;
///
/// impl RecordProcessor for Spawning {
///     async fn process_records(&mut self, batch: &Batch, _: &ShardContext) -> Result<(), BoxError> {
///         for handle in batch.take_handles() {
///             tokio::spawn(async move {
///                 match deliver(handle.record()).await {
///                     Ok(()) => handle.acknowledge(),
///                     Err(error) => handle.fail(error), // the error policy decides
///                 }
///             });
///         }
///         Ok(())
///     }
/// }
///
/// async fn deliver(record: &Record) -> Result<(), BoxError> {
///     # let _ = record;
///     Ok(())
/// }
/// ```
#[must_use = "a handle that is dropped fails its record"]
pub struct RecordHandle {
    handles: Arc<HandleSet>,
    index: usize,
    settled: bool,
}

/// The handles of one delivered batch, and which of them were used.
#[derive(Debug)]
pub(super) struct HandleSet {
    records: Arc<Vec<Record>>,
    range: Range<usize>,
    /// Receives acknowledgements and failures; `None` for a batch that a test made.
    sink: Option<HandleSink>,
    /// The worker has a checkpoint store, whose one position cannot represent gaps, so no handles
    /// are returned.
    in_order: bool,
    state: Mutex<State>,
}

/// Receives what the handles of a batch report.
#[derive(Debug)]
pub(super) struct HandleSink {
    pub(super) slice: RecordSlice,
    pub(super) delivery: Arc<ShardDelivery>,
    pub(super) returned: mpsc::UnboundedSender<Returned>,
}

/// What handles report to the lane that delivered their batch.
#[derive(Debug)]
pub(super) enum Returned {
    /// The last open handle of a batch was used.
    AllSettled,
    /// A record failed.
    Failed {
        /// The record.
        slice: RecordSlice,
        /// Why it failed.
        cause: Cause,
    },
}

#[derive(Debug, Default)]
struct State {
    taken: bool,
    /// The handler asked for handles although none are returned with a checkpoint store.
    refused: bool,
    /// The handler returned an error after it took the handles: its unacknowledged records are
    /// delivered again anyway, so a later failure of a handle adds nothing.
    revoked: bool,
    open: usize,
    /// By the record's index within the batch.
    acknowledged: Vec<bool>,
}

impl HandleSet {
    pub(super) fn new(records: Arc<Vec<Record>>, range: Range<usize>, sink: HandleSink, in_order: bool) -> Arc<Self> {
        Arc::new(HandleSet { records, range, sink: Some(sink), in_order, state: Mutex::default() })
    }

    pub(super) fn detached(batch: &Batch) -> Arc<Self> {
        let (records, range) = batch.shared();
        Arc::new(HandleSet { records, range, sink: None, in_order: false, state: Mutex::default() })
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
        self.range.clone().map(|index| RecordHandle { handles: Arc::clone(shared), index, settled: false }).collect()
    }

    /// Whether the handler took the handles.
    pub(super) fn is_taken(&self) -> bool {
        self.lock().taken
    }

    /// Whether the handler asked for handles although none are returned.
    pub(super) fn was_refused(&self) -> bool {
        self.lock().refused
    }

    /// Whether some handles are neither acknowledged nor failed yet.
    pub(super) fn is_open(&self) -> bool {
        self.lock().open > 0
    }

    /// Notes that the handler failed. Returns the records to deliver again, if it had taken the
    /// handles.
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
        let Some(HandleSink { slice, delivery, returned }) = &self.sink else { return };
        match failed {
            None => slice.settle(delivery, index..index + 1),
            // A send fails if the consumer is gone. The next consumer delivers the record again.
            Some(cause) if !revoked => drop(returned.send(Returned::Failed { slice: slice.only(index), cause })),
            Some(_) => {}
        }
        if open == 0 {
            drop(returned.send(Returned::AllSettled));
        }
    }
}

impl RecordHandle {
    /// The record.
    #[must_use]
    #[allow(clippy::indexing_slicing, reason = "a handle is made for an index of these records, which never change")]
    pub fn record(&self) -> &Record {
        &self.handles.records[self.index]
    }

    /// Acknowledges the record. The checkpoint moves past it once all earlier records are
    /// acknowledged, too.
    ///
    /// Has no effect after the lease is lost: the next owner delivers the record again.
    pub fn acknowledge(mut self) {
        self.settle(None);
    }

    /// Fails the record. The error policy decides whether it is delivered again.
    pub fn fail(mut self, error: impl Into<BoxError>) {
        self.settle(Some(Cause::Error(error.into())));
    }

    fn settle(&mut self, failed: Option<Cause>) {
        if !std::mem::replace(&mut self.settled, true) {
            self.handles.settle(self.index, failed);
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
