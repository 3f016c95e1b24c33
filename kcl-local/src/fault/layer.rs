//! Makes a request meet its fate: time passes, the service acts or not, the answer arrives or not.

use std::io;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::plan::{Ending, Fate};

/// The connection ended without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut;

impl From<Cut> for io::Error {
    fn from(_: Cut) -> Self {
        Self::new(io::ErrorKind::ConnectionReset, "connection cut by a fault")
    }
}

/// An answer that acquires the place of the service's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Instead {
    /// The service's error of this name.
    Error(String),
    /// A page of something else, with its status.
    Page(u16, String),
}

/// Takes one request through its `fate`. `act` is the service's work, `instead` what is answered in place of it. What gets lost
/// stays unanswered until the servers are `closed`.
pub(crate) async fn pass<A: Send + 'static>(
    fate: Fate,
    closed: &CancellationToken,
    act: impl FnOnce() -> A + Send + 'static,
    instead: impl FnOnce(Instead) -> A,
) -> Result<A, Cut> {
    let sent = Instant::now();
    let arrives = sent + fate.latency / 2;
    let answer = match fate.ending {
        Ending::RequestLost => return lost(closed).await,
        Ending::RequestCut => {
            sleep_until(arrives).await;
            return Err(Cut);
        }
        Ending::ResponseLost => {
            // Kept until its sender yields up, as the connection would be.
            let _answer = arrive(arrives, fate.latency, act).await?;
            return lost(closed).await;
        }
        Ending::ResponseCut => {
            arrive(arrives, fate.latency, act).await?;
            return Err(Cut);
        }
        Ending::Refused(name) => {
            sleep_until(arrives).await;
            instead(Instead::Error(name))
        }
        Ending::Intercepted(status, page) => {
            sleep_until(arrives).await;
            instead(Instead::Page(status, page))
        }
        Ending::Answered | Ending::Broken(_) => arrive(arrives, fate.latency, act).await?,
    };
    if !fate.latency.is_zero() {
        sleep_until(sent + fate.latency).await;
    }
    Ok(answer)
}

/// A request on its way has its effect even if its sender yields up meanwhile, so it travels in a task of its own.
async fn arrive<A: Send + 'static>(
    at: Instant,
    latency: Duration,
    act: impl FnOnce() -> A + Send + 'static,
) -> Result<A, Cut> {
    if latency.is_zero() {
        return Ok(act());
    }
    let travel = tokio::spawn(async move {
        sleep_until(at).await;
        act()
    });
    travel.await.map_err(|_| Cut)
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

    /// What a client saw, when, and whether the service acted.
    async fn meet(ending: Ending, patience: Duration) -> (Option<Result<String, Cut>>, Duration, bool) {
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
        let fate = Fate { latency: LATENCY, ending };
        let seen = tokio::time::timeout(patience, pass(fate, &closed, act, said)).await.ok();
        let after = started.elapsed();
        tokio::time::sleep(LATENCY).await;
        (seen, after, acted.load(Ordering::SeqCst))
    }

    fn said(instead: Instead) -> String {
        match instead {
            Instead::Error(name) => name,
            Instead::Page(status, page) => format!("{status} {page}"),
        }
    }

    const PATIENCE: Duration = Duration::from_secs(5);

    #[tokio::test(start_paused = true)]
    async fn an_answer_takes_the_latency() {
        assert_eq!(meet(Ending::Answered, PATIENCE).await, (Some(Ok("done".to_owned())), LATENCY, true));
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_has_no_effect() {
        let refused = Ending::Refused("Oops".to_owned());
        assert_eq!(meet(refused, PATIENCE).await, (Some(Ok("Oops".to_owned())), LATENCY, false));
    }

    #[tokio::test(start_paused = true)]
    async fn a_page_of_something_else_has_no_effect() {
        let page = Ending::Intercepted(403, "sign in".to_owned());
        assert_eq!(meet(page, PATIENCE).await, (Some(Ok("403 sign in".to_owned())), LATENCY, false));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_lost_is_never_answered() {
        assert_eq!(meet(Ending::RequestLost, PATIENCE).await, (None, PATIENCE, false));
        assert_eq!(meet(Ending::ResponseLost, PATIENCE).await, (None, PATIENCE, true));
    }

    #[tokio::test(start_paused = true)]
    async fn a_cut_is_seen_at_once() {
        assert_eq!(meet(Ending::RequestCut, PATIENCE).await, (Some(Err(Cut)), LATENCY / 2, false));
        assert_eq!(meet(Ending::ResponseCut, PATIENCE).await, (Some(Err(Cut)), LATENCY / 2, true));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_outlives_the_sender_that_gave_up() {
        let patience = LATENCY / 4;
        assert_eq!(meet(Ending::Answered, patience).await, (None, patience, true));
    }

    #[tokio::test(start_paused = true)]
    async fn closing_the_servers_ends_what_waits() {
        let closed = CancellationToken::new();
        let fate = Fate { latency: LATENCY, ending: Ending::RequestLost };
        let waiting = pass(fate, &closed, || (), drop);
        closed.cancel();
        assert_eq!(waiting.await, Err(Cut));
    }
}
