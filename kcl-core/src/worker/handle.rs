//! A built worker: running it, and stopping it from elsewhere.

use super::connection::Connection;
use super::fan_out_cleanup::FanOutCleanup;
use super::host::{Hosted, Runtime};
use super::signal;
use super::streams::Registry;
use super::within::Token;
use crate::clock::Clock;
use crate::config::Settings;
use crate::coordination::{Ask, Coordinator, Identity, Outside, StreamApis, Streams};
use crate::error::Error;
use crate::lease::row::WorkerId;
use crate::processor::{ConsumerDeps, ConsumerHost, Handling, RecordProcessor, StartConsumer};
use crate::record::{ShardId, StreamId, StreamRef};
use crate::retrieval::Readers;
use crate::shard::StreamApi;
use crate::spawn::Spawn;
use crate::telemetry::event::processing::AwaitsItself;
use crate::telemetry::event::shutdown::{ShutdownBegun, ShutdownHurried};
use crate::telemetry::event::worker::{WorkerEnded, WorkerStarted};
use crate::telemetry::{Scope, ScopedTasks};
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// Handlers whose delivery was closed get so long to end. One that blocks its thread is not waited for.
const LAST_CONSUMERS: Duration = Duration::from_secs(1);

/// One member of the fleet that reads a stream, or several. Made by [`Worker::builder`] and [`Worker::of_streams`].
#[must_use = "a worker does nothing until it is run"]
pub struct Worker {
    pub(super) id: WorkerId,
    pub(super) table: String,
    pub(super) reads: Reads,
    pub(super) settings: Settings,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) rng: fastrand::Rng,
    pub(super) hosted: Hosted,
    pub(super) elsewhere: bool,
    pub(super) runtime: Runtime,
    pub(super) link: Link,
    pub(super) scope: Scope,
}

/// What a worker reads.
pub(super) enum Reads {
    /// One stream, which has the table for itself.
    One {
        stream: StreamRef,
        connection: Connection,
        billed: FanOutCleanup,
        consumers: Box<dyn FnOnce(Consumers) -> Arc<dyn Consumption> + Send>,
    },
    /// Several.
    Several(Arc<Registry>),
}

/// A worker's ends of what its handle asks and waits for.
pub(super) struct Link {
    pub(super) handle: WorkerHandle,
    asked: mpsc::UnboundedReceiver<Ask>,
    done: watch::Sender<bool>,
}

impl Link {
    pub(super) fn new() -> Self {
        let (ask, asked) = mpsc::unbounded_channel();
        let (done, when_done) = watch::channel(false);
        Link { handle: WorkerHandle { ask, done: when_done, streams: None, token: Token::default() }, asked, done }
    }
}

/// The coordination's way to the only stream.
#[derive(Debug)]
struct Only(Arc<dyn StreamApi>);

impl StreamApis for Only {
    fn api(&self, _: Option<&StreamId>) -> Option<Arc<dyn StreamApi>> {
        Some(Arc::clone(&self.0))
    }
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
        Arc::new(ConsumerHost::new(ConsumerDeps { tasks, readers, stream, settings, clock, rng }, handling, factory))
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

/// Stops a worker from elsewhere, and changes what it reads. Cheap to clone.
#[derive(Clone, Debug)]
pub struct WorkerHandle {
    pub(super) ask: mpsc::UnboundedSender<Ask>,
    pub(super) done: watch::Receiver<bool>,
    /// Where it may read several.
    pub(super) streams: Option<Arc<Registry>>,
    pub(super) token: Token,
}

impl WorkerHandle {
    /// Stops the worker in an orderly way: it acquires nothing more, yields its shards to others as each handler ends,
    /// checkpoints what was acknowledged, and leaves. Nothing is repeated, unless a handler is still busy after
    /// `deadline`: then what was acknowledged by then is checkpointed, and the rest comes again elsewhere.
    ///
    /// Completes when the worker is done. A second call does not wait any longer: it ends delivery at once.
    ///
    /// # From a handler of the same worker
    /// The worker waits for the handler, so the handler cannot wait for the worker: called there, this asks for the shutdown,
    /// logs an error and completes at once. The way to stop from a handler is to start a task that calls this
    /// (`tokio::spawn(async move { handle.shutdown(deadline).await })`), and to return.
    ///
    /// # Cancellation
    /// Dropping the future does not take the request back.
    pub async fn shutdown(&self, deadline: Duration) {
        // A worker that is done no longer listens.
        let _ = self.ask.send(Ask::Shutdown(deadline));
        if self.token.is_within() {
            return AwaitsItself { call: "WorkerHandle::shutdown" }.emit();
        }
        let mut done = self.done.clone();
        // An error means that the worker was dropped: then it is done too.
        let _ = done.wait_for(|done| *done).await;
    }
}

/// Asks a running worker to end at once, when its future is dropped.
struct StopOnDrop(mpsc::UnboundedSender<Ask>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        let _ = self.0.send(Ask::Shutdown(Duration::ZERO));
    }
}

