//! Calls the user's factory for a shard's processors; a panic there is handled like one of `initialize`.

use super::call::panic_message;
use super::state::{Failures, Verdict};
use super::{Rules, SENSELESS};
use crate::error::Code;
use crate::processor::delivery::{ReportKind, ShardDelivery};
use crate::processor::failure::{Cause, Decision, Failure};
use crate::record::ShardId;
use crate::telemetry::event::processing::{HandlerFailed, NextStep};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;
use tokio::time::sleep;

/// What the log calls the factory.
const CALLBACK: &str = "processor factory";

/// A processor for each lane; `None` where the lease ends, or the error policy ends it, before the factory returns them.
pub(in crate::processor) async fn processors<P>(
    factory: &(impl Fn(&ShardId) -> P + ?Sized),
    delivery: &ShardDelivery,
    rules: &mut Rules,
) -> Option<Vec<P>> {
    let (shard, mut failures) = (delivery.shard(), Failures::default());
    loop {
        let make = || (0..rules.lanes.count()).map(|_| factory(shard)).collect();
        let message = match catch_unwind(AssertUnwindSafe(make)) {
            Ok(processors) => return Some(processors),
            Err(panic) => panic_message(panic.as_ref()),
        };
        let now = rules.clock.now();
        failures = failures.and_one(now);
        let (attempt, age, cause) = (failures.count, failures.age(now), Cause::Panic(message));
        let failure = Failure { shard, cause: &cause, records: &[], attempt, age, record_age: Duration::ZERO };
        let verdict = match rules.policy.decide(&failure) {
            Decision::Retry { within } => Verdict::Retry(within.mul_f64(rules.rng.f64())),
            Decision::Split | Decision::DeadLetter | Decision::Quarantine => {
                Verdict::Retry(SENSELESS.mul_f64(rules.rng.f64()))
            }
            Decision::StopShard => Verdict::StopShard,
            Decision::StopWorker => Verdict::StopWorker(Code::StoppedByPolicy),
        };
        if let Cause::Panic(message) = &cause {
            let retry_after = if let Verdict::Retry(after) = verdict { Some(after) } else { None };
            let what = if retry_after.is_some() { "retrying" } else { "the lease is given up" };
            let next = NextStep { what, retry_after, ends: retry_after.is_none() };
            HandlerFailed { shard, callback: CALLBACK, error: message, cause: "panic", attempt, age, next }.emit();
        }
        let stops_with = match verdict {
            Verdict::Retry(after) => {
                tokio::select! {
                    biased;
                    () = delivery.closed() => return None,
                    () = delivery.drain_asked() => {
                        delivery.report(ReportKind::Drained);
                        return None;
                    }
                    () = sleep(after) => continue,
                }
            }
            Verdict::StopWorker(code) => Some(code),
            Verdict::StopShard
            | Verdict::Apart
            | Verdict::DeadLetter
            | Verdict::Parked
            | Verdict::Misused
            | Verdict::MoveOn => None,
        };
        let reason =
            format!("the factory of processors panicked {attempt} times for shard `{shard}`, at last with: {cause}");
        delivery.report(ReportKind::GaveUp { reason, stops_with });
        return None;
    }
}
