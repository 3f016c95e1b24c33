//! Keeps the lease table in memory, for tests, simulations and fleets of one process.

use super::row::{Lease, LeaseKey, Row, RowKey, WorkerId};
#[cfg(any(test, feature = "unstable-store"))]
use super::store::Table;
use super::store::{Consistency, LeaseStore, Page, PageToken, StoreError};
use super::write::{Write, Written};
use crate::record::StreamId;
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A lease table in memory, for tests and for applications of one process.
///
/// It is lost when the process ends: the next start reads from the setting `start` again. Give it
/// to a worker with [`WorkerBuilder::with_store`](crate::WorkerBuilder::with_store).
#[derive(Debug, Default)]
pub struct MemoryStore {
    rows: Mutex<BTreeMap<RowKey, Row>>,
}

impl MemoryStore {
    pub(crate) fn leases(&self) -> Vec<Lease> {
        self.rows().values().filter_map(Row::as_lease).cloned().collect()
    }

    /// The next rows, in the order of their keys.
    fn next_page(&self, after: Option<&PageToken>, rows: u32) -> Page {
        let all = self.rows();
        let from = after.and_then(key_of).map_or(Bound::Unbounded, Bound::Excluded);
        let mut rest = all.range((from, Bound::Unbounded));
        let mut page = Page::default();
        let mut last = None;
        for (key, row) in rest.by_ref().take(rows.max(1) as usize) {
            page.rows.add(row.clone());
            last = Some(key);
        }
        if rest.next().is_some() {
            page.next = last.map(token_of);
        }
        page
    }

    /// Makes one conditional write.
    fn make(&self, write: &Write) -> Written {
        let mut rows = self.rows();
        let key = write.key();
        let written = write.apply(rows.get(&key));
        match &written {
            Written::Applied(Some(row)) => drop(rows.insert(key, row.clone())),
            Written::Applied(None) => drop(rows.remove(&key)),
            Written::Refused(_) => {}
        }
        written
    }

    fn rows(&self) -> MutexGuard<'_, BTreeMap<RowKey, Row>> {
        // Each change is one call on the map, so a panic of another thread leaves no partial
        // change.
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The rows, for tests and simulations.
#[cfg(any(test, feature = "unstable-store"))]
impl MemoryStore {
    /// A table with these rows.
    pub fn of(rows: impl IntoIterator<Item = Row>) -> Self {
        MemoryStore { rows: Mutex::new(rows.into_iter().map(|row| (row.key(), row)).collect()) }
    }

    /// Stores a row unconditionally, as an external writer can.
    pub fn put(&self, row: Row) {
        self.rows().insert(row.key(), row);
    }

    /// Removes a row unconditionally, as an external writer can.
    pub fn remove(&self, key: &RowKey) -> Option<Row> {
        self.rows().remove(key)
    }

    /// Reads a row.
    #[must_use]
    pub fn get(&self, key: &RowKey) -> Option<Row> {
        self.rows().get(key).cloned()
    }

    /// Reads all rows, in the order of their keys.
    #[must_use]
    pub fn table(&self) -> Table {
        let mut table = Table::default();
        for row in self.rows().values() {
            table.add(row.clone());
        }
        table
    }

    /// Reads the next rows, in the order of their keys.
    #[must_use]
    pub fn page(&self, after: Option<&PageToken>, rows: u32) -> Page {
        self.next_page(after, rows)
    }

    /// Makes one conditional write.
    pub fn apply(&self, write: &Write) -> Written {
        self.make(write)
    }
}

/// A row's place in the order of keys, as text.
fn token_of(key: &RowKey) -> PageToken {
    PageToken::new(match key {
        RowKey::Lease(lease) => format!("lease {lease}"),
        RowKey::Session(worker) => format!("session {worker}"),
        RowKey::Fleet => "fleet ".to_owned(),
        RowKey::Assignment(worker) => format!("assignment {worker}"),
        RowKey::Stream(stream) => format!("stream {stream}"),
    })
}

fn key_of(token: &PageToken) -> Option<RowKey> {
    let (kind, key) = token.as_str().split_once(' ')?;
    match kind {
        "lease" => Some(RowKey::Lease(LeaseKey::new(key))),
        "session" => Some(RowKey::Session(WorkerId::from_row(key))),
        "fleet" => Some(RowKey::Fleet),
        "assignment" => Some(RowKey::Assignment(WorkerId::from_row(key))),
        "stream" => Some(RowKey::Stream(StreamId::new(key))),
        _ => None,
    }
}

#[async_trait]
impl LeaseStore for MemoryStore {
    async fn read(&self, keys: &[RowKey], _consistency: Consistency) -> Result<Vec<Option<Row>>, StoreError> {
        let rows = self.rows();
        Ok(keys.iter().map(|key| rows.get(key).cloned()).collect())
    }

    async fn scan_page(&self, after: Option<&PageToken>, rows: u32) -> Result<Page, StoreError> {
        Ok(self.next_page(after, rows))
    }

    async fn write(&self, write: &Write) -> Result<Written, StoreError> {
        Ok(self.make(write))
    }
}
