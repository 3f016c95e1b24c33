//! The handle by which users make things go wrong.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::plan::{Assignment, Fate};
use super::{Call, Chaos, Fault};
use crate::service::Service;

/// Makes requests slow, fail or vanish. Clones steer the same servers; every method acquires effect with the next request.
///
/// A request has at most one fault: the oldest one scripted for its operation with [`once`](Self::once), else the first that a
/// [`rule`](Self::rule) yields, else what the [`seeded`](Self::seeded) chaos draws.
///
/// The answer to `SubscribeToShard` goes on for minutes, and may go wrong on its way: [`Fault::stream`] says after how many events and how.
/// What is scripted for the request itself still applies: `Fault::Error("ResourceInUseException".into())` refuses it.
///
/// ```
/// # let aws = tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async { kcl_local::LocalAws::in_process() });
/// use kcl_local::{Fault, StreamFault};
/// aws.faults().once("SubscribeToShard", Fault::stream(3, StreamFault::Silence));
/// ```
///
/// To servers in another process, `POST /__kcl/faults` says the same in JSON:
/// `{"dynamodb_latency_ms": 5, "next": [{"operation": "PutItem", "fault": "lost_response"}], "chaos": {"seed": 7, "throttle": 0.01}}`.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Mutex<Assignment>>);

impl Faults {
    /// Every answer of `service` acquires that long; half of it passes before the request has its effect. Default: zero.
    pub fn latency(&self, service: Service, latency: Duration) {
        self.with(|plan| plan.latency(service, latency));
    }

    /// The next request of `operation` meets `fault`. Faults for one operation queue up.
    pub fn once(&self, operation: &str, fault: Fault) {
        self.with(|plan| plan.once(operation, fault));
    }

    /// Every request is shown to `rule`, which says what goes wrong with it; until [`clear`](Self::clear).
    /// It runs inside the server and must not call these methods itself.
    pub fn rule(&self, rule: impl FnMut(&Call<'_>) -> Option<Fault> + Send + 'static) {
        self.with(|plan| plan.rule(Box::new(rule)));
    }

    /// Draws faults by probability. Replaces an earlier chaos.
    pub fn seeded(&self, chaos: Chaos) {
        self.with(|plan| plan.chaos(chaos));
    }

    /// Forgets scripted faults, rules and chaos. Latencies stay.
    pub fn clear(&self) {
        self.with(Assignment::clear);
    }

    pub(crate) fn next(&self, call: &Call<'_>) -> Fate {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).next(call)
    }

    fn with(&self, change: impl FnOnce(&mut Assignment)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
