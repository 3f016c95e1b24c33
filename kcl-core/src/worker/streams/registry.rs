//! Keeps for each stream of a worker its connections and the host of its consumers.

use super::config::{Api, StreamConfig};
use super::guarded_stream::GuardedStream;
use super::identity_guard::IdentityGuard;
use crate::clock::Clock;
use crate::config::{HandlingConfig, RetrievalConfig, Settings};
use crate::coordination::{Ask, Change, Served, StreamApis, Streams};
use crate::error::{Code, Error};
use crate::lease::LeaseKey;
use crate::processor::{ReportKind, ShardDelivery, StartConsumer};
use crate::record::{StreamId, StreamIdentity, StreamRef};
use crate::retrieval::{self, ByteBudget, Readers, StreamReaders, with_call_deadline};
use crate::shard::StreamDescription;
use crate::spawn::Spawn;
use crate::telemetry::{Scope, ScopedTasks};
use crate::worker::builder::{FailureHandling, check_consumer};
use crate::worker::connection::Connection;
use crate::worker::event::AwaitsItself;
use crate::worker::fan_out_cleanup::FanOutCleanup;
use crate::worker::far_start::check_start;
use crate::worker::handle::{ConsumerParts, ConsumerSet};
use async_trait::async_trait;
use futures_util::FutureExt;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

pub(super) const DESCRIBE: &str = "DescribeStreamSummary";

/// See the module documentation.
pub(in crate::worker) struct Registry {
    me: Weak<Registry>,
    pub(super) settings: Settings,
    application: String,
    failure_handling: FailureHandling,
    budget: ByteBudget,
    /// The worker's own clients, if it has some.
    #[cfg(feature = "aws")]
    clients: Option<crate::aws::Clients>,
    ask: mpsc::UnboundedSender<Ask>,
    rng: Mutex<fastrand::Rng>,
    scope: Scope,
    /// Set when the worker runs.
    running: OnceLock<(Arc<dyn Spawn>, Arc<dyn Clock>)>,
    slots: Mutex<BTreeMap<StreamId, Arc<StreamSlot>>>,
    /// Including the consumers of removed streams.
    pub(in crate::worker) fan_out_cleanup: FanOutCleanup,
    /// Including the hosts of removed streams, whose consumers may still run.
    hosts: Mutex<Vec<Arc<dyn ConsumerSet>>>,
}

/// One stream.
struct StreamSlot {
    config: StreamConfig,
    /// The worker's settings with this stream's overrides.
    settings: Settings,
    served: Served,
    keyed: bool,
    /// The coordination's connection, without and with the identity guard.
    connected: Api,
    coordination: Api,
    reading: Api,
    readers: Arc<dyn Readers>,
    host: OnceLock<Arc<dyn ConsumerSet>>,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Served,
    /// Kinesis does not know the stream any more; the worker polls until it exists again.
    Missing,
    /// The stream is being removed.
    Leaving,
}

impl Registry {
    pub(super) fn new(
        settings: Settings,
        failure_handling: FailureHandling,
        budget: ByteBudget,
        #[cfg(feature = "aws")] clients: Option<crate::aws::Clients>,
        ask: mpsc::UnboundedSender<Ask>,
        rng: fastrand::Rng,
        scope: Scope,
    ) -> Arc<Self> {
        Arc::new_cyclic(|me| Registry {
            me: me.clone(),
            settings,
            application: scope.application().to_owned(),
            failure_handling,
            budget,
            #[cfg(feature = "aws")]
            clients,
            ask,
            rng: Mutex::new(rng),
            scope,
            running: OnceLock::new(),
            slots: Mutex::default(),
            fan_out_cleanup: FanOutCleanup::default(),
            hosts: Mutex::default(),
        })
    }

    /// Called when the worker starts to run.
    pub(in crate::worker) fn begin(&self, tasks: Arc<dyn Spawn>, clock: Arc<dyn Clock>) {
        let _ = self.running.set((tasks, clock));
    }

