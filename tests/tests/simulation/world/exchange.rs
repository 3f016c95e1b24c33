//! One call to a service and its answer. The call outlives its sender, and its answer may be lost.

use super::refusal::AwsError;
use super::weather::{Fate, Weather};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::sleep;

/// The result for the caller.
#[derive(Debug)]
pub(crate) enum Reply<T> {
    Answer(T),
    Throttled,
    Unavailable,
    IteratorExpired,
    Refused(AwsError),
}

/// Sends a call that meets `fault`; `effect` is executed by the service when the call arrives.
/// Without an answer this never completes: callers have their own timeouts.
pub(crate) async fn exchange<T: Send + 'static>(
    weather: &Weather,
    fate: Option<Fate>,
    effect: impl Future<Output = T> + Send + 'static,
) -> Reply<T> {
    let (mut there, mut back) = weather.latency();
    match fate {
        Some(Fate::LostRequest | Fate::Crash { effect: false }) => return std::future::pending().await,
        Some(Fate::Throttled) => return after(there + back, Reply::Throttled).await,
        Some(Fate::Unavailable) => return after(there + back, Reply::Unavailable).await,
        Some(Fate::IteratorExpired) => return after(there + back, Reply::IteratorExpired).await,
        Some(Fate::Refused(error)) => return after(there + back, Reply::Refused(error)).await,
        Some(Fate::Late(by)) => there += by,
        Some(Fate::SlowAnswer(by)) => back += by,
        // The caller falsifies the answer.
        Some(Fate::LostResponse | Fate::Crash { effect: true } | Fate::Stale(_) | Fate::Freeze(_) | Fate::Wrong(_))
        | None => {}
    }
    let unanswered = matches!(fate, Some(Fate::LostResponse | Fate::Crash { effect: true }));
    let (answer, answered) = oneshot::channel();
    // Runs in a task without an owner, because a sent call arrives even if its sender is gone.
    tokio::spawn(async move {
        sleep(there).await;
        let outcome = effect.await;
        if !unanswered {
            sleep(back).await;
            // The sender may have timed out.
            let _ = answer.send(outcome);
        }
    });
    match answered.await {
        Ok(outcome) => Reply::Answer(outcome),
        Err(_) => std::future::pending().await,
    }
}

async fn after<T>(time: Duration, reply: Reply<T>) -> Reply<T> {
    sleep(time).await;
    reply
}
