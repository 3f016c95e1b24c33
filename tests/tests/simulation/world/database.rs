//! A database that stores effects, positions and fencing tokens, and changes them together or not
//! at all.

use super::history::{Fact, Handed, History, Name};
use async_trait::async_trait;
use kcl_core::record::{Position, Record};
use kcl_core::{BoxError, CheckpointStore, ClaimedLease};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// See the module's documentation. Clones are the same database.
#[derive(Clone, Debug)]
pub(crate) struct Database {
    leases: Arc<Mutex<BTreeMap<String, Known>>>,
    history: History,
}

/// The highest fencing token of a lease, and its stored position.
type Known = (u64, Option<Position>);

impl Database {
    pub(crate) fn new(history: History) -> Self {
        Database { leases: Arc::default(), history }
    }

    /// One transaction: applies the effects of records that are new to the database, and stores the
    /// position after them. A broken database applies the effects of all records, and stores no position.
    pub(crate) fn apply(
        &self,
        process: &Name,
        lease: &str,
        token: u64,
        records: &[(Record, Handed)],
        sound: bool,
    ) -> Result<(), BoxError> {
        let mut leases = self.leases.lock().unwrap();
        let (known, position) = leases.entry(lease.to_owned()).or_default();
        if *known != token {
            return Err(format!("fenced: {token} after {known}").into());
        }
        for (record, handed) in records {
            if !sound || position.as_ref().is_none_or(|at| *at < record.position()) {
                self.history.add(Fact::Applied { process: process.clone(), number: handed.number });
                if sound {
                    *position = Some(record.position());
                }
            }
        }
        Ok(())
    }
}

#[async_trait]
impl CheckpointStore for Database {
    async fn begin(&self, lease: &ClaimedLease) -> Result<Option<Position>, BoxError> {
        let mut leases = self.leases.lock().unwrap();
        let (known, position) = leases.entry(lease.lease_key.clone()).or_default();
        if *known > lease.fencing_token {
            return Err(format!("fenced: {} after {known}", lease.fencing_token).into());
        }
        *known = lease.fencing_token;
        Ok(position.clone())
    }
}
