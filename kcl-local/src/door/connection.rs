//! One connection to the server, as its requests see it: they can end it.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A handle that every request carries in its extensions.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    going_away: CancellationToken,
    cut: CancellationToken,
    activity: watch::Sender<Activity>,
}

#[derive(Clone, Copy, Debug)]
struct Activity {
    running: usize,
    /// When a request last began or ended.
    since: Instant,
}

impl Connection {
    pub(super) fn new() -> Self {
        let activity = watch::Sender::new(Activity { running: 0, since: Instant::now() });
        Self { going_away: CancellationToken::new(), cut: CancellationToken::new(), activity }
    }

    /// It acquires no new requests; those that run go on. Over HTTP/2: `GOAWAY`.
    pub(crate) fn go_away(&self) {
        self.going_away.cancel();
    }

    /// It ends, with all requests on it.
    pub(crate) fn cut(&self) {
        self.cut.cancel();
    }

    pub(super) async fn told_to_go_away(&self) {
        self.going_away.cancelled().await;
    }

    pub(super) async fn told_to_end(&self) {
        self.cut.cancelled().await;
    }

    /// Counts a request among what runs here, until the end of its answer.
    pub(super) fn begin(&self) -> Running {
        self.activity.send_modify(|now| *now = Activity { running: now.running + 1, since: Instant::now() });
        Running(self.activity.clone())
    }

    /// Since when nothing has run here; none while something runs.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let activity = *self.activity.borrow();
        (activity.running == 0).then_some(activity.since)
    }

    /// Ready once nothing has run here for `patience`, or nothing within `first` of the start.
    pub(super) async fn idle_for(&self, first: Duration, patience: Duration) {
        let mut activity = self.activity.subscribe();
        let mut wait = first.min(patience);
        // Waiting fails only when the sender is gone, and that is `self`.
        loop {
            _ = activity.wait_for(|now| now.running == 0).await;
            if tokio::time::timeout(wait, activity.wait_for(|now| now.running > 0)).await.is_err() {
                return;
            }
            wait = patience;
        }
    }
}

/// A request that runs.
#[derive(Debug)]
pub(super) struct Running(watch::Sender<Activity>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.send_modify(|now| *now = Activity { running: now.running - 1, since: Instant::now() });
    }
}

/// A body during which its request runs.
pub(super) struct Counted<B> {
    pub(super) body: B,
    pub(super) _running: Option<Running>,
}

impl<B: Body<Data = Bytes> + Unpin> Body for Counted<B> {
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
    async fn a_connection_is_idle_from_the_end_of_its_last_request_on() {
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
    async fn a_connection_without_a_request_is_idle_sooner() {
        let (connection, started) = (Connection::new(), Instant::now());
        connection.idle_for(Duration::from_secs(3), Duration::from_secs(10)).await;
        assert_eq!(started.elapsed(), Duration::from_secs(3));
    }
}
