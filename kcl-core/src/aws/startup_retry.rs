//! Repeats a call before the worker starts, for as long as its failure deserves. (Once it runs, the coordination repeats by
//! itself.)

use super::error_table::{Reaction, Step, reaction};
use super::failure::{Cause, Failure};
use crate::telemetry::event::table::{StartResumed, StartWaiting};
use backon::{BackoffBuilder, ExponentialBuilder};
use std::time::Duration;
use tokio::time::Instant;

const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// A worker that waits out an outage goes on within this after its end, and half as much again for jitter.
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

/// A stream or table that is being created or deleted: the operator should hear of it while watching.
const CHANGING: Duration = Duration::from_secs(5);

/// What acquires longer is reported, and again each minute.
const REPORTED_AFTER: Duration = Duration::from_secs(3);
const REPORTED_EVERY: Duration = Duration::from_secs(60);

/// Repeats a call through outages and throttling, for as long as `outage`: a process that ends and is restarted is no better
/// off, and one that a supervisor restarts again and again is restarted ever later. What a person must mend fails at once.
///
/// # Errors
/// The last failure.
pub(super) async fn patiently<T, F>(
    rng: &mut fastrand::Rng,
    outage: Duration,
    call: impl Fn() -> F,
) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    let began = Instant::now();
    let pauses =
        ExponentialBuilder::default().with_min_delay(FIRST_PAUSE).with_max_delay(LONGEST_PAUSE).without_max_times();
    let mut pauses = pauses.build();
    let mut reported = None;
    loop {
        let failure = match call().await {
            Ok(answer) => {
                if reported.is_some() {
                    StartResumed { waited: began.elapsed() }.emit();
                }
                return Ok(answer);
            }
            Err(failure) => failure,
        };
        let jittered = pauses.next().unwrap_or(LONGEST_PAUSE).mul_f64(0.5 + rng.f64());
        let waited = began.elapsed();
        if waited + jittered > patience(failure.cause, outage) {
            return Err(failure);
        }
        let due = reported.map_or(REPORTED_AFTER, |at: Duration| at + REPORTED_EVERY);
        if waited >= due {
            reported = Some(waited);
            let Failure { operation, said, .. } = &failure;
            StartWaiting { operation, said, waited, at_most: outage }.emit();
        }
        tokio::time::sleep(jittered).await;
    }
}

fn patience(cause: Cause, outage: Duration) -> Duration {
    match reaction(Step::Start, cause) {
        Reaction::RefuseStart => Duration::ZERO,
        Reaction::Retry | Reaction::PauseShard | Reaction::PauseWorker if cause == Cause::Busy => CHANGING,
        Reaction::Retry | Reaction::PauseShard | Reaction::PauseWorker => outage,
    }
}