    /// The streams that the worker serves.
    pub(in crate::worker) fn served(&self) -> Streams {
        let slots = lock(&self.slots);
        Streams::Several(slots.iter().map(|(id, slot)| (id.clone(), slot.served.clone())).collect())
    }

    fn rng(&self) -> fastrand::Rng {
        lock(&self.rng).fork()
    }

    /// The stream as readers use it.
    fn reading(&self, config: &StreamConfig) -> Result<Api, Error> {
        #[cfg(feature = "aws")]
        if let Some(clients) = &self.clients {
            return super::connect::reading(config, clients, self.settings.parser);
        }
        config.given()
    }

    /// Refuses a stream's `start` that lies far ahead of the service's clock.
    pub(super) async fn check_start(&self, config: &StreamConfig) -> Result<(), Error> {
        let start = config.start.unwrap_or(self.settings.start);
        check_start(&config.stream, start, self.reading(config)?.as_ref()).await
    }

    /// Adds a connected stream. The worker serves it once the coordination is informed.
    pub(super) fn insert(&self, config: StreamConfig, connection: Connection) -> Result<Served, Error> {
        let (identity, keyed) = (&connection.description.identity, connection.description.keyed);
        let id = id_of(identity)?;
        let settings = config.settings(&self.settings)?;
        // A stream of another account or Region may have the same name, so compare with the ARN.
        check_consumer(&settings, &StreamRef::Arn(identity.arn.clone()))?;
        let mut slots = lock(&self.slots);
        if let Some(other) = slots.get(&id) {
            return Err(named_twice(identity, &other.served.keys.identity));
        }
        let served = connection.served(Some(id.clone()), config.start.unwrap_or(self.settings.start), None);
        let watched = |api| {
            let guard = IdentityGuard::new(api, id.clone(), identity.clone(), self.me.clone());
            Arc::new(GuardedStream(Arc::new(guard)))
        };
        let reading: Api = watched(self.reading(&config)?);
        let budget = self.budget.of_stream(Some(id.clone()));
        let StreamReaders { readers, registrar } = retrieval::readers(
            &RetrievalConfig::from(&settings),
            &self.application,
            Arc::clone(&reading),
            budget,
            &mut self.rng(),
        )?;
        if let Some(registrar) = registrar.filter(|_| settings.deregister_consumer) {
            self.fan_out_cleanup.insert(Some(id.clone()), registrar);
        }
        let slot = StreamSlot {
            coordination: watched(connection.api.clone()),
            connected: connection.api,
            reading,
            readers,
            settings,
            served: served.clone(),
            keyed,
            config,
            host: OnceLock::new(),
            state: Mutex::new(State::Served),
        };
        slots.insert(id, Arc::new(slot));
        Ok(served)
    }

    /// Connects to a stream and serves it.
    pub(super) async fn add(&self, config: StreamConfig) -> Result<(), Error> {
        if self.ask.is_closed() {
            return Err(ended());
        }
        config.check(&self.settings)?;
        let connection = self.open(&config).await?;
        self.check_start(&config).await?;
        let served = self.insert(config, connection)?;
        if self.running.get().is_none() {
            // A worker that does not run yet serves it from its start on.
            return Ok(());
        }
        let id = served.keys.id.clone();
        let (done, when_done) = oneshot::channel();
        let sent = self.ask.send(Ask::Change(Change::Serve(Box::new(served)), done));
        if sent.is_err() || when_done.await.is_err() {
            id.iter().for_each(|id| drop(lock(&self.slots).remove(id)));
            return Err(ended());
        }
        Ok(())
    }

    async fn open(&self, config: &StreamConfig) -> Result<Connection, Error> {
        #[cfg(feature = "aws")]
        if let Some(clients) = &self.clients {
            let reading = crate::aws::DryRun::of(&config.settings(&self.settings)?, &self.application);
            return super::connect::open(config, clients, &reading, self.rng()).await;
        }
        crate::worker::connection::described(self.reading(config)?, Duration::ZERO).await
    }

