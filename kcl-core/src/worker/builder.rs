//! Builds a worker from names, settings, clients and a processor factory.

use super::connection::{self, Connect};
use super::fan_out_cleanup::FanOutCleanup;
use super::far_start::check_start;
use super::fleet_membership::MembershipQuery;
use super::handle::{ConsumerParts, ConsumerSet, HandleChannels, ReadStreams, Worker};
use super::host::{self, Runtime};
use super::replay::check_range;
use crate::clock::{BootClock, Clock, TokioClock};
use crate::config::{
    BalanceBy, Concurrency, CorruptAggregates, OnFleetSettings, Parser, Retrieval, RetrievalConfig, Settings, Start,
    setters, stream_of_consumer, with_settings,
};
use crate::error::{Code, Error};
use crate::lease::LeaseStore;
use crate::lease::row::WorkerId;
use crate::processor::{CheckpointStore, DeadLetterSink, ErrorPolicy, OnError, RecordProcessor};
use crate::record::aggregate::{Checksum, ForeignRecords};
use crate::record::{ShardId, StreamRef};
use crate::retrieval::polling::LARGEST_CALL;
use crate::retrieval::{self, ByteBudget, StreamReaders};
use crate::shard::StreamApi;
use crate::spawn::Spawn;
use crate::telemetry::Scope;
use futures_util::FutureExt;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Type state of a builder for one stream, before the processor is set.
#[derive(Clone, Debug)]
pub struct NoProcessor {
    stream: StreamRef,
    api: Option<Arc<dyn StreamApi>>,
    /// The lease store, if it is not DynamoDB and the stream is in AWS.
    pub(super) table: Option<Arc<dyn LeaseStore>>,
}

/// Type state of a builder for one stream, with the factory of processors.
pub struct OneStream<F> {
    stream: NoProcessor,
    factory: F,
}

/// Builds a [`Worker`]: [`Worker::builder`] for one stream, [`Worker::of_streams`] for several.
///
/// It has a setter for each of the [`settings`](crate::settings). Setters may come in any order.
///
/// ```no_run
/// use kcl_core::{policy::sink_fn, prelude::*};
/// use std::time::Duration;
/// # struct Delays;
/// # impl RecordProcessor for Delays {
/// #     async fn process_records(&mut self, _: &Batch, _: &ShardContext) -> Result<(), BoxError> { Ok(()) }
/// # }
///
/// # async fn example() -> Result<(), kcl_core::Error> {
/// let worker = Worker::builder("delays", "flights")
///     .settings(Settings::from_env_iter(std::env::vars())?) // KCL_FAILOVER_TIME=5s ...
///     .worker_id("delays-0") // a StatefulSet's pod, say
///     .concurrency(Concurrency::PerKey(16))
///     .checkpoint_interval(Duration::from_secs(10))
///     .error_policy(OnError::retry().max_attempts(10).then(FinalAction::DeadLetter))
///     .dead_letters(sink_fn(|letter| async move {
///         eprintln!("{}: {}", letter.idempotency_key(), letter.error);
///         Ok(())
///     }))
///     .processor(|_: &ShardId| Delays)
///     .build()
///     .await?;
/// # drop(worker);
/// # Ok(())
/// # }
/// ```
pub struct WorkerBuilder<R = NoProcessor> {
    application: String,
    settings: Settings,
    worker_id: Option<String>,
    pub(super) source: Source,
    clock: Option<Arc<dyn Clock>>,
    seed: Option<u64>,
    runtime: Runtime,
    pub(super) failure_handling: FailureHandling,
    /// The streams to read, with their processors.
    pub(super) reads: R,
}

/// The checked parts that workers of one stream and of several streams have in common.
pub(super) struct Prepared {
    pub(super) id: WorkerId,
    pub(super) table: String,
    pub(super) rng: fastrand::Rng,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) runtime: Runtime,
    pub(super) settings: Settings,
    pub(super) failure_handling: FailureHandling,
    pub(super) budget: ByteBudget,
    pub(super) source: Source,
    pub(super) table_request: TableRequest,
    pub(super) channels: HandleChannels,
    pub(super) scope: Scope,
}

