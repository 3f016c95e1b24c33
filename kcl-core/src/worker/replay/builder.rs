//! Building a replay.

use super::all_at_once::AllAtOnce;
use super::counted::Counted;
use super::{Order, Replay};
use crate::aggregate::{Checksum, ForeignRecords};
use crate::clock::Clock;
use crate::config::{BalanceBy, OnFleetSettings, Parser, Settings, Start, setters, with_settings};
use crate::error::{Code, Error};
use crate::lease::MemoryStore;
use crate::processor::{Concurrency, DeadLetterSink, ErrorPolicy, RecordProcessor};
use crate::record::{ShardId, StreamRef};
use crate::retrieval::{CorruptAggregates, Retrieval};
use crate::spawn::Spawn;
use crate::worker::builder::{NoProcessor, OneStream, WorkerBuilder};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// The name that it has as an application: there is no table of it.
const APPLICATION: &str = "replay";

/// Builds a [`Replay`]. It has the setters of a worker's builder; those that concern tables and fleets mean nothing here.
pub struct ReplayBuilder<R = NoProcessor> {
    worker: WorkerBuilder<R>,
    order: Order,
}

impl ReplayBuilder<NoProcessor> {
    pub(super) fn new(stream: StreamRef) -> Self {
        ReplayBuilder { worker: crate::Worker::builder(APPLICATION, stream), order: Order::default() }
    }

    /// Makes the processor of each shard.
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

    /// The first moment of the range, in milliseconds since the Unix epoch: what arrived then or later is read. The oldest
    /// record if not set.
    #[must_use]
    pub fn from(self, millis: i64) -> Self {
        self.start(Start::AtTimestamp(millis))
    }

    /// In which order the shards of the range are read; parents first if not set.
    #[must_use]
    pub fn order(self, order: Order) -> Self {
        ReplayBuilder { order, ..self }
    }

    /// All settings at once, the range included.
    #[must_use]
    pub fn settings(self, settings: Settings) -> Self {
        self.with(|worker| worker.settings(settings))
    }

    /// What is done when a handler fails: see [`WorkerBuilder::error_policy`].
    #[must_use]
    pub fn error_policy(self, policy: impl ErrorPolicy) -> Self {
        self.with(|worker| worker.error_policy(policy))
    }

    /// Where records go that the error policy yields up.
    #[must_use]
    pub fn dead_letters(self, sink: impl DeadLetterSink) -> Self {
        self.with(|worker| worker.dead_letters(sink))
    }

    /// Region, endpoints, credentials and everything else as this says, instead of what the environment says.
    #[cfg(feature = "aws")]
    #[must_use]
    pub fn sdk_config(self, config: &aws_types::SdkConfig) -> Self {
        self.with(|worker| worker.sdk_config(config))
    }

    /// The caller's own clients. The one for DynamoDB is not used.
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
    /// Checks settings, credentials and stream, and whether the stream keeps anything of the range, by the service's own time.
    ///
    /// # Errors
    /// As [`WorkerBuilder::build`]; [`Code::Setting`] where `until` is missing or not after `from`, the range lies before
    /// what the stream keeps, or has not begun, or keys may be parked and are not tried again by themselves.
    pub async fn build(mut self) -> Result<Replay, Error> {
        let settings = self.settings_mut();
        if settings.until.is_none() {
            let message = "a replay needs an end: call `until` on its builder, with milliseconds since 1970";
            return Err(Error::new(Code::Setting, message));
        }
        let (start, retries) = (settings.start, settings.quarantine_retry.is_some());
        if self.worker.failing.policy.may_quarantine() && !retries {
            let message = "the error policy parks keys, and the table of a replay is in memory, where nobody can say what is \
                           to become of them: it would never end. Set `quarantine_retry`, or give them to the dead letters";
            return Err(Error::new(Code::Setting, message));
        }
        let (table, records) = (Arc::new(MemoryStore::default()), Arc::new(AtomicU64::new(0)));
        let counted = Arc::clone(&records);
        let worker = self.worker.on_table(table.clone()).wrapped(move |factory: F| {
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
