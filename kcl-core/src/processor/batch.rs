//! Defines the batch of records that a handler is called with.

use super::handle::{HandleSet, RecordHandle};
use crate::record::Record;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// The next records of a shard, in order. Never empty when a handler gets it.
///
/// A batch dereferences to `[Record]`, and `&batch` iterates over its records. A clone is cheap: it
/// copies reference counts. The records stay in memory, and count against the setting
/// `byte_budget`, until the last clone and the last handle are dropped.
///
/// The settings `max_batch_records` (10,000), `max_batch_bytes` (16 MiB) and `batch_window` (0 s)
/// bound a batch. A record that is larger than `max_batch_bytes` comes alone.
///
/// # Examples
/// ```
/// use kcl_core::{prelude::*, record::SequenceNumber};
/// use std::time::Duration;
///
/// let number = |digits: &str| SequenceNumber::parse(digits);
/// let batch = Batch::new(vec![Record::new(number("1")?, "first"), Record::new(number("2")?, "second")])
///     .with_behind_latest(Duration::from_secs(3));
/// assert_eq!(batch.len(), 2);
/// for record in &batch {
///     println!("{} {:?}", record.sequence_number, record.data);
/// }
/// # Ok::<(), kcl_core::record::InvalidSequenceNumber>(())
/// ```
#[derive(Clone, Debug)]
pub struct Batch {
    records: Arc<Vec<Record>>,
    range: Range<usize>,
    millis_behind_latest: Option<u64>,
    handles: Option<Arc<HandleSet>>,
}

impl Batch {
    /// A batch of these records, for tests of handlers. Its handles have no effect.
    #[must_use]
    pub fn new(records: Vec<Record>) -> Self {
        let range = 0..records.len();
        Batch { records: Arc::new(records), range, millis_behind_latest: None, handles: None }
    }

    /// Sets [`behind_latest`](Self::behind_latest), for tests of handlers.
    #[must_use]
    pub fn with_behind_latest(mut self, behind: Duration) -> Self {
        self.millis_behind_latest = u64::try_from(behind.as_millis()).ok();
        self
    }

    pub(super) fn of(
        records: Arc<Vec<Record>>,
        range: Range<usize>,
        millis_behind_latest: Option<u64>,
        handles: Arc<HandleSet>,
    ) -> Self {
        Batch { records, range, millis_behind_latest, handles: Some(handles) }
    }

    /// The records, in order.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        self.records.get(self.range.clone()).unwrap_or_default()
    }

    /// Iterator age: how far the read that returned these records was behind the tip of the shard,
    /// as Kinesis reported it (`MillisBehindLatest`). `None` if Kinesis did not report it.
    #[must_use]
    pub fn behind_latest(&self) -> Option<Duration> {
        self.millis_behind_latest.map(Duration::from_millis)
    }

    /// Takes one handle for each record, in order. Each record is then acknowledged or failed on
    /// its own, by any task, in any order.
    ///
    /// A handler that takes the handles moves them to tasks of its own and returns `Ok(())`, which
    /// then acknowledges nothing. The next batch comes while handles are open. When the records
    /// from the first unacknowledged one on reach the setting `max_unacknowledged` (100,000), the
    /// worker stops reading; what was read by then, up to 10,000 records, is still delivered.
    ///
    /// # What holds
    /// - The checkpoint moves up to the first record that is not acknowledged.
    /// - A handle that is failed or dropped is a failure of its record: the error policy decides,
    ///   and a record that is retried comes again in a batch of its own, after later records.
    /// - The end of the shard and an orderly release of the lease wait for open handles.
    /// - A handle that is used after the lease is lost has no effect.
    ///
    /// # If the handler fails
    /// If the handler returns an error after it took the handles, the records that are not yet
    /// acknowledged have failed. Their old handles can still acknowledge them, but can no longer
    /// fail them.
    ///
    /// # When none are returned
    /// - A second call returns no handles.
    /// - On a worker with a [`CheckpointStore`](crate::CheckpointStore) no handles are returned,
    ///   and the worker stops when the handler returns (KCL-0024). Such a store keeps one position,
    ///   which cannot represent records that are done in any order.
    #[must_use]
    pub fn take_handles(&self) -> Vec<RecordHandle> {
        let handles = self.handles.clone().unwrap_or_else(|| HandleSet::detached(self));
        handles.take(&handles)
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
