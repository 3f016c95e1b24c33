//! Repeats a call before the worker starts, for as long as its failure deserves. (Once it runs, the coordination repeats by
//! itself.)

use super::error_table::{Reaction, Step, reaction};
use super::failure::{Cause, Failure};
use backon::{BackoffBuilder, ExponentialBuilder};
use std::time::Duration;
use tokio::time::Instant;

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What does not answer within seconds at the start is wrongly configured more often than broken: the operator should
/// hear of it while watching.
const UNANSWERED: Duration = Duration::from_secs(5);

/// A fleet that starts at once shares 20 calls of DescribeStreamSummary a second (AWS: Kinesis quotas).
const THROTTLED: Duration = Duration::from_secs(30);

/// The answer, or the last failure.
pub(super) async fn patiently<T, F>(rng: &mut fastrand::Rng, call: impl Fn() -> F) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    let began = Instant::now();
    let pauses =
        ExponentialBuilder::default().with_min_delay(FIRST_PAUSE).with_max_delay(LONGEST_PAUSE).without_max_times();
    let mut pauses = pauses.build();
    loop {
        let failure = match call().await {
            Ok(answer) => return Ok(answer),
            Err(failure) => failure,
        };
        let jittered = pauses.next().unwrap_or(LONGEST_PAUSE).mul_f64(0.5 + rng.f64());
        if began.elapsed() + jittered > patience(failure.cause) {
            return Err(failure);
        }
        tokio::time::sleep(jittered).await;
    }
}

fn patience(cause: Cause) -> Duration {
    match reaction(Step::Start, cause) {
        Reaction::RefuseStart => Duration::ZERO,
        Reaction::Retry | Reaction::PauseShard | Reaction::PauseWorker if cause == Cause::Throttled => THROTTLED,
        Reaction::Retry | Reaction::PauseShard | Reaction::PauseWorker => UNANSWERED,
    }
}
