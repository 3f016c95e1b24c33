//! Builds a worker of several streams.

use super::config::StreamConfig;
use super::registry::Registry;
use crate::config::Settings;
use crate::error::{Code, Error};
use crate::lease::LeaseStore;
use crate::worker::builder::{Prepared, Source, TableRequest, WorkerBuilder};
use crate::worker::connection::{self, Connect};
use crate::worker::fleet_membership::MembershipQuery;
use crate::worker::handle::{ReadStreams, Worker};
use crate::worker::host;
use futures_util::FutureExt;
use std::sync::Arc;

/// Type state of a builder for several streams.
///
/// [`Worker::of_streams`] returns such a builder; a function that takes or returns it names this
/// type:
///
/// ```
/// use kcl_core::{Settings, Streams, Worker, WorkerBuilder};
///
/// fn ledger(settings: Settings) -> WorkerBuilder<Streams> {
///     Worker::of_streams("ledger").settings(settings)
/// }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Streams(Vec<StreamConfig>);

impl Worker {
    /// Builds a worker of `application` that reads several streams: one fleet and one lease table
    /// for all of them.
    ///
    /// ```no_run
    /// # use kcl_core::prelude::*;
    /// # use kcl_core::{Start, StreamConfig};
    /// # #[derive(Default)] struct Orders;
    /// # impl RecordProcessor for Orders {
    /// #     async fn process_records(&mut self, _: &Batch, _: &ShardContext) -> Result<(), BoxError> { Ok(()) }
    /// # }
    /// # type Payments = Orders;
    /// # async fn example() -> Result<(), kcl_core::Error> {
    /// let payments = "arn:aws:kinesis:eu-west-1:123456789012:stream/payments";
    /// Worker::of_streams("ledger")
    ///     .stream(StreamConfig::new("orders", |_| Orders::default()))
    ///     .stream(StreamConfig::new(payments, |_| Payments::default()).start(Start::Latest))
    ///     .build()
    ///     .await?
    ///     .run()
    ///     .await
    /// # }
    /// ```
    ///
    /// # Guarantees
    /// Each stream has all guarantees of a worker of one stream. Beyond that:
    ///
    /// - The leader balances the leases of all streams together.
    /// - Workers of a fleet may serve different streams: a lease goes only to workers that serve
    ///   its stream. So streams can be added and removed by a rolling deploy, or while workers run,
    ///   with [`WorkerHandle::add_stream`](crate::WorkerHandle::add_stream) and
    ///   [`WorkerHandle::remove_stream`](crate::WorkerHandle::remove_stream).
    /// - Leases of a stream that no worker serves stay in the table without an owner. They continue
    ///   from their checkpoints when a worker serves the stream again.
    /// - A stream that is deleted causes one warning, and does not affect the others. The worker
    ///   looks for it every `shard_sync_interval`. A stream that is created again under its name is
    ///   another stream: it has leases of its own and is read from its `start`, even if the worker
    ///   did not notice the deletion. (To detect that, the worker also calls DescribeStreamSummary,
    ///   at most once per second, when it reads a shard from its beginning or from a timestamp.)
    /// - A stream that cannot be read (for example, because a permission is missing) never stops
    ///   the worker, whatever the error policy decides. Reads are retried, and after a minute other
    ///   workers get its shards.
    /// - All streams share one byte budget.
    /// - Each stream is read as the setting `retrieval` says, unless it has its own
    ///   ([`StreamConfig::retrieval`]). With fan-out, each stream has its own consumer, found or
    ///   registered through the stream's clients: with the name in `consumer_name`, or with its own
    ///   name or ARN ([`StreamConfig::consumer_name`], [`StreamConfig::consumer_arn`]).
    ///
    /// # Deregistration of consumers
    /// With the setting `deregister_consumer`, the last worker that gracefully stops serving a
    /// stream deregisters the stream's consumer: at the worker's end, or when the stream is removed
    /// from it. The worker first stores that it no longer serves the stream, then reads which
    /// workers do. So of several workers that stop at the same time, at least one finds no other:
    ///
    /// - No consumer is deregistered while another worker's session row names the stream. A dead
    ///   worker counts until its session has ended (`failover_time`). If a consumer stays because
    ///   of that, the workers that served the stream before check again at their own end.
    /// - A worker that starts to serve a stream while its consumer is being deregistered registers
    ///   it again. With `auto` it polls until then. No record is lost.
    /// - Consumers stay, and are billed, if the last worker was killed, or if they were configured
    ///   by ARN.
    ///
    /// Without the setting, consumers stay.
    ///
    /// Lease keys are those of Java KCL's multi-stream mode, `<account>:<stream>:<creation
    /// time>:<shard>`: the fleet can take over such a table, and hand it back. A table of a worker
    /// of one stream has other keys and is refused ([`Code::LeaseKeys`]), even if this worker has a
    /// single stream.
    pub fn of_streams(application: impl Into<String>) -> WorkerBuilder<Streams> {
        WorkerBuilder::of(application.into(), Streams::default())
    }
}

