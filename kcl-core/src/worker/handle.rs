//! Runs a built worker, and stops it through its handle.

use super::connection::Connection;
use super::fan_out_cleanup::FanOutCleanup;
use super::host::{Hosted, Runtime};
use super::signal;
use super::streams::Registry;
use super::worker_token::WorkerToken;
use crate::clock::Clock;
use crate::config::{HandlingConfig, Settings};
use crate::coordination::{Ask, Coordinator, Identity, Outside, StreamApis, Streams};
use crate::error::Error;
use crate::lease::row::WorkerId;
use crate::processor::{ConsumerDeps, ConsumerHost, HandlerConfig, RecordProcessor, StartConsumer};
use crate::record::{ShardId, StreamId, StreamRef};
use crate::retrieval::Readers;
use crate::shard::StreamApi;
use crate::spawn::Spawn;
use crate::telemetry::{Scope, ScopedTasks};
use crate::worker::event::AwaitsItself;
use crate::worker::event::{ShutdownBegun, ShutdownHurried};
use crate::worker::event::{WorkerEnded, WorkerStarted};
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// How long handlers may take to end after delivery was closed. A handler that blocks its thread
/// does not end in time.
const LAST_CONSUMERS: Duration = Duration::from_secs(1);

/// A member of the fleet that reads one stream ([`Worker::builder`]) or several
/// ([`Worker::of_streams`]).
///
#[cfg_attr(feature = "signal", doc = "```no_run")]
#[cfg_attr(not(feature = "signal"), doc = "```ignore")]
/// use kcl_core::prelude::*;
/// # struct Delays;
/// # impl RecordProcessor for Delays {
/// #     async fn process_records(&mut self, _: &Batch, _: &ShardContext) -> Result<(), BoxError> { Ok(()) }
/// # }
///
/// # async fn example() -> Result<(), kcl_core::Error> {
/// let worker = Worker::builder("delays", "flights").processor(|_: &ShardId| Delays).build().await?;
/// println!("{} joins the fleet", worker.id());
/// worker.run_until(shutdown_signal()).await // or `run`, until its handle stops it
/// # }
/// ```
#[must_use = "a worker does nothing until it is run"]
pub struct Worker {
    pub(super) id: WorkerId,
    pub(super) table: String,
    pub(super) reads: ReadStreams,
    pub(super) settings: Settings,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) rng: fastrand::Rng,
    pub(super) hosted: Hosted,
    pub(super) has_store: bool,
    pub(super) runtime: Runtime,
    pub(super) channels: HandleChannels,
    pub(super) scope: Scope,
}

/// The streams of a worker.
pub(super) enum ReadStreams {
    /// One stream, which has the lease table for itself.
    One {
        stream: StreamRef,
        connection: Connection,
        fan_out_cleanup: FanOutCleanup,
        consumers: Box<dyn FnOnce(ConsumerParts) -> Arc<dyn ConsumerSet> + Send>,
    },
    /// Several streams.
    Several(Arc<Registry>),
}

/// The worker's ends of the channels that its handle uses.
pub(super) struct HandleChannels {
    pub(super) handle: WorkerHandle,
    asked: mpsc::UnboundedReceiver<Ask>,
    done: watch::Sender<bool>,
}

impl HandleChannels {
    pub(super) fn new() -> Self {
        let (ask, asked) = mpsc::unbounded_channel();
        let (done, when_done) = watch::channel(false);
        HandleChannels {
            handle: WorkerHandle { ask, done: when_done, streams: None, token: WorkerToken::default() },
            asked,
            done,
        }
    }
}

/// The coordination's access to a worker's only stream.
#[derive(Debug)]
struct OnlyStream(Arc<dyn StreamApi>);

impl StreamApis for OnlyStream {
    fn api(&self, _: Option<&StreamId>) -> Option<Arc<dyn StreamApi>> {
        Some(Arc::clone(&self.0))
    }
}

/// What consumers need, once the worker runs.
pub(super) struct ConsumerParts {
    pub(super) tasks: Arc<dyn Spawn>,
    pub(super) stream: StreamRef,
    pub(super) config: HandlingConfig,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) rng: fastrand::Rng,
}

