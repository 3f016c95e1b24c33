//! Starts consumers on the user's runtime, and knows when all of them are gone.

use super::consumer::{self, Batching, LastWord, ReadAgain, Rules};
use super::delivery::ShardDelivery;
use super::failure::ErrorPolicy;
use super::store::CheckpointStore;
use super::{Concurrency, DeadLetterSink, RecordProcessor, ShardContext};
use crate::clock::Clock;
use crate::config::Settings;
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

/// Starts a consumer for a lease that was claimed. All that follows is said through the delivery.
pub(crate) trait StartConsumer: Debug + Send + Sync + 'static {
    /// Returns at once. The last report of the delivery is always `Gone`.
    fn start(&self, delivery: Arc<ShardDelivery>);
}

/// How records are handled.
#[derive(Clone, Debug)]
pub(crate) struct Handling {
    /// What happens when a callback fails.
    pub(crate) policy: Arc<dyn ErrorPolicy>,
    /// Where records go that it yields up.
    pub(crate) sink: Option<Arc<dyn DeadLetterSink>>,
    /// Where positions are kept beside the lease's row.
    pub(crate) store: Option<Arc<dyn CheckpointStore>>,
    /// How many handlers work on a shard.
    pub(crate) concurrency: Concurrency,
    /// Whether records have keys whose order means something.
    pub(crate) keyed: bool,
    /// A handler's success acknowledges nothing.
    pub(crate) manual: bool,
}

/// What consumers are started with.
pub(crate) struct ConsumerDeps {
    pub(crate) tasks: Arc<dyn Spawn>,
    pub(crate) readers: Arc<dyn Readers>,
    pub(crate) stream: StreamRef,
    pub(crate) settings: Settings,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) rng: fastrand::Rng,
}

/// See the module's documentation.
pub(crate) struct ConsumerHost<F> {
    means: ConsumerDeps,
    handling: Handling,
    tracker: TaskTracker,
    factory: Arc<F>,
    rng: Mutex<fastrand::Rng>,
}

impl<F, P> ConsumerHost<F>
where
    F: Fn(&ShardId) -> P + Send + Sync + 'static,
    P: RecordProcessor,
{
    /// A host whose consumers are tasks, each with processors of its own from `factory`.
    pub(crate) fn new(means: ConsumerDeps, handling: Handling, factory: F) -> Self {
        let rng = Mutex::new(means.rng.clone());
        ConsumerHost { means, handling, tracker: TaskTracker::new(), factory: Arc::new(factory), rng }
    }

    /// Waits until every consumer and every reader that was started is gone.
    pub(crate) async fn all_gone(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }

    fn rules(&self, shard: &ShardId, range: Option<HashKeyRange>) -> Rules {
        let (settings, handling) = (&self.means.settings, &self.handling);
        let rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner).fork();
        Rules {
            policy: Arc::clone(&handling.policy),
            sink: handling.sink.clone(),
            store: handling.store.clone(),
            sink_timeout: Some(settings.process_deadline),
            handler_timeout: settings.handler_timeout,
            quarantine_retry: settings.quarantine_retry,
            manual: handling.manual,
            lanes: handling.concurrency.lanes(handling.keyed),
            batching: Batching {
                records: settings.max_batch_records,
                bytes: settings.max_batch_bytes,
                window: settings.batch_window,
            },
            window: settings.max_unacknowledged,
            clock: Arc::clone(&self.means.clock),
            rng,
            read_again: self.read_again(shard, range),
        }
    }

    fn read_again(&self, shard: &ShardId, range: Option<HashKeyRange>) -> ReadAgain {
        let apart = Deaggregation::new(&self.means.settings);
        let (readers, shard, clock) = (Arc::clone(&self.means.readers), shard.clone(), Arc::clone(&self.means.clock));
        Arc::new(move |position: Position| {
            let (from, watch) = (StartingPosition::At(position.sequence_number.clone()), Stopwatch::new(clock.clone()));
            let mut reader = apart.open(readers.as_ref(), &shard, range, from, Arc::new(watch));
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
        let (last_word, shard) = (Arc::new(LastWord(Arc::clone(&delivery))), delivery.shard().clone());
        let (range, apart) = (delivery.hold.hash_range, Deaggregation::new(&self.means.settings));
        let mut rules = self.rules(delivery.shard(), range);
        let context = ShardContext::new(Arc::clone(&delivery), self.means.stream.clone(), rules.lanes.count());
        let (factory, readers) = (Arc::clone(&self.factory), Arc::clone(&self.means.readers));
        let (tasks, tracker) = (self.means.tasks.clone(), self.tracker.clone());
        let consumer = async move {
            let tasks = TasksInSpan::new(tasks, Span::current());
            let from = match consumer::starting_position(&delivery, &rules).await {
                Some(from) => from,
                None => return,
            };
            let Some(processors) = consumer::processors(factory.as_ref(), &delivery, &mut rules).await else { return };
            let (shard, fetching) = (delivery.shard().clone(), Arc::clone(&delivery.stages.fetch));
            let open = move |from| apart.open(readers.as_ref(), &shard, range, from, Arc::clone(&fetching));
            let (restart, outage) = (Arc::clone(&delivery.restart_fetch), Arc::clone(&delivery.stages.outage));
            let chunks = Prefetch::start(open, from, restart, outage, Arc::clone(&last_word), &tasks, &tracker);
            let mut lanes = consumer::lanes(processors, chunks, &context, &delivery, &rules, &last_word);
            // The last one here, the others each in a task of its own. What this task holds must not outlive its lane.
            let own = lanes.pop();
            for lane in lanes {
                tasks.spawn(tracker.track_future(lane).boxed());
            }
            drop((last_word, context, delivery));
            if let Some(own) = own {
                own.await;
            }
        };
        // The span is made in the worker's scope, which begins with the task.
        let consumer = async move {
            let span = Scope::current().span_of_shard(&shard);
            consumer.instrument(span).await;
        };
        self.means.tasks.spawn(self.tracker.track_future(consumer).boxed());
    }
}

impl<F> Debug for ConsumerHost<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsumerHost").field("stream", &self.means.stream).finish_non_exhaustive()
    }
}