    /// Stops serving a stream, and waits until all its shards are released. Does not wait if called
    /// from a handler of the worker (`within`): the worker may be waiting for that handler.
    pub(super) async fn remove(&self, stream: &StreamRef, within: bool) -> Result<(), Error> {
        let (id, slot) = self.find(stream)?;
        if std::mem::replace(&mut *lock(&slot.state), State::Leaving) == State::Leaving {
            return Err(Error::new(Code::WorkerState, format!("stream `{stream}` is being removed")));
        }
        let Some((tasks, registry)) = self.begun_or_forget(&id) else { return Ok(()) };
        let (done, when_done) = oneshot::channel();
        // In a task of its own, because the caller may stop waiting.
        tasks.spawn(Box::pin(async move {
            registry.leave(&id).await;
            // Ignore the error: the caller stopped waiting.
            let _ = done.send(());
        }));
        if within {
            AwaitsItself { call: "WorkerHandle::remove_stream" }.emit();
            return Ok(());
        }
        let _ = when_done.await;
        Ok(())
    }

    /// Returns the spawner of a running worker. Forgets the stream if the worker does not run yet.
    fn begun_or_forget(&self, id: &StreamId) -> Option<(Arc<dyn Spawn>, Arc<Registry>)> {
        let mut slots = lock(&self.slots);
        let begun = self.running.get().zip(self.me.upgrade());
        if begun.is_none() {
            slots.remove(id);
            self.fan_out_cleanup.forget(id);
        }
        begun.map(|((tasks, _), registry)| (Arc::clone(tasks), registry))
    }

    async fn leave(&self, id: &StreamId) {
        let (done, when_done) = oneshot::channel();
        let stop = Change::Stop { stream: id.clone(), asks: self.fan_out_cleanup.has(id) };
        // A worker that has ended has released everything, and has checked its fan-out consumers
        // itself.
        if self.ask.send(Ask::Change(stop, done)).is_ok()
            && let Ok(elsewhere) = when_done.await
        {
            self.fan_out_cleanup.left(id, elsewhere).await;
        }
        lock(&self.slots).remove(id);
    }

    fn find(&self, stream: &StreamRef) -> Result<(StreamId, Arc<StreamSlot>), Error> {
        let slots = lock(&self.slots);
        let is_meant = |slot: &StreamSlot| match stream {
            StreamRef::Name(name) => name == StreamRef::from(slot.served.keys.identity.arn.as_str()).name(),
            StreamRef::Arn(arn) => *arn == slot.served.keys.identity.arn,
        };
        let mut meant = slots.iter().filter(|(_, slot)| is_meant(slot));
        let wrong = |why: &str| Err(Error::new(Code::WorkerState, format!("stream `{stream}` {why}")));
        match (meant.next(), meant.next()) {
            (Some((id, slot)), None) => Ok((id.clone(), Arc::clone(slot))),
            (Some(_), Some(_)) => wrong("matches several of this worker's streams: use the ARN"),
            (None, _) => wrong("is not one of this worker's streams"),
        }
    }

    /// Called when Kinesis reports that the stream does not exist.
    pub(super) fn on_missing(&self, id: &StreamId) {
        if let (Some(slot), Some((tasks, _))) = (self.miss(id), self.running.get()) {
            tasks.spawn(poll_until_found(self.me.clone(), slot, self.settings.shard_sync_interval).boxed());
        }
    }

    /// Called when another stream has the stream's name.
    pub(super) fn on_made_again(&self, id: &StreamId, description: StreamDescription) {
        if let Some(slot) = self.miss(id) {
            self.on_found(&slot, description);
        }
    }

    /// Stops serving the stream because it does not exist. Does nothing if another task was faster.
    fn miss(&self, id: &StreamId) -> Option<Arc<StreamSlot>> {
        let slot = lock(&self.slots).get(id).cloned()?;
        {
            let mut state = lock(&slot.state);
            if *state != State::Served {
                return None;
            }
            *state = State::Missing;
        }
        let (done, _) = oneshot::channel();
        let _ = self.ask.send(Ask::Change(Change::Missing(id.clone()), done));
        Some(slot)
    }

