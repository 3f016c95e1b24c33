//! The builder's setters for failures and checkpoints: error policy, dead-letter sink, checkpoint
//! store.

use super::builder::{FailureHandling, WorkerBuilder};
use crate::config::{Concurrency, Settings};
use crate::error::{Code, Error};
use crate::processor::{CheckpointStore, DeadLetterSink, ErrorPolicy, HandlerConfig};
use std::sync::Arc;

impl<R> WorkerBuilder<R> {
    /// Sets the policy for failing handlers; [`OnError::retry`](crate::OnError::retry) if not set.
    #[must_use]
    pub fn error_policy(mut self, policy: impl ErrorPolicy) -> Self {
        self.failure_handling.policy = Arc::new(policy);
        self
    }

    /// Sets the sink for records that the error policy gives up.
    #[must_use]
    pub fn dead_letters(mut self, sink: impl DeadLetterSink) -> Self {
        self.failure_handling.sink = Some(Arc::new(sink));
        self
    }

    /// Sets a store that keeps positions together with the effects of the records; see
    /// [`CheckpointStore`]. The lease row gets the position when the lease is released.
    #[must_use]
    pub fn checkpoint_store(mut self, store: impl CheckpointStore) -> Self {
        self.failure_handling.store = Some(Arc::new(store));
        self
    }
}

impl FailureHandling {
    /// Checks that policy, sink, store and settings fit together, before anything is read or
    /// written.
    pub(super) fn check(&self, settings: &Settings) -> Result<(), Error> {
        let wrong = |message: String| Err(Error::new(Code::Setting, message));
        if let Err(why) = self.policy.check() {
            return wrong(format!("the error policy contradicts itself: {why}"));
        }
        if self.policy.may_dead_letter() && self.sink.is_none() {
            return wrong(
                "the error policy puts records into the dead-letter sink, and there is none: call `dead_letters` on the \
                 worker's builder"
                    .to_owned(),
            );
        }
        if self.store.is_some() && self.policy.may_quarantine() {
            return wrong(
                "a checkpoint store cannot be used with a policy that quarantines keys: a quarantined record is handled after later \
                 ones, and the store's position would have passed it"
                    .to_owned(),
            );
        }
        let serial = matches!(settings.concurrency, Concurrency::Auto | Concurrency::Serial);
        if self.store.is_some() && !serial {
            return wrong(format!(
                "a checkpoint store needs the records of a shard in order, and `concurrency` is {:?}: set it to `serial`",
                settings.concurrency
            ));
        }
        Ok(())
    }

    pub(super) fn handling(self, settings: &Settings, keyed: bool) -> HandlerConfig {
        let FailureHandling { policy, sink, store } = self;
        // Manual checkpoints and stores rely on the order of the shard.
        let ordered = settings.manual_checkpoints || store.is_some();
        let concurrency = match settings.concurrency {
            Concurrency::Auto if ordered => Concurrency::Serial,
            concurrency @ (Concurrency::Auto
            | Concurrency::Serial
            | Concurrency::PerKey(_)
            | Concurrency::Unordered(_)) => concurrency,
        };
        HandlerConfig { policy, sink, store, concurrency, keyed, manual: settings.manual_checkpoints }
    }
}
