//! Until when a session may deliver records.

use crate::clock::{Clock, Time};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Until when a session may deliver records, by the worker's own clock. One a session, shared by all its deliveries.
#[derive(Debug)]
pub(crate) struct DeliveryGate {
    clock: Arc<dyn Clock>,
    until_nanos: AtomicU64,
}

impl DeliveryGate {
    /// A gate that is shut.
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(DeliveryGate { clock, until_nanos: AtomicU64::new(0) })
    }

    /// The worker's clock.
    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }

    /// Open until then.
    pub(crate) fn open_until(&self, until: Time) {
        self.until_nanos.store(until.nanos(), Ordering::Release);
    }

    /// Shut, until it is opened again.
    pub(crate) fn shut(&self) {
        self.until_nanos.store(0, Ordering::Release);
    }

    /// Whether records may be delivered at this instant.
    #[must_use]
    pub(crate) fn is_open(&self) -> bool {
        mutated!(GateNeverShuts) || self.clock.now().nanos() < self.until_nanos.load(Ordering::Acquire)
    }

    /// How long it stays open if nothing is confirmed any more.
    pub(crate) fn time_left(&self) -> Duration {
        Time::from_nanos(self.until_nanos.load(Ordering::Acquire)).since(self.clock.now())
    }
}