/// What is needed to create the lease table.
#[cfg_attr(not(feature = "aws"), allow(dead_code, reason = "only DynamoDB needs it"))]
pub(super) struct TableRequest {
    pub(super) application: String,
    pub(super) table: String,
    pub(super) settings: Settings,
}

/// The user's error policy, dead-letter sink and checkpoint store.
#[derive(Clone)]
pub(super) struct FailureHandling {
    pub(super) policy: Arc<dyn ErrorPolicy>,
    pub(super) sink: Option<Arc<dyn DeadLetterSink>>,
    pub(super) store: Option<Arc<dyn CheckpointStore>>,
}

impl Default for FailureHandling {
    fn default() -> Self {
        FailureHandling { policy: Arc::new(OnError::retry()), sink: None, store: None }
    }
}

/// Where the lease table is, and the streams that do not name another place.
pub(super) enum Source {
    /// In AWS, with the configuration from the environment.
    #[cfg(feature = "aws")]
    Environment,
    /// In AWS, with this configuration.
    #[cfg(feature = "aws")]
    Config(Box<aws_types::SdkConfig>),
    /// In AWS, through these clients.
    #[cfg(feature = "aws")]
    Clients(Box<crate::aws::Clients>),
    /// In the caller's store.
    Store(Arc<dyn LeaseStore>),
    /// Not set yet: a build without the AWS SDK has no default.
    #[cfg(not(feature = "aws"))]
    Missing,
}

impl Worker {
    /// Builds a worker of `application` that reads `stream`: a name, or the ARN of a stream in
    /// another account.
    ///
    /// All workers of an application form one fleet and share its lease table. The table has the
    /// application's name, unless the setting `table_name` has another one.
    pub fn builder(application: impl Into<String>, stream: impl Into<StreamRef>) -> WorkerBuilder {
        WorkerBuilder::of(application.into(), NoProcessor { stream: stream.into(), api: None, table: None })
    }
}

impl<R> WorkerBuilder<R> {
    pub(super) fn of(application: String, reads: R) -> Self {
        WorkerBuilder {
            application,
            settings: Settings::default(),
            worker_id: None,
            #[cfg(feature = "aws")]
            source: Source::Environment,
            #[cfg(not(feature = "aws"))]
            source: Source::Missing,
            clock: None,
            seed: None,
            runtime: Runtime::Own,
            failure_handling: FailureHandling::default(),
            reads,
        }
    }

    /// Checks and takes apart what all kinds of workers have in common.
    pub(super) fn begin(self, validate: impl FnOnce(&Settings) -> Result<(), Error>) -> Result<(R, Prepared), Error> {
        let WorkerBuilder { application, settings, worker_id, source, clock, seed, runtime, failure_handling, reads } =
            self;
        validate(&settings)?;
        failure_handling.check(&settings)?;
        check_name("the application's name", &application, LONGEST_APPLICATION)?;
        if !matches!(source, Source::Store(_)) {
            check_application(&application, &settings)?;
        }
        let mut rng = generator(seed);
        let id = match worker_id {
            Some(id) => WorkerId::parse(id).map_err(|error| Error::new(Code::WorkerId, error.to_string()))?,
            None => WorkerId::from_row(&format!("worker-{:016x}", rng.u64(..))),
        };
        let table = settings.table_name.clone().unwrap_or_else(|| application.clone());
        let clock = clock.unwrap_or_else(|| match &runtime {
            Runtime::Own => Arc::new(BootClock),
            Runtime::Current | Runtime::Given(_) => Arc::new(TokioClock::new()),
        });
        let budget = ByteBudget::new(settings.byte_budget, LARGEST_CALL);
        let scope = Scope::of_worker(&application, id.as_str());
        let table_request = TableRequest { application, table: table.clone(), settings: settings.clone() };
        let channels = HandleChannels::new();
        Ok((
            reads,
            Prepared {
                id,
                table,
                rng,
                clock,
                runtime,
                settings,
                failure_handling,
                budget,
                source,
                table_request,
                channels,
                scope,
            },
        ))
    }
}

impl<R> WorkerBuilder<R> {
    with_settings!(setters!);

    pub(super) fn settings_mut(&mut self) -> &mut Settings {
        &mut self.settings
    }

