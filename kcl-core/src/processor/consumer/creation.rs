//! Calls the user's factory for a shard's processors. A panic there is handled like a failure of
//! `initialize`.

use super::call::panic_message;
use super::state::{FailureAction, Failures};
use super::{ConsumerConfig, INAPPLICABLE_RETRY};
use crate::error::Code;
use crate::processor::delivery::{ReportKind, ShardDelivery};
use crate::processor::event::processing::{HandlerFailed, NextStep};
use crate::processor::failure::{Cause, Decision, Failure};
use crate::record::ShardId;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;
use tokio::time::sleep;

/// The factory's name in log lines.
const CALLBACK: &str = "processor factory";

/// Makes one processor for each lane. `None` if the lease is lost or given up before the factory
/// has returned them.
pub(in crate::processor) async fn processors<P>(
    factory: &(impl Fn(&ShardId) -> P + ?Sized),
    delivery: &ShardDelivery,
    config: &mut ConsumerConfig,
) -> Option<Vec<P>> {
    let (shard, mut failures) = (delivery.shard(), Failures::default());
    loop {
        let make = || (0..config.lanes.count()).map(|_| factory(shard)).collect();
        let message = match catch_unwind(AssertUnwindSafe(make)) {
            Ok(processors) => return Some(processors),
            Err(panic) => panic_message(panic.as_ref()),
        };
        let now = config.clock.now();
        failures = failures.and_one(now);
        let (attempt, age, cause) = (failures.count, failures.age(now), Cause::Panic(message));
        let failure = Failure { shard, cause: &cause, records: &[], attempt, age, record_age: Duration::ZERO };
        let action = match config.policy.decide(&failure) {
            Decision::Retry { within } => FailureAction::Retry(within.mul_f64(config.rng.f64())),
            Decision::Split | Decision::DeadLetter | Decision::Quarantine => {
                FailureAction::Retry(INAPPLICABLE_RETRY.mul_f64(config.rng.f64()))
            }
            Decision::StopShard => FailureAction::StopShard,
            Decision::StopWorker => FailureAction::StopWorker(Code::StoppedByPolicy),
        };
        if let Cause::Panic(message) = &cause {
            let retry_after = if let FailureAction::Retry(after) = action { Some(after) } else { None };
            let what = if retry_after.is_some() { "retrying" } else { "releasing the lease" };
            let next = NextStep { what, retry_after, ends: retry_after.is_none() };
            HandlerFailed { shard, callback: CALLBACK, error: message, cause: "panic", attempt, age, next }.emit();
        }
        let stops_with = match action {
            FailureAction::Retry(after) => {
                tokio::select! {
                    biased;
                    () = delivery.closed() => return None,
                    () = delivery.drain_requested() => {
                        delivery.report(ReportKind::Drained);
                        return None;
                    }
                    () = sleep(after) => continue,
                }
            }
            FailureAction::StopWorker(code) => Some(code),
            FailureAction::StopShard
            | FailureAction::Requeued
            | FailureAction::DeadLetter
            | FailureAction::Quarantined
            | FailureAction::StoreMisused
            | FailureAction::Ignore => None,
        };
        let reason = format!("the processor factory panicked {attempt} times for shard `{shard}`; last: {cause}");
        delivery.report(ReportKind::GaveUp { reason, stops_with });
        return None;
    }
}
