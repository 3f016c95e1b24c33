//! Tracks the consumers of this process: those that run, those to be started, and until when they may deliver records.
//!
//! Consumers outlive the session under which they were started: a handler may still run when its lease is lost. No lease
//! is claimed again before its former consumer is gone, so that a process never has two consumers of one shard.

use crate::clock::{Clock, Time};
use crate::lease::row::LeaseKey;
use crate::processor::{ClaimSnapshot, DeliveryGate, Reports, ShardDelivery};
use std::collections::BTreeMap;
use std::sync::Arc;

/// All consumers that are not gone.
#[derive(Debug)]
pub(super) struct Consumers {
    gate: Arc<DeliveryGate>,
    reports: Reports,
    running: BTreeMap<LeaseKey, Arc<ShardDelivery>>,
    to_start: Vec<Arc<ShardDelivery>>,
}

impl Consumers {
    pub(super) fn new(clock: Arc<dyn Clock>, reports: Reports) -> Self {
        let (running, to_start) = (BTreeMap::new(), Vec::new());
        Consumers { gate: DeliveryGate::new(clock), reports, running, to_start }
    }

    /// Records may be delivered until then.
    pub(super) fn open_until(&self, until: Time) {
        self.gate.open_until(until);
    }

    #[cfg(test)]
    pub(super) fn may_deliver(&self) -> bool {
        self.gate.is_open()
    }

    /// No record is delivered from now on.
    pub(super) fn shut(&self) {
        self.gate.shut();
    }

    /// The delivery of a lease that was claimed.
    pub(super) fn delivery_of(&self, claim: ClaimSnapshot) -> Arc<ShardDelivery> {
        ShardDelivery::new(claim, self.gate.clone(), self.reports.clone())
    }

    /// Starts the consumer of a lease.
    pub(super) fn start(&mut self, lease: LeaseKey, delivery: Arc<ShardDelivery>) {
        self.running.insert(lease, delivery.clone());
        self.to_start.push(delivery);
    }

    /// A consumer is gone, unless it is an earlier one of the same lease.
    pub(super) fn on_gone(&mut self, lease: &LeaseKey, fencing_token: u64) {
        if self.running.get(lease).is_some_and(|delivery| delivery.fencing_token() == fencing_token) {
            self.running.remove(lease);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    pub(super) fn contains(&self, lease: &LeaseKey) -> bool {
        self.running.contains_key(lease)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&LeaseKey, &Arc<ShardDelivery>)> {
        self.running.iter()
    }

    pub(super) fn take_to_start(&mut self) -> Vec<Arc<ShardDelivery>> {
        std::mem::take(&mut self.to_start)
    }
}
