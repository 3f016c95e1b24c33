//! Executes the decision about a request: latency, whether the service acts, and whether the answer
//! arrives.

use std::io;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::plan::{Decision, Outcome};

/// The connection ended without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut;

impl From<Cut> for io::Error {
    fn from(_: Cut) -> Self {
        Self::new(io::ErrorKind::ConnectionReset, "connection cut by a fault")
    }
}

/// An answer that replaces the answer of the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Substitute {
    /// An error of the service with this name.
    Error(String),
    /// A page of a proxy, with its status.
    Page(u16, String),
}

/// Executes `decision` for one request. `act` runs the service; `instead` creates a substitute
/// answer. A lost request or answer ends only when the servers are `closed`.
pub(crate) async fn execute<A: Send + 'static>(
    decision: Decision,
    closed: &CancellationToken,
    act: impl FnOnce() -> A + Send + 'static,
    instead: impl FnOnce(Substitute) -> A,
) -> Result<A, Cut> {
    let sent = Instant::now();
    let arrives = sent + decision.latency / 2;
    let answer = match decision.outcome {
        Outcome::RequestLost => return lost(closed).await,
        Outcome::RequestCut => {
            sleep_until(arrives).await;
            return Err(Cut);
        }
        Outcome::ResponseLost => {
            // Keep the answer until the client gives up, as a connection would: a subscription
            // keeps its slot.
            let _answer = arrive(arrives, decision.latency, act).await?;
            return lost(closed).await;
        }
        Outcome::ResponseCut => {
            arrive(arrives, decision.latency, act).await?;
            return Err(Cut);
        }
        Outcome::Rejected(name) => {
            sleep_until(arrives).await;
            instead(Substitute::Error(name))
        }
        Outcome::Intercepted(status, page) => {
            sleep_until(arrives).await;
            instead(Substitute::Page(status, page))
        }
        Outcome::Answered | Outcome::BrokenStream(_) => arrive(arrives, decision.latency, act).await?,
    };
    if !decision.latency.is_zero() {
        sleep_until(sent + decision.latency).await;
    }
    Ok(answer)
}

/// Runs the service when the request arrives. A sent request takes effect even if its client gives
/// up, so it runs in a task.
async fn arrive<A: Send + 'static>(
    at: Instant,
    latency: Duration,
    act: impl FnOnce() -> A + Send + 'static,
) -> Result<A, Cut> {
    if latency.is_zero() {
        return Ok(act());
    }
    let arrival = tokio::spawn(async move {
        sleep_until(at).await;
        act()
    });
    arrival.await.map_err(|_| Cut)
}

async fn lost<A>(closed: &CancellationToken) -> Result<A, Cut> {
    closed.cancelled().await;
    Err(Cut)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    const LATENCY: Duration = Duration::from_millis(100);

    /// Returns the answer that a client saw, the time until then, and whether the service acted.
    async fn run(outcome: Outcome, client_timeout: Duration) -> (Option<Result<String, Cut>>, Duration, bool) {
        let started = Instant::now();
        let acted = Arc::new(AtomicBool::new(false));
        let act = {
            let acted = acted.clone();
            move || {
                acted.store(true, Ordering::SeqCst);
                "done".to_owned()
            }
        };
        let closed = CancellationToken::new();
        let decision = Decision { latency: LATENCY, outcome };
        let seen = tokio::time::timeout(client_timeout, execute(decision, &closed, act, text)).await.ok();
        let after = started.elapsed();
        tokio::time::sleep(LATENCY).await;
        (seen, after, acted.load(Ordering::SeqCst))
    }

    fn text(substitute: Substitute) -> String {
        match substitute {
            Substitute::Error(name) => name,
            Substitute::Page(status, page) => format!("{status} {page}"),
        }
    }

    const CLIENT_TIMEOUT: Duration = Duration::from_secs(5);

    #[tokio::test(start_paused = true)]
    async fn an_answer_takes_the_latency() {
        assert_eq!(run(Outcome::Answered, CLIENT_TIMEOUT).await, (Some(Ok("done".to_owned())), LATENCY, true));
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_has_no_effect() {
        let refused = Outcome::Rejected("Oops".to_owned());
        assert_eq!(run(refused, CLIENT_TIMEOUT).await, (Some(Ok("Oops".to_owned())), LATENCY, false));
    }

    #[tokio::test(start_paused = true)]
    async fn an_intercepted_request_has_no_effect() {
        let page = Outcome::Intercepted(403, "sign in".to_owned());
        assert_eq!(run(page, CLIENT_TIMEOUT).await, (Some(Ok("403 sign in".to_owned())), LATENCY, false));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_request_or_response_is_never_answered() {
        assert_eq!(run(Outcome::RequestLost, CLIENT_TIMEOUT).await, (None, CLIENT_TIMEOUT, false));
        assert_eq!(run(Outcome::ResponseLost, CLIENT_TIMEOUT).await, (None, CLIENT_TIMEOUT, true));
    }

    #[tokio::test(start_paused = true)]
    async fn a_cut_is_seen_after_half_of_the_latency() {
        assert_eq!(run(Outcome::RequestCut, CLIENT_TIMEOUT).await, (Some(Err(Cut)), LATENCY / 2, false));
        assert_eq!(run(Outcome::ResponseCut, CLIENT_TIMEOUT).await, (Some(Err(Cut)), LATENCY / 2, true));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_takes_effect_although_its_client_gave_up() {
        let client_timeout = LATENCY / 4;
        assert_eq!(run(Outcome::Answered, client_timeout).await, (None, client_timeout, true));
    }

    #[tokio::test(start_paused = true)]
    async fn closing_the_servers_ends_lost_requests() {
        let closed = CancellationToken::new();
        let decision = Decision { latency: LATENCY, outcome: Outcome::RequestLost };
        let waiting = execute(decision, &closed, || (), drop);
        closed.cancel();
        assert_eq!(waiting.await, Err(Cut));
    }
}
