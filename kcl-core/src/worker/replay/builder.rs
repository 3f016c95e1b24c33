//! Builds a replay.

use super::all_at_once::AllAtOnce;
use super::counted::Counted;
use super::{Order, Replay};
use crate::clock::Clock;
use crate::config::{
    BalanceBy, Concurrency, CorruptAggregates, OnFleetSettings, Parser, Retrieval, Settings, Start, setters,
    with_settings,
};
use crate::error::{Code, Error};
use crate::lease::MemoryStore;
use crate::processor::{DeadLetterSink, ErrorPolicy, RecordProcessor};
use crate::record::aggregate::{Checksum, ForeignRecords};
use crate::record::{ShardId, StreamRef};
use crate::spawn::Spawn;
use crate::worker::builder::{NoProcessor, OneStream, WorkerBuilder};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, SystemTime};

/// The application's name in logs and as the fan-out consumer. No table has it.
const APPLICATION: &str = "replay";

/// Builds a [`Replay`]. It has the setters of [`WorkerBuilder`]; settings of lease tables and
/// fleets have no effect.
pub struct ReplayBuilder<R = NoProcessor> {
    worker: WorkerBuilder<R>,
    order: Order,
}

impl ReplayBuilder<NoProcessor> {
    pub(super) fn new(stream: StreamRef) -> Self {
        ReplayBuilder { worker: crate::Worker::builder(APPLICATION, stream), order: Order::default() }
    }

    /// Sets the factory of processors; see [`WorkerBuilder::processor`].
    #[must_use]
    pub fn processor<G, P>(self, factory: G) -> ReplayBuilder<OneStream<G>>
    where
        G: Fn(&ShardId) -> P + Send + Sync + 'static,
        P: RecordProcessor,
    {
        ReplayBuilder { worker: self.worker.processor(factory), order: self.order }
    }
}

impl<R> ReplayBuilder<R> {
    with_settings!(setters!);

    fn settings_mut(&mut self) -> &mut Settings {
        self.worker.settings_mut()
    }

    fn with(self, change: impl FnOnce(WorkerBuilder<R>) -> WorkerBuilder<R>) -> Self {
        ReplayBuilder { worker: change(self.worker), ..self }
    }

    /// Reads the records that arrived at this time or later; from the oldest record on if not set.
    #[must_use]
    pub fn starting_at(self, time: impl Into<SystemTime>) -> Self {
        self.start(Start::at(time))
    }

    /// Sets the order in which the shards of the range are read; parents first if not set.
    #[must_use]
    pub fn order(self, order: Order) -> Self {
        ReplayBuilder { order, ..self }
    }

    /// Sets all settings at once, the range included.
    #[must_use]
    pub fn settings(self, settings: Settings) -> Self {
        self.with(|worker| worker.settings(settings))
    }

    /// Sets the policy for failing handlers; see [`WorkerBuilder::error_policy`].
    #[must_use]
    pub fn error_policy(self, policy: impl ErrorPolicy) -> Self {
        self.with(|worker| worker.error_policy(policy))
    }

    /// Sets the sink for records that the error policy gives up.
    #[must_use]
    pub fn dead_letters(self, sink: impl DeadLetterSink) -> Self {
        self.with(|worker| worker.dead_letters(sink))
    }

    /// Takes Region, endpoints, credentials and everything else from this configuration instead of
    /// the environment.
    #[cfg(feature = "aws")]
    #[must_use]
    pub fn sdk_config(self, config: &aws_types::SdkConfig) -> Self {
        self.with(|worker| worker.sdk_config(config))
    }

    /// Uses the caller's own clients. The one for DynamoDB is not used.
    #[cfg(feature = "aws")]
    #[must_use]
    pub fn clients(self, clients: crate::aws::Clients) -> Self {
        self.with(|worker| worker.clients(clients))
    }

    /// See [`WorkerBuilder::with_clock`].
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        self.with(|worker| worker.with_clock(clock))
    }

    /// See [`WorkerBuilder::with_seed`].
    #[must_use]
    pub fn with_seed(self, seed: u64) -> Self {
        self.with(|worker| worker.with_seed(seed))
    }

    /// See [`WorkerBuilder::on_current_runtime`].
    #[must_use]
    pub fn on_current_runtime(self) -> Self {
        self.with(WorkerBuilder::on_current_runtime)
    }

    /// See [`WorkerBuilder::with_tasks`].
    #[must_use]
    pub fn with_tasks(self, tasks: Arc<dyn Spawn>) -> Self {
        self.with(|worker| worker.with_tasks(tasks))
    }
}

impl<F, P> ReplayBuilder<OneStream<F>>
where
    F: Fn(&ShardId) -> P + Send + Sync + 'static,
    P: RecordProcessor,
{
    /// Checks settings, credentials and stream, and whether the stream still keeps records of the
    /// range.
    ///
    /// # Errors
    /// As [`WorkerBuilder::build`]. [`Code::Setting`] if `until` is missing or not after the start,
    /// if the stream no longer keeps the range or the range has not begun, or if the policy
    /// quarantines keys and `quarantine_retry` is not set.
    pub async fn build(mut self) -> Result<Replay, Error> {
        let settings = self.settings_mut();
        if settings.until.is_none() {
            let message = "a replay needs an end: call `until` on its builder";
            return Err(Error::new(Code::Setting, message));
        }
        let (start, retries) = (settings.start, settings.quarantine_retry.is_some());
        if self.worker.failure_handling.policy.may_quarantine() && !retries {
            let message = "the error policy quarantines keys, and an operator cannot resume them in the lease table of a \
                           replay, which is in memory: the replay would never end. Set `quarantine_retry`, or let the policy \
                           put the records into the dead-letter sink";
            return Err(Error::new(Code::Setting, message));
        }
        let (table, records) = (Arc::new(MemoryStore::default()), Arc::new(AtomicU64::new(0)));
        let counted = Arc::clone(&records);
        let worker = self.worker.on_store(table.clone()).wrapped(move |factory: F| {
            move |shard: &ShardId| Counted { inner: factory(shard), records: Arc::clone(&counted) }
        });
        let mut worker = worker.build().await?;
        if self.order == Order::AllAtOnce {
            worker.coordinate_through(|stream| Arc::new(AllAtOnce { stream, start }));
        }
        Ok(Replay { worker, table, records })
    }
}

impl<R> fmt::Debug for ReplayBuilder<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplayBuilder").field("worker", &self.worker).field("order", &self.order).finish()
    }
}