impl ConsumerParts {
    pub(super) fn host<F, P>(
        self,
        readers: Arc<dyn Readers>,
        factory: F,
        handling: HandlerConfig,
    ) -> Arc<dyn ConsumerSet>
    where
        F: Fn(&ShardId) -> P + Send + Sync + 'static,
        P: RecordProcessor,
    {
        let ConsumerParts { tasks, stream, config, clock, rng } = self;
        Arc::new(ConsumerHost::new(ConsumerDeps { tasks, readers, stream, config, clock, rng }, handling, factory))
    }
}

/// Starts consumers, and waits until all have ended.
#[async_trait::async_trait]
pub(super) trait ConsumerSet: StartConsumer {
    async fn all_gone(&self);
}

#[async_trait::async_trait]
impl<F, P> ConsumerSet for ConsumerHost<F>
where
    F: Fn(&ShardId) -> P + Send + Sync + 'static,
    P: RecordProcessor,
{
    async fn all_gone(&self) {
        ConsumerHost::all_gone(self).await;
    }
}

/// Stops a worker, or adds and removes streams, from another task. Cheap to clone.
///
/// ```no_run
/// use kcl_core::prelude::*;
/// use std::time::Duration;
/// # struct Delays;
/// # impl RecordProcessor for Delays {
/// #     async fn process_records(&mut self, _: &Batch, _: &ShardContext) -> Result<(), BoxError> { Ok(()) }
/// # }
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let worker = Worker::builder("delays", "flights").processor(|_: &ShardId| Delays).build().await?;
/// let handle = worker.handle();
/// let running = tokio::spawn(worker.run());
/// // ... until the program ends:
/// handle.shutdown(Duration::from_secs(25)).await;
/// running.await??;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct WorkerHandle {
    pub(super) ask: mpsc::UnboundedSender<Ask>,
    pub(super) done: watch::Receiver<bool>,
    /// Present if the worker reads several streams.
    pub(super) streams: Option<Arc<Registry>>,
    pub(super) token: WorkerToken,
}

impl WorkerHandle {
    /// Stops the worker gracefully, and completes when it has stopped.
    ///
    /// The worker takes no more leases and starts no more batches. It releases each shard to
    /// another worker as soon as the shard's handler has finished its batch, checkpoints what was
    /// acknowledged, and leaves the fleet. No record is repeated, unless a handler is still busy
    /// after `grace`: then the worker checkpoints what was acknowledged by then, and another worker
    /// handles the rest again.
    ///
    /// May be called more than once: the earliest deadline counts. [`abort`](Self::abort) stops the
    /// waiting.
    ///
    /// # From a handler of the same worker
    /// The worker waits for the handler, so the handler cannot wait for the worker. Called from a
    /// handler, this requests the shutdown, logs an error and completes at once. To stop from a
    /// handler, spawn a task that calls this (`tokio::spawn(async move {
    /// handle.shutdown(grace).await })`), and return.
    ///
    /// # Cancellation
    /// Dropping the future does not cancel the shutdown.
    pub async fn shutdown(&self, grace: Duration) {
        self.stop(grace, "WorkerHandle::shutdown").await;
    }

    /// Stops the worker without waiting for handlers, and completes when it has stopped.
    ///
    /// Handlers are dropped at their next await point. The worker checkpoints what was
    /// acknowledged, releases its shards and leaves the fleet; other workers handle the
    /// unacknowledged records again. Also ends a [`shutdown`](Self::shutdown) that is waiting for a
    /// handler.
    ///
    /// # From a handler of the same worker
    /// As [`shutdown`](Self::shutdown).
    ///
    /// # Cancellation
    /// Dropping the future does not cancel the shutdown.
    pub async fn abort(&self) {
        self.stop(Duration::ZERO, "WorkerHandle::abort").await;
    }

    async fn stop(&self, grace: Duration, call: &'static str) {
        // The receiver of a worker that has ended is gone.
        let _ = self.ask.send(Ask::Shutdown(grace));
        if self.token.is_within() {
            return AwaitsItself { call }.emit();
        }
        let mut done = self.done.clone();
        // An error means that the worker was dropped, so it has ended too.
        let _ = done.wait_for(|done| *done).await;
    }
}

/// Aborts a running worker when its future is dropped.
struct StopOnDrop(mpsc::UnboundedSender<Ask>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        let _ = self.0.send(Ask::Shutdown(Duration::ZERO));
    }
}

impl Worker {
    /// Returns the worker's id in its fleet.
    #[must_use]
    pub fn id(&self) -> &str {
        self.id.as_str()
    }

