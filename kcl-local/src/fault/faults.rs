//! The user's handle for fault injection.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::plan::{Decision, FaultPlan};
use super::{Call, Chaos, Fault};
use crate::service::Service;

/// Injects faults into requests. Clones control the same servers; each method takes effect with the
/// next request.
///
/// A request has at most one fault: the oldest fault that [`once`](Self::once) scripted for its
/// operation, else the first fault of a [`rule`](Self::rule), else a fault that
/// [`chaos`](Self::chaos) draws.
///
/// The answer to `SubscribeToShard` is a stream of events for 5 minutes. [`Fault::stream`] injects
/// a fault after a number of events. The other faults concern the request itself:
/// `Fault::Error("ResourceInUseException".into())` refuses it.
///
/// ```
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// # let aws = runtime.block_on(async { kcl_local::LocalAws::in_process() });
/// use kcl_local::{Fault, StreamFault};
/// aws.faults().once("SubscribeToShard", Fault::stream(3, StreamFault::Silence));
/// ```
///
/// For servers in another process, `POST /__kcl/faults` accepts the same in JSON:
/// `{"dynamodb_latency_ms": 5, "next": [{"operation": "PutItem", "fault": "lost_response"}],
/// "chaos": {"seed": 7, "throttle": 0.01}}`.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Mutex<FaultPlan>>);

impl Faults {
    /// Sets the latency of each answer of `service`. The request takes effect after half of it.
    /// Default: zero.
    pub fn latency(&self, service: Service, latency: Duration) {
        self.with(|plan| plan.latency(service, latency));
    }

    /// Injects `fault` into the next request of `operation`. Several faults for one operation are
    /// used in order.
    pub fn once(&self, operation: &str, fault: Fault) {
        self.with(|plan| plan.once(operation, fault));
    }

    /// Adds a rule that decides about each request, until [`clear`](Self::clear). The rule runs
    /// inside the server: it must not block, and must not call these methods.
    pub fn rule(&self, rule: impl FnMut(&Call<'_>) -> Option<Fault> + Send + 'static) {
        self.with(|plan| plan.rule(Box::new(rule)));
    }

    /// Draws faults at random. Replaces an earlier chaos.
    pub fn chaos(&self, chaos: Chaos) {
        self.with(|plan| plan.chaos(chaos));
    }

    /// Removes scripted faults, rules and chaos. Latencies stay.
    pub fn clear(&self) {
        self.with(FaultPlan::clear);
    }

    pub(crate) fn next(&self, call: &Call<'_>) -> Decision {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).next(call)
    }

    fn with(&self, change: impl FnOnce(&mut FaultPlan)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
