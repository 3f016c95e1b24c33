//! The lease table, kept in memory: every call takes as long as a call does, and is paid for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use kcl_core::lease::{
    Consistency, LeaseKey, LeaseStore, MemoryStore, Owner, Page, PageToken, Row, RowKey, StoreError, WorkerId, Write,
    Written,
};

use super::units;
use super::wire::Wire;

/// The table that all workers share.
#[derive(Debug)]
pub(crate) struct Shared {
    rows: MemoryStore,
    latency: Duration,
    books: Mutex<Books>,
}

/// What was counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Books {
    pub(crate) read: f64,
    pub(crate) written: f64,
    /// Who owns what, as the writes left it.
    pub(crate) owners: BTreeMap<LeaseKey, Option<Owner>>,
}

impl Books {
    /// How many leases each of these workers owns, and how many leases none of them does.
    pub(crate) fn shares<'a>(&'a self, workers: &'a [WorkerId]) -> (Vec<usize>, usize) {
        let mut shares: BTreeMap<&WorkerId, usize> = workers.iter().map(|worker| (worker, 0)).collect();
        let mut others = 0;
        for owner in self.owners.values() {
            match owner.as_ref().and_then(|owner| shares.get_mut(&owner.worker)) {
                Some(share) => *share += 1,
                None => others += 1,
            }
        }
        (shares.into_values().collect(), others)
    }
}

impl Shared {
    pub(crate) fn new(latency: Duration) -> Arc<Self> {
        Arc::new(Shared { rows: MemoryStore::default(), latency, books: Mutex::default() })
    }

    /// Who plans.
    pub(crate) fn leader(&self) -> Option<WorkerId> {
        let row = self.rows.get(&RowKey::Fleet)?;
        row.as_fleet()?.leader.as_ref().map(|(worker, _)| worker.clone())
    }

    pub(crate) fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One worker's way to the table.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) table: Arc<Shared>,
    pub(crate) wire: Wire,
}

#[async_trait]
impl LeaseStore for Seat {
    async fn read(&self, keys: &[RowKey], consistency: Consistency) -> Result<Vec<Option<Row>>, StoreError> {
        self.wire.cross(self.table.latency).await;
        let rows: Vec<Option<Row>> = keys.iter().map(|key| self.table.rows.get(key)).collect();
        let units: f64 = rows.iter().map(|row| units::of_read(row.as_ref(), consistency)).sum();
        self.table.books().read += units;
        Ok(rows)
    }

    async fn scan_page(&self, after: Option<&PageToken>, rows: u32) -> Result<Page, StoreError> {
        self.wire.cross(self.table.latency).await;
        let page = self.table.rows.page(after, rows);
        let leases = page.rows.leases.iter().cloned().map(Row::Lease);
        let sessions = page.rows.sessions.iter().cloned().map(Row::Session);
        let rows = leases.chain(sessions).chain(page.rows.plans.iter().cloned().map(Row::Assignment));
        let bytes: usize =
            rows.chain(page.rows.fleet.iter().cloned().map(Row::Fleet)).map(|row| units::size(&row)).sum();
        self.table.books().read += units::of_pages(bytes, Consistency::Strong);
        Ok(page)
    }

    async fn write(&self, write: &Write) -> Result<Written, StoreError> {
        self.wire.cross(self.table.latency).await;
        let before = self.table.rows.get(&write.key());
        let written = self.table.rows.apply(write);
        let mut books = self.table.books();
        books.written += units::of_write(before.as_ref(), &written);
        if let (RowKey::Lease(key), Written::Applied(after)) = (write.key(), &written) {
            match after.as_ref().and_then(Row::as_lease) {
                Some(lease) => books.owners.insert(key, lease.owner.clone()),
                None => books.owners.remove(&key),
            };
        }
        Ok(written)
    }
}
