//! Builds a worker of several streams.

use super::config::StreamConfig;
use super::registry::Registry;
use crate::config::Settings;
use crate::error::{Code, Error};
use crate::lease::LeaseStore;
use crate::worker::builder::{Base, Source, Spec, WorkerBuilder};
use crate::worker::connection::{self, Connect};
use crate::worker::fleet_membership::Asks;
use crate::worker::handle::{Reads, Worker};
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
    /// - Leases are balanced over the fleet all together, whichever stream they are of.
    /// - Workers of a fleet may serve different streams, for as long as you like: a lease goes only to workers that serve its
    ///   stream. So streams are added and removed by a rolling deploy, or while workers run, with
    ///   [`WorkerHandle::add_stream`](crate::WorkerHandle::add_stream) and
    ///   [`WorkerHandle::remove_stream`](crate::WorkerHandle::remove_stream).
    /// - What no worker serves rests: its leases stay in the table, unowned, and go on where they stood when somebody serves
    ///   the stream again.
    /// - A stream that is deleted rests too, with one warning, and does not concern the others. It is looked for every
    ///   `shard_sync_interval`. One that is made again under its name is another stream, with leases of its own, and is read
    ///   from its `start`; also where the worker did not notice that the former one was gone. (So where a shard is read from its
    ///   beginning, or from a moment on, DescribeStreamSummary is called too, at most once a second.)
    /// - A stream that cannot be read (a permission is missing, say) does not stop the worker, whatever the error policy decides
    ///   for that: its shards are tried again, and given to other workers after a minute.
    /// - The byte budget is one for all streams.
    /// - Each stream is read as the setting `retrieval` says, or in a way of its own ([`StreamConfig::retrieval`]). By fan-out each
    ///   has a consumer of its own, found or registered by the stream's own clients: the one that `consumer_name` names in all of
    ///   them, or its own ([`StreamConfig::consumer_name`], [`StreamConfig::consumer_arn`]).
    ///
    /// # When consumers are removed
    /// With the setting `deregister_consumer`, of each stream by the last worker that stops serving it, in an orderly way: at its
    /// end, or when the stream is removed from it. Who else serves a stream is what the table says once this worker has said there
    /// that it does not. So of workers that stop serving it together at least one finds nobody, and:
    ///
    /// - a consumer is not removed while another worker of the fleet says that it serves the stream. A worker that died counts
    ///   until the fleet has noticed (`failover_time`); where its consumers stay for that, the workers that had served the stream
    ///   before look again at their own end.
    /// - a worker that begins to serve a stream in the very moment in which its consumer goes registers it anew. With `auto` it
    ///   polls until then; nothing is lost.
    /// - what nobody is there to remove stays, and is billed: the consumers of a fleet whose last worker was killed, and those
    ///   that were given by their ARN.
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

    /// Uses this lease store instead of DynamoDB, for tests and simulations, with streams that have a
    /// `StreamConfig::with_api`.
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
        let Base { id, table, mut rng, clock, runtime, settings, failing, budget, source, spec, mut link, scope } =
            base;
        let Streams(configs) = reads;
        for config in &configs {
            config.check(&settings)?;
        }
        let way = Way::of(source).await?;
        let connect = way.connect(configs.clone(), spec, rng.fork())?;
        let asks = settings.deregister_consumer.then(|| Asks::WhoServes(id.clone()));
        let (hosted, connections) = host::connect(&runtime, connect, asks, scope.clone()).await?;
        let elsewhere = failing.store.is_some();
        let registry = Registry::new(
            settings.clone(),
            failing,
            budget,
            #[cfg(feature = "aws")]
            way.clients,
            link.handle.ask.clone(),
            rng.fork(),
            scope.clone(),
        );
        for (config, connection) in configs.into_iter().zip(connections) {
            registry.insert(config, connection)?;
        }
        link.handle.streams = Some(Arc::clone(&registry));
        let reads = Reads::Several(registry);
        Ok(Worker { id, table, reads, settings, clock, rng, hosted, elsewhere, runtime, link, scope })
    }
}

/// The way to the lease table and the streams.
struct Way {
    store: Option<Arc<dyn LeaseStore>>,
    #[cfg(feature = "aws")]
    clients: Option<crate::aws::Clients>,
}

impl Way {
    #[cfg_attr(not(feature = "aws"), allow(clippy::unused_async))]
    async fn of(source: Source) -> Result<Self, Error> {
        #[cfg(feature = "aws")]
        {
            let clients = match source {
                Source::Store(store) => return Ok(Way { store: Some(store), clients: None }),
                Source::Environment => crate::aws::Clients::from_environment().await?,
                Source::Config(config) => crate::aws::Clients::from_config(&config)?,
                Source::Clients(clients) => *clients,
            };
            Ok(Way { store: None, clients: Some(clients) })
        }
        #[cfg(not(feature = "aws"))]
        match source {
            Source::Store(store) => Ok(Way { store: Some(store) }),
            Source::Missing => Ok(Way { store: None }),
        }
    }

    #[cfg_attr(not(feature = "aws"), allow(unused_variables))]
    fn connect(&self, configs: Vec<StreamConfig>, spec: Spec, rng: fastrand::Rng) -> Result<Connect, Error> {
        #[cfg(feature = "aws")]
        if let Some(clients) = &self.clients {
            let reading = |config: StreamConfig| -> Result<_, Error> {
                let reading = crate::aws::DryRun::of(&config.settings(&spec.settings)?, &spec.application);
                Ok((config, reading))
            };
            let configs = configs.into_iter().map(reading).collect::<Result<_, Error>>()?;
            return Ok(super::connect::connect(configs, clients.clone(), spec.into_table(), rng));
        }
        let apis: Result<Vec<_>, Error> = configs.iter().map(StreamConfig::given).collect();
        match &self.store {
            Some(store) => Ok(connection::given(store.clone(), apis?, spec.settings.start_deadline).boxed()),
            None => {
                let message = "give the worker a table with `with_store`: this build has no AWS SDK (feature `aws`)";
                Err(Error::new(Code::Setting, message))
            }
        }
    }
}
