//! Simulates a worker's network link: calls have a latency, and get no answer after the link is
//! cut.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

#[derive(Clone, Debug, Default)]
pub(crate) struct Link(Arc<AtomicBool>);

impl Link {
    /// Stops all further calls, as when a machine loses power.
    pub(crate) fn cut(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) async fn call(&self, latency: Duration) {
        tokio::time::sleep(latency).await;
        if self.is_cut() {
            std::future::pending::<()>().await;
        }
    }
}