    /// Called when the stream exists again, or a new one with its name does.
    fn on_found(&self, slot: &Arc<StreamSlot>, description: StreamDescription) {
        let mut state = lock(&slot.state);
        if *state != State::Missing {
            return;
        }
        let served = if description.identity == slot.served.keys.identity {
            *state = State::Served;
            slot.served.clone()
        } else {
            *state = State::Leaving;
            drop(state);
            if let Some(id) = &slot.served.keys.id {
                lock(&self.slots).remove(id);
                self.fan_out_cleanup.forget(id);
            }
            let api = slot.connected.clone();
            let Ok(served) = self.insert(slot.config.clone(), Connection { api, description }) else { return };
            served
        };
        let (done, _) = oneshot::channel();
        let _ = self.ask.send(Ask::Change(Change::Serve(Box::new(served)), done));
    }

    fn host_of(&self, lease: &LeaseKey) -> Option<Arc<dyn ConsumerSet>> {
        let slot = lock(&self.slots).get(&lease.stream()?).cloned()?;
        let (tasks, clock) = self.running.get()?;
        let host = slot.host.get_or_init(|| {
            let handling = self.failure_handling.clone().handling(&slot.settings, slot.keyed);
            let scope = slot.served.keys.id.as_ref().map(|id| self.scope.of_stream(id.as_str()));
            let tasks = ScopedTasks::of(tasks.clone(), scope.unwrap_or_else(|| self.scope.clone()));
            let with = ConsumerParts {
                tasks,
                stream: slot.config.stream.clone(),
                config: HandlingConfig::from(&slot.settings),
                clock: clock.clone(),
                rng: self.rng(),
            };
            let first = mutated!(ReadsTheFirstStream).then(|| lock(&self.slots).values().next().cloned());
            let readers = first.flatten().map_or_else(|| Arc::clone(&slot.readers), |first| Arc::clone(&first.readers));
            let host = (slot.config.host)(with, readers, handling);
            lock(&self.hosts).push(Arc::clone(&host));
            host
        });
        Some(Arc::clone(host))
    }
}

/// Polls until the stream exists again, is removed, or the worker ends.
async fn poll_until_found(registry: Weak<Registry>, slot: Arc<StreamSlot>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        let Some(registry) = registry.upgrade().filter(|registry| !registry.ask.is_closed()) else { return };
        if *lock(&slot.state) != State::Missing {
            return;
        }
        if let Ok(description) = with_call_deadline(|| DESCRIBE.to_owned(), slot.reading.describe()).await {
            return registry.on_found(&slot, description);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn id_of(identity: &StreamIdentity) -> Result<StreamId, Error> {
    identity.id().ok_or_else(|| {
        let message =
            format!("`{}` is not the ARN of a stream, which lease keys of several streams need", identity.arn);
        Error::new(Code::Setting, message)
    })
}

fn ended() -> Error {
    Error::new(Code::WorkerState, "the worker has ended and reads no streams")
}

fn named_twice(stream: &StreamIdentity, other: &StreamIdentity) -> Error {
    let message = if stream == other {
        format!("this worker already reads stream `{}`", stream.arn)
    } else {
        format!(
            "streams `{}` and `{}` were created in the same second and differ only in their Region, which lease keys do \
             not contain: they cannot share a lease table",
            stream.arn, other.arn
        )
    };
    Error::new(Code::Setting, message)
}

impl StreamApis for Registry {
    fn api(&self, stream: Option<&StreamId>) -> Option<Api> {
        lock(&self.slots).get(stream?).map(|slot| slot.coordination.clone())
    }
}

impl StartConsumer for Registry {
    fn start(&self, delivery: Arc<ShardDelivery>) {
        match self.host_of(&delivery.claim.lease) {
            Some(host) => host.start(delivery),
            // The stream was removed at the same moment.
            None => delivery.report(ReportKind::Gone),
        }
    }
}

#[async_trait]
impl ConsumerSet for Registry {
    async fn all_gone(&self) {
        let hosts = lock(&self.hosts).clone();
        for host in hosts {
            host.all_gone().await;
        }
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("streams", &lock(&self.slots).keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
