//! Retries calls before the worker starts, depending on their failure. (A running worker's
//! coordination retries itself.)

use super::error_table::{Phase, Reaction, reaction};
use super::failure::{Cause, Failure};
use crate::aws::event::{StartResumed, StartWaiting};
use backon::{BackoffBuilder, ExponentialBuilder};
use std::time::Duration;
use tokio::time::Instant;

const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// A start resumes within this time, plus half of it for jitter, after an outage.
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

/// How long to wait for a stream or table that is being created or deleted: the operator should get
/// the error while watching.
const CHANGING: Duration = Duration::from_secs(5);

/// When a waiting start is first reported, and how often again.
const REPORTED_AFTER: Duration = Duration::from_secs(3);
const REPORTED_EVERY: Duration = Duration::from_secs(60);

/// Retries a call through outages and throttling for `outage`. Ending the process instead would
/// gain nothing, and supervisors restart a failing process ever later. An error that an operator
/// must fix fails at once.
///
/// # Errors
/// The last failure.
pub(super) async fn retry_through_outage<T, F>(
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
        let sent = Instant::now();
        let failure = match call().await {
            Ok(response) => {
                if reported.is_some() {
                    StartResumed { waited: began.elapsed() }.emit();
                }
                return Ok(response);
            }
            Err(failure) => failure,
        };
        let jittered = pauses.next().unwrap_or(LONGEST_PAUSE).mul_f64(0.5 + rng.f64());
        let waited = began.elapsed();
        // The next attempt may take as long as this one, and must fit into the limit, too.
        if waited + jittered + sent.elapsed() > time_limit(failure.cause, outage) {
            return Err(failure);
        }
        let due = reported.map_or(REPORTED_AFTER, |at: Duration| at + REPORTED_EVERY);
        if waited >= due {
            reported = Some(waited);
            let Failure { operation, message, .. } = &failure;
            StartWaiting { operation, said: message, waited, at_most: outage }.emit();
        }
        tokio::time::sleep(jittered).await;
    }
}

fn time_limit(cause: Cause, outage: Duration) -> Duration {
    match reaction(Phase::Start, cause) {
        Reaction::RefuseStart => Duration::ZERO,
        Reaction::Retry | Reaction::PauseShard | Reaction::PauseWorker if cause == Cause::Busy => CHANGING,
        Reaction::Retry | Reaction::PauseShard | Reaction::PauseWorker => outage,
    }
}
