//! Starts consumers on the user's runtime, and waits until all of them are gone.

use super::consumer::{self, ConsumerConfig, ReportGone, RereadFn};
use super::delivery::ShardDelivery;
use super::failure::ErrorPolicy;
use super::lanes::Lanes;
use super::store::CheckpointStore;
use super::{DeadLetterSink, RecordProcessor, ShardContext};
use crate::clock::Clock;
use crate::config::{Concurrency, HandlingConfig};
use crate::lease::row::HashKeyRange;
use crate::record::{Position, ShardId, StartingPosition, StreamRef};
use crate::retrieval::{Deaggregation, Prefetch, Readers, corrupt_at};
use crate::spawn::Spawn;
use crate::stopwatch::Stopwatch;
use crate::telemetry::{Scope, TasksInSpan};
use futures_util::FutureExt;
use std::fmt::{self, Debug};
use std::sync::{Arc, Mutex, PoisonError};
use tokio_util::task::TaskTracker;
use tracing::{Instrument, Span};

/// Starts the consumer of a claimed lease. The consumer reports through the delivery.
pub(crate) trait StartConsumer: Debug + Send + Sync + 'static {
    /// Starts the consumer and returns at once. The consumer's last report is always `Gone`.
    fn start(&self, delivery: Arc<ShardDelivery>);
}

/// How records are handled: the user's collaborators and settings.
#[derive(Clone, Debug)]
pub(crate) struct HandlerConfig {
    /// Decides what happens after a failure.
    pub(crate) policy: Arc<dyn ErrorPolicy>,
    /// Takes records that the policy gives up.
    pub(crate) sink: Option<Arc<dyn DeadLetterSink>>,
    /// The user's own checkpoint store.
    pub(crate) store: Option<Arc<dyn CheckpointStore>>,
    /// How many handlers work on a shard.
    pub(crate) concurrency: Concurrency,
    /// Whether the stream's records have partition keys, and so an order.
    pub(crate) keyed: bool,
    /// A handler's `Ok(())` acknowledges nothing (the setting `manual_checkpoints`).
    pub(crate) manual: bool,
}

/// The worker's own collaborators that consumers need.
pub(crate) struct ConsumerDeps {
    pub(crate) tasks: Arc<dyn Spawn>,
    pub(crate) readers: Arc<dyn Readers>,
    pub(crate) stream: StreamRef,
    pub(crate) config: HandlingConfig,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) rng: fastrand::Rng,
}

/// Starts consumers whose processors a user's factory makes.
pub(crate) struct ConsumerHost<F> {
    deps: ConsumerDeps,
    handling: HandlerConfig,
    tracker: TaskTracker,
    factory: Arc<F>,
    rng: Mutex<fastrand::Rng>,
}

