//! What a handler is called with.

use super::handle::{HandleSet, RecordHandle};
use crate::record::Record;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// The next records of a shard.
#[derive(Clone, Debug)]
pub struct Batch {
    records: Arc<Vec<Record>>,
    range: Range<usize>,
    millis_behind_latest: Option<u64>,
    ledger: Option<Arc<HandleSet>>,
}

impl Batch {
    /// A batch of these records, for tests of handlers. Acknowledging its handles has no effect.
    #[must_use]
    pub fn new(records: Vec<Record>) -> Self {
        let range = 0..records.len();
        Batch { records: Arc::new(records), range, millis_behind_latest: None, ledger: None }
    }

    /// Sets how far the batch ends behind the tip of its shard, for tests of handlers.
    #[must_use]
    pub fn with_behind_latest(mut self, behind: Duration) -> Self {
        self.millis_behind_latest = u64::try_from(behind.as_millis()).ok();
        self
    }

    pub(super) fn of(
        records: Arc<Vec<Record>>,
        range: Range<usize>,
        millis_behind_latest: Option<u64>,
        ledger: Arc<HandleSet>,
    ) -> Self {
        Batch { records, range, millis_behind_latest, ledger: Some(ledger) }
    }

    /// The records, in order.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        self.records.get(self.range.clone()).unwrap_or_default()
    }

    /// How far behind the tip of the shard the batch ends: `MillisBehindLatest` of the answer that it came in.
    #[must_use]
    pub fn behind_latest(&self) -> Option<Duration> {
        self.millis_behind_latest.map(Duration::from_millis)
    }

    /// One handle a record, in order, to be acknowledged or failed one by one, by whichever task, in any order.
    ///
    /// # Expected flow
    /// The handler acquires the handles, moves them to tasks of its own, and returns `Ok(())`, which then acknowledges nothing.
    /// The next batch comes while handles are open. From `max_unacknowledged` records on (from the first that is not
    /// acknowledged) no more are read; what was read by then, up to 10,000 records, still comes.
    ///
    /// # Guarantees
    /// The position moves as far as every record is acknowledged without a gap. A handle that is failed or dropped is a
    /// failure of its record: the error policy decides, and the record comes again in a batch of its own. The shard's end
    /// and an orderly give-up wait for open handles. One that is used after the lease is lost changes nothing.
    ///
    /// # Assumptions
    /// Order is the handler's own affair: a record that comes again comes after later ones.
    ///
    /// On a worker with a [`CheckpointStore`](crate::CheckpointStore) there are no handles: a store keeps one position, and
    /// records that are done in any order have none. The call yields none, and the worker stops when the handler returns
    /// (KCL-0024).
    ///
    /// A second call yields none. An error of the handler that took them counts for the records that are not acknowledged
    /// by then; their old handles can still acknowledge, and nothing else.
    #[must_use]
    pub fn take_handles(&self) -> Vec<RecordHandle> {
        let ledger = self.ledger.clone().unwrap_or_else(|| HandleSet::detached(self));
        ledger.take(&ledger)
    }

    pub(super) fn shared(&self) -> (Arc<Vec<Record>>, Range<usize>) {
        (Arc::clone(&self.records), self.range.clone())
    }
}

impl std::ops::Deref for Batch {
    type Target = [Record];
    fn deref(&self) -> &[Record] {
        self.records()
    }
}

impl<'a> IntoIterator for &'a Batch {
    type Item = &'a Record;
    type IntoIter = std::slice::Iter<'a, Record>;
    fn into_iter(self) -> Self::IntoIter {
        self.records().iter()
    }
}