    /// Returns a handle that stops this worker, or changes its streams, from another task.
    #[must_use]
    pub fn handle(&self) -> WorkerHandle {
        self.channels.handle.clone()
    }

    /// Replaces the stream that the coordination sees; readers keep theirs.
    pub(super) fn coordinate_through(&mut self, wrap: impl FnOnce(Arc<dyn StreamApi>) -> Arc<dyn StreamApi>) {
        if let ReadStreams::One { connection, .. } = &mut self.reads {
            connection.api = wrap(Arc::clone(&connection.api));
        }
    }

    /// Returns where consumers are spawned.
    pub(super) fn tasks(&self) -> Arc<dyn Spawn> {
        self.runtime.tasks()
    }

    /// Runs until the worker is stopped or fails. Handlers run on the runtime that polls this
    /// future.
    ///
    /// # Errors
    /// Conditions that a person must change: another kind of consumer uses the lease table, the
    /// table belongs to another stream, another process took the worker's id, the error policy
    /// stopped the worker.
    ///
    /// # Cancellation
    /// Dropping the future stops delivery at once. The worker still checkpoints what was
    /// acknowledged, in the background.
    pub async fn run(self) -> Result<(), Error> {
        let scope = self.scope.clone();
        scope.around(self.run_in_scope()).await
    }

    async fn run_in_scope(self) -> Result<(), Error> {
        let Worker { id, table, reads, settings, clock, mut rng, hosted, has_store, runtime, channels, scope } = self;
        WorkerStarted { table: &table, settings: &settings }.emit();
        let (began, clock_of_run) = (clock.now(), clock.clone());
        let HandleChannels { handle, asked, done } = channels;
        let _stop = StopOnDrop(handle.ask.clone());
        let (reports, reported) = mpsc::unbounded_channel();
        let tasks = ScopedTasks::of(handle.token.over(runtime.tasks()), scope);
        let process = runtime.process();
        let rng_of_consumers = rng.fork();
        let (mut alone, mut several) = (None, None);
        let (consumers, streams, apis): (Arc<dyn ConsumerSet>, Streams, Arc<dyn StreamApis>) = match reads {
            ReadStreams::One { stream, connection, fan_out_cleanup, consumers } => {
                alone = Some(fan_out_cleanup);
                let (config, clock) = (HandlingConfig::from(&settings), clock.clone());
                let streams = connection.alone(settings.start, settings.until_ms());
                let with = ConsumerParts { tasks, stream, config, clock, rng: rng_of_consumers };
                (consumers(with), streams, Arc::new(OnlyStream(connection.api)))
            }
            ReadStreams::Several(registry) => {
                several = Some(Arc::clone(&registry));
                registry.begin(tasks, clock.clone());
                (registry.clone(), registry.served(), registry)
            }
        };
        let starter: Arc<dyn StartConsumer> = consumers.clone();
        let (outcome, others) = hosted
            .run(move |parts| {
                let identity = Identity { me: id, process, table, streams, elsewhere: has_store };
                let coordinator = Coordinator::new(identity, settings, clock.clone(), reports, rng);
                let (store, consumers) = (parts.store, starter);
                let outside = Outside { store, streams: apis, consumers, clock, reports: reported, asked };
                (coordinator, outside)
            })
            .await;
        // Elapsed if a handler blocks its thread. Its records were not acknowledged, so another
        // worker handles them again.
        let _ = tokio::time::timeout(LAST_CONSUMERS, consumers.all_gone()).await;
        match (alone, several) {
            (Some(fan_out_cleanup), _) => fan_out_cleanup.ended(&others).await,
            (None, Some(registry)) => registry.fan_out_cleanup.ended(&others).await,
            (None, None) => {}
        }
        WorkerEnded { outcome: &outcome, ran: clock_of_run.now().since(began) }.emit();
        done.send_replace(true);
        outcome
    }

    /// Runs until `stop` completes, then shuts down gracefully within the setting
    /// `shutdown_deadline`. If `stop` is [`shutdown_signal`](crate::shutdown_signal), a second
    /// signal stops the worker as [`WorkerHandle::abort`] does.
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
            ReadStreams::One { stream, .. } => stream,
            ReadStreams::Several(registry) => registry,
        };
        f.debug_struct("Worker").field("id", &self.id).field("reads", reads).finish_non_exhaustive()
    }
}