impl<F, P> ConsumerHost<F>
where
    F: Fn(&ShardId) -> P + Send + Sync + 'static,
    P: RecordProcessor,
{
    /// A host whose consumers get their processors from `factory`.
    pub(crate) fn new(deps: ConsumerDeps, handling: HandlerConfig, factory: F) -> Self {
        let rng = Mutex::new(deps.rng.clone());
        ConsumerHost { deps, handling, tracker: TaskTracker::new(), factory: Arc::new(factory), rng }
    }

    /// Waits until every consumer and reader that was started has ended.
    pub(crate) async fn all_gone(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }

    fn config(&self, shard: &ShardId, range: Option<HashKeyRange>) -> ConsumerConfig {
        let (config, handling) = (&self.deps.config, &self.handling);
        let rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner).fork();
        ConsumerConfig {
            policy: Arc::clone(&handling.policy),
            sink: handling.sink.clone(),
            store: handling.store.clone(),
            sink_timeout: Some(config.process_deadline),
            handler_timeout: config.handler_timeout,
            quarantine_retry: config.quarantine_retry,
            manual: handling.manual,
            lanes: Lanes::of(handling.concurrency, handling.keyed),
            batching: config.batching,
            max_unacknowledged: config.max_unacknowledged,
            clock: Arc::clone(&self.deps.clock),
            rng,
            reread: self.reread(shard, range),
        }
    }

    fn reread(&self, shard: &ShardId, range: Option<HashKeyRange>) -> RereadFn {
        let deaggregation = Deaggregation::new(self.deps.config.aggregates);
        let (readers, shard, clock) = (Arc::clone(&self.deps.readers), shard.clone(), Arc::clone(&self.deps.clock));
        Arc::new(move |position: Position| {
            let (from, watch) = (StartingPosition::At(position.sequence_number.clone()), Stopwatch::new(clock.clone()));
            let mut reader = deaggregation.open(readers.as_ref(), &shard, range, from, Arc::new(watch));
            async move {
                loop {
                    let mut chunk = reader.next().await?;
                    if let Some(index) = chunk.records.iter().position(|record| record.position() == position) {
                        let corrupt = corrupt_at(&chunk.corrupt, index);
                        return Ok(Some((chunk.records.swap_remove(index), corrupt)));
                    }
                    let passed = chunk.records.last().is_some_and(|last| last.position() > position);
                    if passed || chunk.end.is_some() || chunk.millis_behind_latest == Some(0) {
                        return Ok(None);
                    }
                }
            }
            .boxed()
        })
    }
}

impl<F, P> StartConsumer for ConsumerHost<F>
where
    F: Fn(&ShardId) -> P + Send + Sync + 'static,
    P: RecordProcessor,
{
    fn start(&self, delivery: Arc<ShardDelivery>) {
        let (report_gone, shard) = (Arc::new(ReportGone(Arc::clone(&delivery))), delivery.shard().clone());
        let (range, deaggregation) = (delivery.claim.hash_range, Deaggregation::new(self.deps.config.aggregates));
        let mut config = self.config(delivery.shard(), range);
        let context = ShardContext::new(Arc::clone(&delivery), self.deps.stream.clone(), config.lanes.count());
        let (factory, readers) = (Arc::clone(&self.factory), Arc::clone(&self.deps.readers));
        let (tasks, tracker) = (self.deps.tasks.clone(), self.tracker.clone());
        let consumer = async move {
            let tasks = TasksInSpan::new(tasks, Span::current());
            let from = match consumer::starting_position(&delivery, &config).await {
                Some(from) => from,
                None => return,
            };
            let Some(processors) = consumer::processors(factory.as_ref(), &delivery, &mut config).await else { return };
            let (shard, fetching) = (delivery.shard().clone(), Arc::clone(&delivery.stages.fetch));
            let open = move |from| deaggregation.open(readers.as_ref(), &shard, range, from, Arc::clone(&fetching));
            let (restart, outage) = (Arc::clone(&delivery.restart_fetch), Arc::clone(&delivery.stages.outage));
            let chunks = Prefetch::start(open, from, restart, outage, Arc::clone(&report_gone), &tasks, &tracker);
            let mut lanes = consumer::lanes(processors, chunks, &context, &delivery, &config, &report_gone);
            // The last lane runs in this task, the others in tasks of their own. This task's own
            // references are dropped before its lane runs, so that `Gone` is reported as soon as
            // all lanes and the reader have ended.
            let own = lanes.pop();
            for lane in lanes {
                tasks.spawn(tracker.track_future(lane).boxed());
            }
            drop((report_gone, context, delivery));
            if let Some(own) = own {
                own.await;
            }
        };
        // The span is created inside the task, because the worker's telemetry scope begins with the
        // task.
        let consumer = async move {
            let span = Scope::current().span_of_shard(&shard);
            consumer.instrument(span).await;
        };
        self.deps.tasks.spawn(self.tracker.track_future(consumer).boxed());
    }
}

impl<F> Debug for ConsumerHost<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsumerHost").field("stream", &self.deps.stream).finish_non_exhaustive()
    }
}
