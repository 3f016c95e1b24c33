//! One of several streams, as a user describes it.

use super::reading::Reading;
use crate::config::{Settings, Start};
use crate::error::{Code, Error};
use crate::processor::{Handling, RecordProcessor};
use crate::record::{ShardId, StreamRef};
use crate::retrieval::{Readers, Retrieval};
use crate::shard::StreamApi;
use crate::worker::builder::{LONGEST_STREAM_NAME, check_name};
use crate::worker::handle::{Consumers, Consumption};
use std::fmt;
use std::sync::Arc;

/// A way to a stream.
pub(super) type Api = Arc<dyn StreamApi>;

/// Makes what starts a stream's consumers.
pub(super) type MakeHost = Arc<dyn Fn(Consumers, Arc<dyn Readers>, Handling) -> Arc<dyn Consumption> + Send + Sync>;

/// One of the streams of a worker: which one, where, from where on, and what handles its records.
///
/// And how it is read, where that is to be otherwise than the worker's settings say. Everything else (settings, error policy,
/// dead letters) is the worker's.
#[derive(Clone)]
#[must_use = "a stream is read when a worker is given it"]
pub struct StreamConfig {
    pub(super) stream: StreamRef,
    pub(super) start: Option<Start>,
    pub(super) reach: Reach,
    pub(super) reading: Reading,
    pub(super) host: MakeHost,
}

/// How a stream is reached.
#[derive(Clone)]
pub(super) enum Reach {
    /// By the worker's clients.
    AsTheWorker,
    /// In AWS, as this says.
    #[cfg(feature = "aws")]
    Config(Box<aws_types::SdkConfig>),
    /// By these clients, for reading and for the coordination.
    #[cfg(feature = "aws")]
    Clients(Box<(aws_sdk_kinesis::Client, aws_sdk_kinesis::Client)>),
    /// Brought by the caller.
    Given(Arc<dyn StreamApi>),
}

impl StreamConfig {
    /// A stream, by its name or its ARN, and what makes the processor of each of its shards. As with
    /// [`processor`](crate::WorkerBuilder::processor), the factory is called once for each lease that the worker acquires (once
    /// a lane, where [`Concurrency`](crate::Concurrency) has several).
    pub fn new<F, P>(stream: impl Into<StreamRef>, factory: F) -> Self
    where
        F: Fn(&ShardId) -> P + Send + Sync + 'static,
        P: RecordProcessor,
    {
        let factory = Arc::new(factory);
        let host: MakeHost = Arc::new(move |with: Consumers, readers, handling| {
            let factory = Arc::clone(&factory);
            with.host(readers, move |shard: &ShardId| factory(shard), handling)
        });
        StreamConfig {
            stream: stream.into(),
            start: None,
            reach: Reach::AsTheWorker,
            reading: Reading::default(),
            host,
        }
    }

    /// Where shards start that nobody has read yet; the worker's setting `start` if not set.
    pub fn start(mut self, start: Start) -> Self {
        self.start = Some(start);
        self
    }

    /// How this stream's shards are read; as the worker's setting `retrieval` says if not set.
    pub fn retrieval(mut self, retrieval: Retrieval) -> Self {
        self.reading.retrieval = Some(retrieval);
        self
    }

    /// The fan-out consumer that is found at this stream, or registered with it, by the stream's own clients; as the worker's
    /// setting `consumer_name` says if not set, and the application's name where that is not set either.
    pub fn consumer_name(mut self, name: impl Into<String>) -> Self {
        self.reading.consumer_name = Some(name.into());
        self
    }

    /// A fan-out consumer that somebody else has registered with this stream, instead of one by name. Nobody here removes it,
    /// whatever `deregister_consumer` says. (As `StreamConfig.consumerArn` of Java KCL's multi-stream mode.)
    ///
    /// A consumer of another stream is refused when the worker is built, or the stream added.
    pub fn consumer_arn(mut self, arn: impl Into<String>) -> Self {
        self.reading.consumer_arn = Some(arn.into());
        self
    }

    /// Region, endpoint and credentials of this stream, where they differ from the worker's.
    #[cfg(feature = "aws")]
    pub fn sdk_config(mut self, config: &aws_types::SdkConfig) -> Self {
        self.reach = Reach::Config(Box::new(config.clone()));
        self
    }

    /// The caller's own clients: one that reads, and one that lists shards for the coordination, whose retries should be off
    /// (see [`Clients::given`](crate::aws::Clients::given)).
    #[cfg(feature = "aws")]
    pub fn clients(mut self, kinesis: aws_sdk_kinesis::Client, coordination_kinesis: aws_sdk_kinesis::Client) -> Self {
        self.reach = Reach::Clients(Box::new((kinesis, coordination_kinesis)));
        self
    }

    /// Another stream than AWS': for tests and simulations.
    pub fn with_api(mut self, api: Arc<dyn StreamApi>) -> Self {
        self.reach = Reach::Given(api);
        self
    }
}

impl StreamConfig {
    /// Whether it can be read, as far as that is known before anybody is asked.
    pub(super) fn check(&self, of_worker: &Settings) -> Result<(), Error> {
        check_name("the stream's name", self.stream.name(), LONGEST_STREAM_NAME)?;
        self.settings(of_worker).map(drop)
    }

    /// The worker's settings, as they are for this stream.
    pub(super) fn settings(&self, of_worker: &Settings) -> Result<Settings, Error> {
        self.reading.settings(of_worker, &self.stream)
    }

    /// What the caller brought, for a worker that has no clients.
    pub(super) fn given(&self) -> Result<Api, Error> {
        if let Reach::Given(api) = &self.reach {
            return Ok(Arc::clone(api));
        }
        let message = format!(
            "there is no client for stream `{}`: the worker's table was given to it, so give the stream `with_api`",
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
