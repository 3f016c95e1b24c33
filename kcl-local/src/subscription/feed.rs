//! The events of one subscription, as they become due.

use std::sync::Arc;

use tokio::sync::Notify;
use tokio::time::sleep_until;

use crate::kinesis::model::{ApiError, SubscribeToShardEvent};
use crate::kinesis::{Step, SubscriptionId};
use crate::services::Services;

/// An open subscription. When it is dropped, whoever it was for has gone, and the engine is told.
#[derive(Debug)]
pub(crate) struct Feed {
    services: Arc<Services>,
    id: SubscriptionId,
    bell: Arc<Notify>,
}

impl Feed {
    pub(crate) fn new(services: Arc<Services>, id: SubscriptionId, bell: Arc<Notify>) -> Self {
        Self { services, id, bell }
    }

    /// The next event or error; `None` at the end, which comes early when the servers shut down. Nothing is lost if this is dropped.
    pub(crate) async fn next(&self) -> Option<Result<SubscribeToShardEvent, ApiError>> {
        loop {
            // Before the engine is asked, so that nothing that happens in between is missed.
            let mut rung = std::pin::pin!(self.bell.notified());
            rung.as_mut().enable();
            let due = match self.services.next_event(self.id) {
                Step::Event(event) => return Some(Ok(event)),
                Step::Failed(error) => return Some(Err(error)),
                Step::Ended => return None,
                Step::Wait(due) => due,
            };
            tokio::select! {
                () = rung => {}
                () = sleep_until(self.services.instant(due)) => {}
                () = self.services.closed.cancelled() => return None,
            }
        }
    }

    /// Waits until nobody can wait any more: a fault keeps all from coming.
    pub(crate) async fn silence(&self) {
        self.services.closed.cancelled().await;
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.services.unsubscribe(self.id);
    }
}
