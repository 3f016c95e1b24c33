//! Describes one of several streams, as the user configures it.

use super::read_overrides::ReadOverrides;
use crate::config::{Retrieval, Settings, Start};
use crate::error::{Code, Error};
use crate::processor::{HandlerConfig, RecordProcessor};
use crate::record::{ShardId, StreamRef};
use crate::retrieval::Readers;
use crate::shard::StreamApi;
use crate::worker::builder::{LONGEST_STREAM_NAME, check_name};
use crate::worker::handle::{ConsumerParts, ConsumerSet};
use std::fmt;
use std::sync::Arc;

/// A connection to a stream.
pub(super) type Api = Arc<dyn StreamApi>;

/// Makes the host of a stream's consumers.
pub(super) type MakeHost =
    Arc<dyn Fn(ConsumerParts, Arc<dyn Readers>, HandlerConfig) -> Arc<dyn ConsumerSet> + Send + Sync>;

/// One of the streams of a worker: its name or ARN, the start position, the processors of its
/// records.
///
/// It may differ from the worker's settings in how it is read and through which clients. All other
/// settings, the error policy and the dead-letter sink are the worker's.
///
/// ```
/// # use kcl_core::prelude::*;
/// use kcl_core::{Retrieval, Start, StreamConfig};
/// # #[derive(Default)] struct Orders;
/// # impl RecordProcessor for Orders {
/// #     async fn process_records(&mut self, _: &Batch, _: &ShardContext) -> Result<(), BoxError> {
/// Ok(()) }
/// # }
///
/// let orders = StreamConfig::new("orders", |_: &ShardId| Orders::default())
///     .start(Start::Latest)
///     .retrieval(Retrieval::Auto)
///     .consumer_name("ledger");
/// # drop(orders);
/// ```
#[derive(Clone)]
#[must_use = "a stream is read when a worker is given it"]
pub struct StreamConfig {
    pub(super) stream: StreamRef,
    pub(super) start: Option<Start>,
    pub(super) access: StreamAccess,
    pub(super) reading: ReadOverrides,
    pub(super) host: MakeHost,
}

/// The way to a stream.
#[derive(Clone)]
pub(super) enum StreamAccess {
    /// Through the worker's clients.
    AsTheWorker,
    /// In AWS, with this configuration.
    #[cfg(feature = "aws")]
    Config(Box<aws_types::SdkConfig>),
    /// Through these clients, for readers and for the coordination.
    #[cfg(feature = "aws")]
    Clients(Box<(aws_sdk_kinesis::Client, aws_sdk_kinesis::Client)>),
    /// The caller's own stream.
    Given(Arc<dyn StreamApi>),
}

impl StreamConfig {
    /// A stream, by its name or ARN, and the factory of processors for its shards. As for
    /// [`processor`](crate::WorkerBuilder::processor), the worker calls the factory for each lease
    /// that it claims, once per lane.
    pub fn new<F, P>(stream: impl Into<StreamRef>, factory: F) -> Self
    where
        F: Fn(&ShardId) -> P + Send + Sync + 'static,
        P: RecordProcessor,
    {
        let factory = Arc::new(factory);
        let host: MakeHost = Arc::new(move |with: ConsumerParts, readers, handling| {
            let factory = Arc::clone(&factory);
            with.host(readers, move |shard: &ShardId| factory(shard), handling)
        });
        StreamConfig {
            stream: stream.into(),
            start: None,
            access: StreamAccess::AsTheWorker,
            reading: ReadOverrides::default(),
            host,
        }
    }

    /// Sets where reading starts in shards without a checkpoint; the worker's setting `start` if
    /// not set.
    pub fn start(mut self, start: Start) -> Self {
        self.start = Some(start);
        self
    }

    /// Sets how this stream's shards are read; the worker's setting `retrieval` if not set.
    pub fn retrieval(mut self, retrieval: Retrieval) -> Self {
        self.reading.retrieval = Some(retrieval);
        self
    }

    /// Sets the name of this stream's fan-out consumer, which is registered through the stream's
    /// own clients if it does not exist; the worker's setting `consumer_name` if not set, else the
    /// application's name.
    pub fn consumer_name(mut self, name: impl Into<String>) -> Self {
        self.reading.consumer_name = Some(name.into());
        self
    }

    /// Uses an existing fan-out consumer of this stream instead of one by name. The worker never
    /// deregisters it, whatever `deregister_consumer` is. (`StreamConfig.consumerArn` of Java KCL's
    /// multi-stream mode.)
    ///
    /// Building the worker, or adding the stream, fails if the consumer belongs to another stream.
    pub fn consumer_arn(mut self, arn: impl Into<String>) -> Self {
        self.reading.consumer_arn = Some(arn.into());
        self
    }

    /// Sets Region, endpoint and credentials for this stream, if they differ from the worker's.
    #[cfg(feature = "aws")]
    pub fn sdk_config(mut self, config: &aws_types::SdkConfig) -> Self {
        self.access = StreamAccess::Config(Box::new(config.clone()));
        self
    }

    /// Uses the caller's own clients: one for readers, and one through which the coordination lists
    /// shards. The retries of the second one should be off (see
    /// [`Clients::given`](crate::aws::Clients::given)).
    #[cfg(feature = "aws")]
    pub fn clients(mut self, kinesis: aws_sdk_kinesis::Client, coordination_kinesis: aws_sdk_kinesis::Client) -> Self {
        self.access = StreamAccess::Clients(Box::new((kinesis, coordination_kinesis)));
        self
    }

    /// Uses this stream instead of Kinesis, for tests and simulations.
    #[cfg_attr(not(feature = "unstable-store"), doc(hidden))]
    pub fn with_api(mut self, api: Arc<dyn StreamApi>) -> Self {
        self.access = StreamAccess::Given(api);
        self
    }
}

impl StreamConfig {
    /// Checks the configuration, as far as possible without a call.
    pub(super) fn check(&self, of_worker: &Settings) -> Result<(), Error> {
        check_name("the stream's name", self.stream.name(), LONGEST_STREAM_NAME)?;
        if let Some(start) = self.start {
            let mut wrong = Vec::new();
            of_worker.clone().start(start).check_times(&mut wrong);
            if !wrong.is_empty() {
                let message = format!("stream `{}`: {}", self.stream, wrong.join("; "));
                return Err(Error::new(Code::Setting, message));
            }
        }
        self.settings(of_worker).map(drop)
    }

    /// The worker's settings with this stream's differences.
    pub(super) fn settings(&self, of_worker: &Settings) -> Result<Settings, Error> {
        self.reading.settings(of_worker, &self.stream)
    }

    /// The caller's own stream, for a worker without clients.
    pub(super) fn given(&self) -> Result<Api, Error> {
        if let StreamAccess::Given(api) = &self.access {
            return Ok(Arc::clone(api));
        }
        let message = format!(
            "there is no client for stream `{}`: the worker has a lease store of its own, so set `with_api` for the stream",
            self.stream
        );
        Err(Error::new(Code::Setting, message))
    }
}

impl fmt::Debug for StreamConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamConfig")
            .field("stream", &self.stream)
            .field("start", &self.start)
            .field("reading", &self.reading)
            .finish_non_exhaustive()
    }
}
