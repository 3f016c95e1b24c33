//! A built worker: running it, and stopping it from elsewhere.

use super::host::{Hosted, Runtime};
use crate::clock::Clock;
use crate::config::{Settings, timing};
use crate::coordination::{Coordinator, Identity, Outside};
use crate::error::Error;
use crate::lease::row::WorkerId;
use crate::processor::{ConsumerHost, Handling, Means, RecordProcessor, StartConsumer};
use crate::record::{ShardId, StreamRef};
use crate::retrieval::{Readers, Registrar};
use crate::spawn::Spawn;
use crate::telemetry::event::fanout::ConsumerRemoved;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// Handlers whose delivery was closed get so long to end. One that blocks its thread is not waited for.
const LAST_CONSUMERS: Duration = Duration::from_secs(1);

/// One member of the fleet that reads a stream. Made by [`Worker::builder`].
#[must_use = "a worker does nothing until it is run"]
pub struct Worker {
    pub(super) id: WorkerId,
    pub(super) table: String,
    pub(super) stream: StreamRef,
    pub(super) settings: Settings,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) rng: fastrand::Rng,
    pub(super) hosted: Hosted,
    pub(super) elsewhere: bool,
    /// Who registers the fan-out consumer.
    pub(super) registrar: Option<Arc<Registrar>>,
    pub(super) runtime: Runtime,
    pub(super) consumers: Box<dyn FnOnce(Consumers) -> Arc<dyn Consumption> + Send>,
    pub(super) handle: WorkerHandle,
    pub(super) asked: mpsc::UnboundedReceiver<Duration>,
    pub(super) done: watch::Sender<bool>,
}

/// What consumers are started with, once the worker runs.
pub(super) struct Consumers {
    pub(super) tasks: Arc<dyn Spawn>,
    pub(super) stream: StreamRef,
    pub(super) settings: Settings,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) rng: fastrand::Rng,
}

impl Consumers {
    pub(super) fn host<F, P>(self, readers: Arc<dyn Readers>, factory: F, handling: Handling) -> Arc<dyn Consumption>
    where
        F: Fn(&ShardId) -> P + Send + Sync + 'static,
        P: RecordProcessor,
    {
        let Consumers { tasks, stream, settings, clock, rng } = self;
        Arc::new(ConsumerHost::new(Means { tasks, readers, stream, settings, clock, rng }, handling, factory))
    }
}

/// Starts consumers, and waits until all are gone.
#[async_trait::async_trait]
pub(super) trait Consumption: StartConsumer {
    async fn all_gone(&self);
}

#[async_trait::async_trait]
impl<F, P> Consumption for ConsumerHost<F>
where
    F: Fn(&ShardId) -> P + Send + Sync + 'static,
    P: RecordProcessor,
{
    async fn all_gone(&self) {
        ConsumerHost::all_gone(self).await;
    }
}

/// Stops a worker from elsewhere. Cheap to clone.
#[derive(Clone, Debug)]
pub struct WorkerHandle {
    pub(super) ask: mpsc::UnboundedSender<Duration>,
    pub(super) done: watch::Receiver<bool>,
}

impl WorkerHandle {
    /// Stops the worker in an orderly way: it takes nothing more, gives its shards to others as each handler ends,
    /// checkpoints what was acknowledged, and leaves. Nothing is repeated, unless a handler is still busy after
    /// `deadline`: then what was acknowledged by then is checkpointed, and the rest comes again elsewhere.
    ///
    /// Completes when the worker is done. A second call does not wait any longer: it ends delivery at once.
    ///
    /// # Cancellation
    /// Dropping the future does not take the request back.
    pub async fn shutdown(&self, deadline: Duration) {
        // A worker that is done no longer listens.
        let _ = self.ask.send(deadline);
        let mut done = self.done.clone();
        // An error means that the worker was dropped: then it is done too.
        let _ = done.wait_for(|done| *done).await;
    }
}

/// Asks a running worker to end at once, when its future is dropped.
struct StopOnDrop(mpsc::UnboundedSender<Duration>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        let _ = self.0.send(Duration::ZERO);
    }
}

impl Worker {
    /// The worker's name in its fleet.
    #[must_use]
    pub fn id(&self) -> &str {
        self.id.as_str()
    }

    /// Stops this worker from elsewhere.
    #[must_use]
    pub fn handle(&self) -> WorkerHandle {
        self.handle.clone()
    }

    /// Where its consumers run: on the current runtime, or as the builder was told.
    pub(super) fn tasks(&self) -> Arc<dyn Spawn> {
        self.runtime.tasks()
    }

    /// Runs until the worker is stopped or cannot go on. Handlers run on the runtime that polls this future.
    ///
    /// # Errors
    /// What a person must mend: the table is in use by another kind of consumer or belongs to another stream, the
    /// worker's id was taken by another process, the error policy stopped the worker.
    ///
    /// # Cancellation
    /// Dropping the future ends delivery at once; what was acknowledged is still checkpointed in the background.
    pub async fn run(self) -> Result<(), Error> {
        let Worker {
            id,
            table,
            stream,
            settings,
            clock,
            mut rng,
            hosted,
            elsewhere,
            registrar,
            runtime,
            consumers,
            handle,
            asked,
            done,
        } = self;
        let _stop = StopOnDrop(handle.ask.clone());
        let (reports, reported) = mpsc::unbounded_channel();
        let tasks = runtime.tasks();
        let call_timeout = timing::call_timeout(settings.failover_time);
        let means = Consumers { tasks, stream, settings: settings.clone(), clock: clock.clone(), rng: rng.fork() };
        let consumers = consumers(means);
        let starter: Arc<dyn StartConsumer> = consumers.clone();
        let (outcome, is_last) = hosted
            .run(move |parts| {
                let retention = parts.facts.retention;
                let identity = Identity { me: id, table, stream: parts.identity, retention, elsewhere };
                let coordinator = Coordinator::new(identity, settings, clock.clone(), reports, rng);
                let (store, stream) = (parts.store, parts.stream);
                let outside = Outside {
                    store,
                    stream,
                    consumers: starter,
                    clock,
                    call_timeout,
                    reports: reported,
                    shutdown: asked,
                };
                (coordinator, outside)
            })
            .await;
        // Elapsed: a handler blocks its thread. Its records were not acknowledged and come again elsewhere.
        let _ = tokio::time::timeout(LAST_CONSUMERS, consumers.all_gone()).await;
        if let Some(registrar) = registrar.filter(|_| is_last) {
            ConsumerRemoved { error: registrar.deregister().await.err().as_ref() }.emit();
        }
        done.send_replace(true);
        outcome
    }

    /// Runs until `stop` completes, then stops in an orderly way within the setting `shutdown_deadline`.
    ///
    /// # Errors
    /// As [`Worker::run`].
    pub async fn run_until(self, stop: impl Future<Output = ()>) -> Result<(), Error> {
        let (handle, deadline) = (self.handle(), self.settings.shutdown_deadline);
        let run = self.run();
        tokio::pin!(run);
        tokio::select! {
            biased;
            outcome = &mut run => return outcome,
            () = stop => {}
        }
        let _ = handle.ask.send(deadline);
        run.await
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("id", &self.id).field("stream", &self.stream).finish_non_exhaustive()
    }
}
