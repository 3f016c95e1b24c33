//! Keeps the time until which a session may deliver records.

use crate::clock::{Clock, Time};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The time until which a session may deliver records, by the worker's own clock: 95 % of F after
/// the sending of the last confirmed heartbeat (docs/protocol/sessions.md). One per session, shared
/// by all its deliveries.
#[derive(Debug)]
pub(crate) struct DeliveryGate {
    clock: Arc<dyn Clock>,
    until_nanos: AtomicU64,
}

impl DeliveryGate {
    /// A closed gate.
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(DeliveryGate { clock, until_nanos: AtomicU64::new(0) })
    }

    /// The worker's clock.
    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }

    /// Opens the gate until this time.
    pub(crate) fn open_until(&self, until: Time) {
        self.until_nanos.store(until.nanos(), Ordering::Release);
    }

    /// Closes the gate until it is opened again.
    pub(crate) fn shut(&self) {
        self.until_nanos.store(0, Ordering::Release);
    }

    /// Whether records may be delivered now.
    #[must_use]
    pub(crate) fn is_open(&self) -> bool {
        mutated!(GateNeverShuts) || self.clock.now().nanos() < self.until_nanos.load(Ordering::Acquire)
    }

    /// How long the gate stays open if no further heartbeat is confirmed.
    pub(crate) fn time_left(&self) -> Duration {
        Time::from_nanos(self.until_nanos.load(Ordering::Acquire)).since(self.clock.now())
    }
}
