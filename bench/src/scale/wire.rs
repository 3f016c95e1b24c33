//! A worker's wire to the outside: calls take their time on it, and on one that is cut they are never answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

#[derive(Clone, Debug, Default)]
pub(crate) struct Wire(Arc<AtomicBool>);

impl Wire {
    /// From now on nothing comes through: what a machine does whose plug is pulled.
    pub(crate) fn cut(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) async fn cross(&self, latency: Duration) {
        tokio::time::sleep(latency).await;
        if self.is_cut() {
            std::future::pending::<()>().await;
        }
    }
}