    /// Sets all settings at once.
    #[must_use]
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Sets the worker's id in its fleet; a random one if not set.
    ///
    /// With a stable id, a restarted process takes over its own former session: at once after a
    /// graceful shutdown, and after a crash as soon as the former process is known to be dead (at
    /// the latest after `failover_time`). Only one process may have the id at a time. A second one
    /// refuses to start while the first one is alive ([`Code::Replaced`]).
    #[must_use]
    pub fn worker_id(mut self, id: impl Into<String>) -> Self {
        self.worker_id = Some(id.into());
        self
    }

    /// Takes Region, endpoints, credentials and everything else from this configuration instead of
    /// the environment.
    #[cfg(feature = "aws")]
    #[must_use]
    pub fn sdk_config(mut self, config: &aws_types::SdkConfig) -> Self {
        self.source = Source::Config(Box::new(config.clone()));
        self
    }

    /// Uses the caller's own clients.
    #[cfg(feature = "aws")]
    #[must_use]
    pub fn clients(mut self, clients: crate::aws::Clients) -> Self {
        self.source = Source::Clients(Box::new(clients));
        self
    }

    /// Sets the clock for sessions and leases; time since boot if not set.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Sets the seed of all randomness (jitter, a random worker id); the system's entropy if not
    /// set.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Coordinates on the runtime that builds the worker, by its clock, instead of on a thread of
    /// its own.
    ///
    /// For tests under virtual time. In production, a handler that blocks its thread would then
    /// stop the worker's heartbeats.
    #[must_use]
    pub fn on_current_runtime(mut self) -> Self {
        self.runtime = Runtime::Current;
        self
    }

    /// Spawns all tasks of the worker through `tasks`, and uses the clock of the runtime that
    /// builds it. For simulations that freeze and kill workers.
    #[must_use]
    pub fn with_tasks(mut self, tasks: Arc<dyn Spawn>) -> Self {
        self.runtime = Runtime::Given(tasks);
        self
    }
}

impl WorkerBuilder<NoProcessor> {
    /// Keeps the leases in this store instead of DynamoDB.
    ///
    /// With a [`MemoryStore`](crate::lease::MemoryStore) a single process reads the stream without
    /// a lease table: every start reads from the setting `start`.
    #[must_use]
    pub fn with_store(mut self, store: Arc<dyn LeaseStore>) -> Self {
        self.reads.table = Some(store);
        self
    }

    /// Uses this lease store and this stream instead of AWS, for tests and simulations.
    #[cfg_attr(not(feature = "unstable-store"), doc(hidden))]
    #[must_use]
    pub fn with_store_and_stream(mut self, store: Arc<dyn LeaseStore>, stream: Arc<dyn StreamApi>) -> Self {
        self.source = Source::Store(store);
        self.reads.api = Some(stream);
        self
    }

    /// Sets the factory of processors. The worker calls it for each lease that it claims, once per
    /// lane.
    #[must_use]
    pub fn processor<G, P>(self, factory: G) -> WorkerBuilder<OneStream<G>>
    where
        G: Fn(&ShardId) -> P + Send + Sync + 'static,
        P: RecordProcessor,
    {
        let WorkerBuilder {
            application,
            settings,
            worker_id,
            source,
            clock,
            seed,
            runtime,
            failure_handling,
            reads: stream,
        } = self;
        let reads = OneStream { stream, factory };
        WorkerBuilder { application, settings, worker_id, source, clock, seed, runtime, failure_handling, reads }
    }
}

impl<F> WorkerBuilder<OneStream<F>> {
    /// [`with_store`](WorkerBuilder::with_store), once the processor is set.
    pub(super) fn on_store(mut self, store: Arc<dyn LeaseStore>) -> Self {
        self.reads.stream.table = Some(store);
        self
    }

    /// Wraps the factory of processors.
    pub(super) fn wrapped<G>(self, wrap: impl FnOnce(F) -> G) -> WorkerBuilder<OneStream<G>> {
        let WorkerBuilder { application, settings, worker_id, source, clock, seed, runtime, failure_handling, reads } =
            self;
        let reads = OneStream { stream: reads.stream, factory: wrap(reads.factory) };
        WorkerBuilder { application, settings, worker_id, source, clock, seed, runtime, failure_handling, reads }
    }
}