impl Worker {
    /// The worker's name in its fleet.
    #[must_use]
    pub fn id(&self) -> &str {
        self.id.as_str()
    }

    /// Stops this worker from elsewhere, and changes what it reads.
    #[must_use]
    pub fn handle(&self) -> WorkerHandle {
        self.link.handle.clone()
    }

    /// Shows the stream to the coordination, and not to readers, through something else.
    pub(super) fn coordinate_through(&mut self, wrap: impl FnOnce(Arc<dyn StreamApi>) -> Arc<dyn StreamApi>) {
        if let Reads::One { connection, .. } = &mut self.reads {
            connection.api = wrap(Arc::clone(&connection.api));
        }
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
        let scope = self.scope.clone();
        scope.around(self.run_in_scope()).await
    }

    async fn run_in_scope(self) -> Result<(), Error> {
        let Worker { id, table, reads, settings, clock, mut rng, hosted, elsewhere, runtime, link, scope } = self;
        WorkerStarted { table: &table, settings: &settings }.emit();
        let (began, clock_of_run) = (clock.now(), clock.clone());
        let Link { handle, asked, done } = link;
        let _stop = StopOnDrop(handle.ask.clone());
        let (reports, reported) = mpsc::unbounded_channel();
        let tasks = ScopedTasks::of(handle.token.over(runtime.tasks()), scope);
        let process = runtime.process();
        let rng_of_consumers = rng.fork();
        let (mut alone, mut several) = (None, None);
        let (consumers, streams, apis): (Arc<dyn Consumption>, Streams, Arc<dyn StreamApis>) = match reads {
            Reads::One { stream, connection, billed, consumers } => {
                alone = Some(billed);
                let (settings, clock) = (settings.clone(), clock.clone());
                let streams = connection.alone(settings.start, settings.until);
                let with = Consumers { tasks, stream, settings, clock, rng: rng_of_consumers };
                (consumers(with), streams, Arc::new(Only(connection.api)))
            }
            Reads::Several(registry) => {
                several = Some(Arc::clone(&registry));
                registry.begin(tasks, clock.clone());
                (registry.clone(), registry.served(), registry)
            }
        };
        let starter: Arc<dyn StartConsumer> = consumers.clone();
        let (outcome, others) = hosted
            .run(move |parts| {
                let identity = Identity { me: id, process, table, streams, elsewhere };
                let coordinator = Coordinator::new(identity, settings, clock.clone(), reports, rng);
                let (store, consumers) = (parts.store, starter);
                let outside = Outside { store, streams: apis, consumers, clock, reports: reported, asked };
                (coordinator, outside)
            })
            .await;
        // Elapsed: a handler blocks its thread. Its records were not acknowledged and come again elsewhere.
        let _ = tokio::time::timeout(LAST_CONSUMERS, consumers.all_gone()).await;
        match (alone, several) {
            (Some(billed), _) => billed.ended(&others).await,
            (None, Some(registry)) => registry.billed.ended(&others).await,
            (None, None) => {}
        }
        WorkerEnded { outcome: &outcome, ran: clock_of_run.now().since(began) }.emit();
        done.send_replace(true);
        outcome
    }

    /// Runs until `stop` completes, then stops in an orderly way within the setting `shutdown_deadline`. Where `stop` was
    /// [`shutdown_signal`](crate::shutdown_signal), a second signal ends delivery at once, as a second
    /// [`WorkerHandle::shutdown`] does.
    ///
    /// # Errors
    /// As [`Worker::run`].
    pub async fn run_until(self, stop: impl Future<Output = ()>) -> Result<(), Error> {
        let (handle, deadline) = (self.handle(), self.settings.shutdown_deadline);
        let id = self.id().to_owned();
        let run = self.run();
        tokio::pin!(run);
        tokio::select! {
            biased;
            outcome = &mut run => return outcome,
            () = stop => {}
        }
        let _ = handle.ask.send(Ask::Shutdown(deadline));
        ShutdownBegun { worker: &id, deadline, by_signal: signal::is_received() }.emit();
        tokio::select! {
            biased;
            outcome = &mut run => return outcome,
            () = signal::second_signal() => {}
        }
        ShutdownHurried { worker: &id }.emit();
        let _ = handle.ask.send(Ask::Shutdown(Duration::ZERO));
        run.await
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reads: &dyn fmt::Debug = match &self.reads {
            Reads::One { stream, .. } => stream,
            Reads::Several(registry) => registry,
        };
        f.debug_struct("Worker").field("id", &self.id).field("reads", reads).finish_non_exhaustive()
    }
}
