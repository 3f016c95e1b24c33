//! The table in memory: for tests, simulations and fleets of one process.

use super::row::{LeaseKey, Row, RowKey, WorkerId};
use super::store::{Consistency, LeaseStore, Page, PageToken, StoreError, Table};
use super::write::{Write, Written};
use crate::record::StreamId;
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A table that lives as long as the process. Always consistent, never throttled, gone with its last `Arc`.
#[derive(Debug, Default)]
pub struct MemoryStore {
    rows: Mutex<BTreeMap<RowKey, Row>>,
}

impl MemoryStore {
    /// A table with these rows.
    pub fn of(rows: impl IntoIterator<Item = Row>) -> Self {
        MemoryStore { rows: Mutex::new(rows.into_iter().map(|row| (row.key(), row)).collect()) }
    }

    /// Puts a row there whatever stood there before, as another hand might.
    pub fn put(&self, row: Row) {
        self.rows().insert(row.key(), row);
    }

    /// Removes a row, as another hand might.
    pub fn remove(&self, key: &RowKey) -> Option<Row> {
        self.rows().remove(key)
    }

    /// The row as it is.
    #[must_use]
    pub fn get(&self, key: &RowKey) -> Option<Row> {
        self.rows().get(key).cloned()
    }

    /// Every row, in the order of their keys.
    #[must_use]
    pub fn table(&self) -> Table {
        let mut table = Table::default();
        for row in self.rows().values() {
            table.add(row.clone());
        }
        table
    }

    /// The next rows, in the order of their keys.
    #[must_use]
    pub fn page(&self, after: Option<&PageToken>, rows: u32) -> Page {
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

    /// Makes one conditional write, at once.
    pub fn apply(&self, write: &Write) -> Written {
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
        // Every change is one call on the map, so a panic elsewhere leaves no half of one.
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A row's place in the order of keys, as text.
fn token_of(key: &RowKey) -> PageToken {
    PageToken::new(match key {
        RowKey::Lease(lease) => format!("lease {lease}"),
        RowKey::Session(worker) => format!("session {worker}"),
        RowKey::Fleet => "fleet ".to_owned(),
        RowKey::Assignment(worker) => format!("plan {worker}"),
        RowKey::Stream(stream) => format!("stream {stream}"),
    })
}

fn key_of(token: &PageToken) -> Option<RowKey> {
    let (kind, key) = token.as_str().split_once(' ')?;
    match kind {
        "lease" => Some(RowKey::Lease(LeaseKey::new(key))),
        "session" => Some(RowKey::Session(WorkerId::from_row(key))),
        "fleet" => Some(RowKey::Fleet),
        "plan" => Some(RowKey::Assignment(WorkerId::from_row(key))),
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
        Ok(self.page(after, rows))
    }

    async fn write(&self, write: &Write) -> Result<Written, StoreError> {
        Ok(self.apply(write))
    }
}