impl<F, P> WorkerBuilder<OneStream<F>>
where
    F: Fn(&ShardId) -> P + Send + Sync + 'static,
    P: RecordProcessor,
{
    /// Checks settings, credentials, stream and lease table, creates the table if it does not
    /// exist, and connects.
    ///
    /// # Errors
    /// Within seconds. The message names the setting, or the action and the resource, and the
    /// remedy.
    pub async fn build(self) -> Result<Worker, Error> {
        let (reads, base) = self.begin(Settings::validate)?;
        let OneStream { stream: NoProcessor { stream, api, table: store }, factory } = reads;
        let Prepared {
            id,
            table,
            mut rng,
            clock,
            runtime,
            settings,
            failure_handling,
            budget,
            source,
            table_request,
            channels,
            scope,
        } = base;
        check_name("the stream's name", stream.name(), LONGEST_STREAM_NAME)?;
        check_consumer(&settings, &stream)?;
        let application = table_request.application.clone();
        // Boxed because the future of the credentials chain is large.
        let (connect, api) = Box::pin(source.open(table_request, &stream, api, store, &mut rng)).await?;
        let query = settings.deregister_consumer.then_some(MembershipQuery::IsLast);
        let scope = scope.of_stream(stream.name());
        let (hosted, connections) = host::connect(&runtime, connect, query, scope.clone()).await?;
        let connection = connections
            .into_iter()
            .next()
            .ok_or_else(|| Error::new(Code::Bug, "a worker of one stream has no connection to it"))?;

        check_range(&settings, &connection, api.as_ref()).await?;
        check_start(&stream, settings.start, api.as_ref()).await?;
        let StreamReaders { readers, registrar } =
            retrieval::readers(&RetrievalConfig::from(&settings), &application, api, budget, &mut rng)?;
        let has_store = failure_handling.store.is_some();
        let handling = failure_handling.handling(&settings, connection.description.keyed);
        let consumers = move |with: ConsumerParts| -> Arc<dyn ConsumerSet> { with.host(readers, factory, handling) };
        let fan_out_cleanup = FanOutCleanup::default();
        if let Some(registrar) = registrar.filter(|_| settings.deregister_consumer) {
            fan_out_cleanup.insert(None, registrar);
        }
        let reads = ReadStreams::One { stream, connection, fan_out_cleanup, consumers: Box::new(consumers) };
        Ok(Worker { id, table, reads, settings, clock, rng, hosted, has_store, runtime, channels, scope })
    }
}

impl Source {
    /// Connects the coordination, and returns the stream for the readers.
    #[cfg_attr(not(feature = "aws"), allow(unused_variables, clippy::unused_async, clippy::needless_pass_by_ref_mut))]
    async fn open(
        self,
        table_request: TableRequest,
        stream: &StreamRef,
        api: Option<Arc<dyn StreamApi>>,
        table: Option<Arc<dyn LeaseStore>>,
        rng: &mut fastrand::Rng,
    ) -> Result<(Connect, Arc<dyn StreamApi>), Error> {
        #[cfg(feature = "aws")]
        {
            let clients = match (self, api) {
                (Source::Store(store), Some(api)) => {
                    return Ok((
                        connection::given(store, vec![api.clone()], table_request.settings.start_deadline).boxed(),
                        api,
                    ));
                }
                (Source::Environment | Source::Store(_), _) => crate::aws::Clients::from_environment().await?,
                (Source::Config(config), _) => crate::aws::Clients::from_config(&config)?,
                (Source::Clients(clients), _) => *clients,
            };
            let reading = crate::aws::KinesisStream::new(&clients.kinesis, stream.clone());
            let api: Arc<dyn StreamApi> = Arc::new(reading.parser(table_request.settings.parser));
            let dry_run = crate::aws::DryRun::of(&table_request.settings, &table_request.application);
            let connect = match table {
                Some(store) => {
                    let outage = table_request.settings.start_deadline;
                    super::connect::connect_with_store(clients, stream.clone(), store, dry_run, outage, rng.fork())
                }
                None => {
                    super::connect::connect(clients, stream.clone(), table_request.into_table(), dry_run, rng.fork())
                }
            };
            Ok((connect, api))
        }
        #[cfg(not(feature = "aws"))]
        match (self, api) {
            (Source::Store(store), Some(api)) => {
                Ok((connection::given(store, vec![api.clone()], table_request.settings.start_deadline).boxed(), api))
            }
            (Source::Store(_) | Source::Missing, _) => Err(no_sdk("`with_store_and_stream`")),
        }
    }
}

