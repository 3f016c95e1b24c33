//! Waits for the events of one subscription.

use std::sync::Arc;

use tokio::sync::Notify;
use tokio::time::sleep_until;

use crate::kinesis::model::{ApiError, SubscribeToShardEvent};
use crate::kinesis::{Step, SubscriptionId};
use crate::services::Services;

/// An open subscription. Dropping it (the client has closed the stream) ends the subscription in
/// the engine.
#[derive(Debug)]
pub(crate) struct Feed {
    services: Arc<Services>,
    id: SubscriptionId,
    wake: Arc<Notify>,
}

impl Feed {
    pub(crate) fn new(services: Arc<Services>, id: SubscriptionId, wake: Arc<Notify>) -> Self {
        Self { services, id, wake }
    }

    /// Returns the next event or error, or `None` at the end of the subscription or when the
    /// servers shut down. Cancel-safe.
    pub(crate) async fn next(&self) -> Option<Result<SubscribeToShardEvent, ApiError>> {
        loop {
            // Register for wake-ups before reading the engine, so that no change in between is
            // missed.
            let mut woken = std::pin::pin!(self.wake.notified());
            woken.as_mut().enable();
            let due = match self.services.next_event(self.id) {
                Step::Event(event) => return Some(Ok(event)),
                Step::Failed(error) => return Some(Err(error)),
                Step::Ended => return None,
                Step::Wait(due) => due,
            };
            tokio::select! {
                () = woken => {}
                () = sleep_until(self.services.instant(due)) => {}
                () = self.services.closed.cancelled() => return None,
            }
        }
    }

    /// Waits for the shutdown of the servers: a fault stopped the stream.
    pub(crate) async fn until_shutdown(&self) {
        self.services.closed.cancelled().await;
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.services.unsubscribe(self.id);
    }
}