impl WorkerBuilder<Streams> {
    /// Adds a stream.
    #[must_use]
    pub fn stream(mut self, stream: StreamConfig) -> Self {
        self.reads.0.push(stream);
        self
    }

    /// Uses this lease store instead of DynamoDB, for tests and simulations, with streams that have
    /// a `StreamConfig::with_api`.
    #[cfg_attr(not(feature = "unstable-store"), doc(hidden))]
    #[must_use]
    pub fn with_store(mut self, store: Arc<dyn LeaseStore>) -> Self {
        self.source = Source::Store(store);
        self
    }

    /// Checks settings, credentials, all streams and the lease table, creates the table if it does
    /// not exist, and connects. A worker without streams waits until one is added.
    ///
    /// # Errors
    /// Within seconds. The message names the setting, or the action and the resource, and the
    /// remedy.
    pub async fn build(self) -> Result<Worker, Error> {
        let (reads, base) = self.begin(Settings::validate_for_several)?;
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
            mut channels,
            scope,
        } = base;
        let Streams(configs) = reads;
        for config in &configs {
            config.check(&settings)?;
        }
        let backend = Backend::of(source).await?;
        let connect = backend.connect(configs.clone(), table_request, rng.fork())?;
        let query = settings.deregister_consumer.then(|| MembershipQuery::StreamsOfOthers(id.clone()));
        let (hosted, connections) = host::connect(&runtime, connect, query, scope.clone()).await?;
        let has_store = failure_handling.store.is_some();
        let registry = Registry::new(
            settings.clone(),
            failure_handling,
            budget,
            #[cfg(feature = "aws")]
            backend.clients,
            channels.handle.ask.clone(),
            rng.fork(),
            scope.clone(),
        );
        for (config, connection) in configs.into_iter().zip(connections) {
            registry.check_start(&config).await?;
            registry.insert(config, connection)?;
        }
        channels.handle.streams = Some(Arc::clone(&registry));
        let reads = ReadStreams::Several(registry);
        Ok(Worker { id, table, reads, settings, clock, rng, hosted, has_store, runtime, channels, scope })
    }
}

/// The way to the lease table and the streams.
struct Backend {
    store: Option<Arc<dyn LeaseStore>>,
    #[cfg(feature = "aws")]
    clients: Option<crate::aws::Clients>,
}

impl Backend {
    #[cfg_attr(not(feature = "aws"), allow(clippy::unused_async))]
    async fn of(source: Source) -> Result<Self, Error> {
        #[cfg(feature = "aws")]
        {
            let clients = match source {
                Source::Store(store) => return Ok(Backend { store: Some(store), clients: None }),
                Source::Environment => crate::aws::Clients::from_environment().await?,
                Source::Config(config) => crate::aws::Clients::from_config(&config)?,
                Source::Clients(clients) => *clients,
            };
            Ok(Backend { store: None, clients: Some(clients) })
        }
        #[cfg(not(feature = "aws"))]
        match source {
            Source::Store(store) => Ok(Backend { store: Some(store) }),
            Source::Missing => Ok(Backend { store: None }),
        }
    }

    #[cfg_attr(not(feature = "aws"), allow(unused_variables))]
    fn connect(
        &self,
        configs: Vec<StreamConfig>,
        table_request: TableRequest,
        rng: fastrand::Rng,
    ) -> Result<Connect, Error> {
        #[cfg(feature = "aws")]
        if let Some(clients) = &self.clients {
            let reading = |config: StreamConfig| -> Result<_, Error> {
                let reading =
                    crate::aws::DryRun::of(&config.settings(&table_request.settings)?, &table_request.application);
                Ok((config, reading))
            };
            let configs = configs.into_iter().map(reading).collect::<Result<_, Error>>()?;
            return Ok(super::connect::connect(configs, clients.clone(), table_request.into_table(), rng));
        }
        let apis: Result<Vec<_>, Error> = configs.iter().map(StreamConfig::given).collect();
        match &self.store {
            Some(store) => Ok(connection::given(store.clone(), apis?, table_request.settings.start_deadline).boxed()),
            None => {
                let message = "this build has no AWS SDK (feature `aws`): set the lease store with `with_store`";
                Err(Error::new(Code::Setting, message))
            }
        }
    }
}