#[cfg(feature = "aws")]
impl TableRequest {
    pub(super) fn into_table(self) -> crate::aws::TableSpec {
        let TableRequest { application, table: name, settings } = self;
        crate::aws::TableSpec {
            name,
            application,
            deletion_protection: settings.deletion_protection,
            tags: settings.table_tags,
            checkpoint_interval: settings.checkpoint_interval,
            start_deadline: settings.start_deadline,
        }
    }
}

#[cfg(not(feature = "aws"))]
pub(super) fn no_sdk(with: &str) -> Error {
    let message = format!("this build has no AWS SDK (feature `aws`): set the lease store and the streams with {with}");
    Error::new(Code::Setting, message)
}

/// Makes the worker's random generator.
fn generator(seed: Option<u64>) -> fastrand::Rng {
    match seed {
        Some(seed) => fastrand::Rng::with_seed(seed),
        #[allow(clippy::disallowed_methods, reason = "the only source of entropy")]
        None => fastrand::Rng::new(),
    }
}

/// Refuses a fan-out consumer of another stream: a consumer reads only the stream that it is
/// registered with.
pub(super) fn check_consumer(settings: &Settings, stream: &StreamRef) -> Result<(), Error> {
    let Some(arn) = &settings.consumer_arn else { return Ok(()) };
    let of = stream_of_consumer(arn).unwrap_or_default();
    let same = match stream {
        StreamRef::Arn(stream) => of == stream,
        StreamRef::Name(name) => of.ends_with(&format!(":stream/{name}")),
    };
    let message = format!(
        "`consumer_arn` is `{arn}`, a consumer of another stream than `{stream}`: use a consumer of this stream"
    );
    if same { Ok(()) } else { Err(Error::new(Code::Setting, message)) }
}

/// Kinesis: the longest stream name.
pub(super) const LONGEST_STREAM_NAME: usize = 128;
/// DynamoDB and Kinesis: the longest tag value. A table that the worker creates has the
/// application's name in a tag.
const LONGEST_APPLICATION: usize = 256;

pub(super) fn check_name(what: &str, name: &str, longest: usize) -> Result<(), Error> {
    let fine = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    if (1..=longest).contains(&name.len()) && name.chars().all(fine) {
        return Ok(());
    }
    let message = format!("{what}, `{name}`, must have 1 to {longest} characters: letters, digits, `_`, `.` and `-`");
    Err(Error::new(Code::Setting, message))
}

/// Checks the application's name as the name of the lease table and the fan-out consumer, unless
/// settings name these.
fn check_application(application: &str, settings: &Settings) -> Result<(), Error> {
    let wrong = |what: &str, least: usize, most: usize, setting: &str| {
        let message = format!(
            "the application's name, `{application}`, is also {what}, for which AWS allows {least} to {most} characters: use \
             another name, or set `{setting}`"
        );
        Err(Error::new(Code::Setting, message))
    };
    if settings.table_name.is_none() && !(3..=255).contains(&application.len()) {
        return wrong("the name of its lease table", 3, 255, "table_name");
    }
    let names_consumer = settings.consumer_name.is_none() && settings.consumer_arn.is_none();
    if settings.retrieval != Retrieval::Polling && names_consumer && application.len() > 128 {
        return wrong("the name of its fan-out consumer", 1, 128, "consumer_name");
    }
    Ok(())
}

impl<F> fmt::Debug for OneStream<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OneStream").field("stream", &self.stream).finish_non_exhaustive()
    }
}

impl<R> fmt::Debug for WorkerBuilder<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerBuilder")
            .field("application", &self.application)
            .field("worker_id", &self.worker_id)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
