//! Starts consumers on the user's runtime, and knows when all of them are gone.

use super::consumer::{Consumer, LastWord, Rules, panic_message};
use super::{Delivery, ErrorPolicy, RecordProcessor, ReportKind, ShardContext};
use crate::clock::Clock;
use crate::record::{ShardId, StreamRef};
use crate::retrieval::{Prefetch, Readers};
use crate::spawn::Spawn;
use futures_util::FutureExt;
use std::fmt::{self, Debug};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use tokio_util::task::TaskTracker;

/// Starts a consumer for a lease that was claimed. All that follows is said through the delivery.
pub(crate) trait StartConsumer: Debug + Send + Sync + 'static {
    /// Returns at once. The last report of the delivery is always `Gone`.
    fn start(&self, delivery: Arc<Delivery>);
}

/// See the module's documentation.
pub(crate) struct ConsumerHost<F> {
    tasks: Arc<dyn Spawn>,
    tracker: TaskTracker,
    readers: Arc<dyn Readers>,
    factory: Arc<F>,
    stream: StreamRef,
    policy: Arc<dyn ErrorPolicy>,
    clock: Arc<dyn Clock>,
    rng: Mutex<fastrand::Rng>,
}

impl<F, P> ConsumerHost<F>
where
    F: Fn(&ShardId) -> P + Send + Sync + 'static,
    P: RecordProcessor,
{
    /// A host whose consumers are `tasks`, each with a processor of its own from `factory`.
    pub(crate) fn new(
        tasks: Arc<dyn Spawn>,
        readers: Arc<dyn Readers>,
        factory: F,
        stream: StreamRef,
        policy: Arc<dyn ErrorPolicy>,
        clock: Arc<dyn Clock>,
        rng: fastrand::Rng,
    ) -> Self {
        let (tracker, factory, rng) = (TaskTracker::new(), Arc::new(factory), Mutex::new(rng));
        ConsumerHost { tasks, tracker, readers, factory, stream, policy, clock, rng }
    }

    /// Waits until every consumer and every reader that was started is gone.
    pub(crate) async fn all_gone(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}

impl<F, P> StartConsumer for ConsumerHost<F>
where
    F: Fn(&ShardId) -> P + Send + Sync + 'static,
    P: RecordProcessor,
{
    fn start(&self, delivery: Arc<Delivery>) {
        let last_word = Arc::new(LastWord(Arc::clone(&delivery)));
        let context = ShardContext::new(Arc::clone(&delivery), self.stream.clone());
        let rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner).fork();
        let rules = Rules { policy: Arc::clone(&self.policy), clock: Arc::clone(&self.clock), rng };
        let (factory, readers) = (Arc::clone(&self.factory), Arc::clone(&self.readers));
        let (tasks, tracker) = (self.tasks.clone(), self.tracker.clone());
        let consumer = async move {
            let processor = match catch_unwind(AssertUnwindSafe(|| factory(&delivery.shard))) {
                Ok(processor) => processor,
                Err(panic) => {
                    let shard = &delivery.shard;
                    let reason =
                        format!("making a processor for shard `{shard}` panicked: {}", panic_message(panic.as_ref()));
                    return delivery.report(ReportKind::GaveUp { reason, stop_worker: true });
                }
            };
            let (shard, fetching) = (delivery.shard.clone(), Arc::clone(&delivery.stages.fetch));
            let open = move |from| readers.open(&shard, from, Arc::clone(&fetching));
            let (from, restart) = (delivery.from.clone(), Arc::clone(&delivery.restart_fetch));
            let chunks = Prefetch::start(open, from, restart, Arc::clone(&last_word), tasks.as_ref(), &tracker);
            Consumer::new(processor, chunks, context, delivery, rules, last_word).run().await;
        };
        self.tasks.spawn(self.tracker.track_future(consumer).boxed());
    }
}

impl<F> Debug for ConsumerHost<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsumerHost").field("stream", &self.stream).finish_non_exhaustive()
    }
}
