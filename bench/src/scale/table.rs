//! Simulates the lease table in memory: each call has the latency of a call, and is counted in
//! DynamoDB's units.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use kcl_core::lease::{
    Consistency, LeaseKey, LeaseStore, MemoryStore, Owner, Page, PageToken, Row, RowKey, StoreError, WorkerId, Write,
    Written,
};

use super::link::Link;
use super::units;

/// The table of all workers.
#[derive(Debug)]
pub(crate) struct SharedTable {
    rows: MemoryStore,
    latency: Duration,
    usage: Mutex<Usage>,
}

/// The units of all calls, and the owners of all leases.
#[derive(Clone, Debug, Default)]
pub(crate) struct Usage {
    pub(crate) read: f64,
    pub(crate) written: f64,
    /// The owner of each lease after the last write.
    pub(crate) owners: BTreeMap<LeaseKey, Option<Owner>>,
}

impl Usage {
    /// Number of leases of each of these workers, and number of leases that none of them owns.
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

impl SharedTable {
    pub(crate) fn new(latency: Duration) -> Arc<Self> {
        Arc::new(SharedTable { rows: MemoryStore::default(), latency, usage: Mutex::default() })
    }

    /// The leader of the fleet.
    pub(crate) fn leader(&self) -> Option<WorkerId> {
        let row = self.rows.get(&RowKey::Fleet)?;
        row.as_fleet()?.leader.as_ref().map(|(worker, _)| worker.clone())
    }

    pub(crate) fn usage(&self) -> MutexGuard<'_, Usage> {
        self.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A worker's access to the table.
#[derive(Debug)]
pub(crate) struct WorkerTable {
    pub(crate) table: Arc<SharedTable>,
    pub(crate) link: Link,
}

#[async_trait]
impl LeaseStore for WorkerTable {
    async fn read(&self, keys: &[RowKey], consistency: Consistency) -> Result<Vec<Option<Row>>, StoreError> {
        self.link.call(self.table.latency).await;
        let rows: Vec<Option<Row>> = keys.iter().map(|key| self.table.rows.get(key)).collect();
        let units: f64 = rows.iter().map(|row| units::of_read(row.as_ref(), consistency)).sum();
        self.table.usage().read += units;
        Ok(rows)
    }

    async fn scan_page(&self, after: Option<&PageToken>, rows: u32) -> Result<Page, StoreError> {
        self.link.call(self.table.latency).await;
        let page = self.table.rows.page(after, rows);
        let leases = page.rows.leases.iter().cloned().map(Row::Lease);
        let sessions = page.rows.sessions.iter().cloned().map(Row::Session);
        let rows = leases.chain(sessions).chain(page.rows.assignments.iter().cloned().map(Row::Assignment));
        let bytes: usize =
            rows.chain(page.rows.fleet.iter().cloned().map(Row::Fleet)).map(|row| units::size(&row)).sum();
        self.table.usage().read += units::of_pages(bytes, Consistency::Strong);
        Ok(page)
    }

    async fn write(&self, write: &Write) -> Result<Written, StoreError> {
        self.link.call(self.table.latency).await;
        let before = self.table.rows.get(&write.key());
        let written = self.table.rows.apply(write);
        let mut usage = self.table.usage();
        usage.written += units::of_write(before.as_ref(), &written);
        if let (RowKey::Lease(key), Written::Applied(after)) = (write.key(), &written) {
            match after.as_ref().and_then(Row::as_lease) {
                Some(lease) => usage.owners.insert(key, lease.owner.clone()),
                None => usage.owners.remove(&key),
            };
        }
        Ok(written)
    }
}
