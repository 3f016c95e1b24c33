//! Reads the rows of idle leases once a minute, to notice what an external writer or an operator changed in them.
//!
//! An idle lease is not written, so its owner would not notice a changed row by a refused write.

use super::call::{CallId, Op, Reply, Rows};
use super::effects::Effects;
use super::held_lease::HeldLease;
use super::intervals;
use crate::clock::Time;
use crate::lease::row::{LeaseKey, RowKey};
use crate::lease::{Consistency, Row};
use std::collections::BTreeMap;

/// The state of one session's reads.
#[derive(Debug, Default)]
pub(super) struct RowVerifier {
    read_at: Time,
    /// The leases whose rows are being read, in the order of the call.
    reading: Vec<LeaseKey>,
}

impl RowVerifier {
    /// Reads the rows if that is due.
    pub(super) fn on_tick(&mut self, held: &BTreeMap<LeaseKey, HeldLease>, effects: &mut Effects) {
        let now = effects.now;
        let is_due = now.since(self.read_at) >= intervals::VERIFY_ROWS && self.reading.is_empty();
        if !is_due {
            return;
        }
        self.read_at = now;
        let idle = held.iter().filter(|(_, held)| held.is_idle() && now.since(held.since) >= intervals::VERIFY_ROWS);
        self.reading = idle.map(|(lease, _)| lease.clone()).collect();
        if !self.reading.is_empty() {
            let keys = self.reading.iter().cloned().map(RowKey::Lease).collect();
            effects.call(CallId::VerifyRows, Op::Read(keys, Consistency::Eventual));
        }
    }

    /// Returns each lease with its row. The read may be stale.
    pub(super) fn on_rows(&mut self, answer: Reply<Rows>) -> Vec<(LeaseKey, Option<Row>)> {
        let leases = std::mem::take(&mut self.reading);
        leases.into_iter().zip(answer.unwrap_or_default()).collect()
    }
}
