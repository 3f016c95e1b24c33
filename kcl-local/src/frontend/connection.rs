//! The state of one connection: its running requests, and signals that end it.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A handle of the connection. Each request has it in its extensions, so that a fault can end the
/// connection.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    going_away: CancellationToken,
    cut: CancellationToken,
    activity: watch::Sender<Activity>,
}

#[derive(Clone, Copy, Debug)]
struct Activity {
    running: usize,
    /// Time at which a request last began or ended.
    since: Instant,
}

impl Connection {
    pub(super) fn new() -> Self {
        let activity = watch::Sender::new(Activity { running: 0, since: Instant::now() });
        Self { going_away: CancellationToken::new(), cut: CancellationToken::new(), activity }
    }

    /// Accepts no new requests; running requests continue. Over HTTP/2: `GOAWAY`.
    pub(crate) fn go_away(&self) {
        self.going_away.cancel();
    }

    /// Ends the connection with all of its requests.
    pub(crate) fn cut(&self) {
        self.cut.cancel();
    }

    pub(super) async fn go_away_requested(&self) {
        self.going_away.cancelled().await;
    }

    pub(super) async fn cut_requested(&self) {
        self.cut.cancelled().await;
    }

    /// Counts a request as running until the end of its answer.
    pub(super) fn begin(&self) -> RunningRequest {
        self.activity.send_modify(|now| *now = Activity { running: now.running + 1, since: Instant::now() });
        RunningRequest(self.activity.clone())
    }

    /// The time since which no request has run, or `None` while one runs.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let activity = *self.activity.borrow();
        (activity.running == 0).then_some(activity.since)
    }

    /// Resolves when no request has run for `timeout`, or when none has begun within `first` after
    /// the start.
    pub(super) async fn idle_for(&self, first: Duration, timeout: Duration) {
        let mut activity = self.activity.subscribe();
        let mut wait = first.min(timeout);
        // Waiting fails only without a sender, and `self` is one.
        loop {
            _ = activity.wait_for(|now| now.running == 0).await;
            if tokio::time::timeout(wait, activity.wait_for(|now| now.running > 0)).await.is_err() {
                return;
            }
            wait = timeout;
        }
    }
}

/// A running request.
#[derive(Debug)]
pub(super) struct RunningRequest(watch::Sender<Activity>);

impl Drop for RunningRequest {
    fn drop(&mut self) {
        self.0.send_modify(|now| *now = Activity { running: now.running - 1, since: Instant::now() });
    }
}

/// The body of a response. Its request is running until the body is dropped.
pub(super) struct CountedBody<B> {
    pub(super) body: B,
    pub(super) _running: Option<RunningRequest>,
}

impl<B: Body<Data = Bytes> + Unpin> Body for CountedBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_from_the_end_of_its_last_request() {
        let (connection, started) = (Connection::new(), Instant::now());
        let idle = async {
            connection.idle_for(Duration::from_secs(9), Duration::from_secs(10)).await;
            started.elapsed()
        };
        let work = async {
            tokio::time::sleep(Duration::from_secs(8)).await;
            let first = connection.begin();
            tokio::time::sleep(Duration::from_secs(60)).await;
            let second = connection.begin();
            drop(first);
            tokio::time::sleep(Duration::from_secs(60)).await;
            drop(second);
        };
        let (idle, ()) = futures_util::future::join(idle, work).await;
        assert_eq!(idle, Duration::from_secs(8 + 60 + 60 + 10));
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_a_request_has_a_shorter_timeout() {
        let (connection, started) = (Connection::new(), Instant::now());
        connection.idle_for(Duration::from_secs(3), Duration::from_secs(10)).await;
        assert_eq!(started.elapsed(), Duration::from_secs(3));
    }
}
