//! The server under test, and how a check runs on it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::config::timeout::TimeoutConfig;
use aws_sdk_kinesis::config::{BehaviorVersion, Builder, Credentials, Region};
use aws_sdk_kinesis::types::StreamStatus;
use kcl_local::LocalAws;
use kcl_local::kinesis::model::Scope;
use kcl_local::kinesis::{Engine, EngineConfig, EngineTime, Transitions};

use super::failure::Failure;
use super::stream::Stream;

/// The address of another server to check.
const ENDPOINT: &str = "CONFORMANCE_ENDPOINT";

/// A server, and the means to change it.
pub(crate) struct Server {
    pub(crate) client: Client,
    /// `None` for an external server, whose clock and engine are out of reach.
    embedded: Option<LocalAws>,
    names: AtomicU32,
}

/// Transitions of the embedded engine long enough to be seen.
pub(crate) const TRANSITION: Duration = Duration::from_millis(200);

pub(crate) fn visible_transitions() -> EngineConfig {
    let mut config = EngineConfig::in_process();
    config.transitions = Transitions::all(TRANSITION);
    config
}

/// Runs a check that needs only a client: on the embedded engine, or on the server that the
/// environment names.
pub(crate) fn check(body: impl AsyncFnOnce(&Server)) {
    match std::env::var(ENDPOINT) {
        Ok(endpoint) => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async { body(&Server::elsewhere(&endpoint)).await });
        }
        Err(_) => check_engine(visible_transitions(), body),
    }
}

/// Runs a check that configures the engine, moves its clock, or inspects it: on the embedded engine
/// only.
pub(crate) fn check_engine(config: EngineConfig, body: impl AsyncFnOnce(&Server)) {
    check_engine_with_seed(config, 0, body);
}

pub(crate) fn check_engine_with_seed(config: EngineConfig, seed: u64, body: impl AsyncFnOnce(&Server)) {
    if std::env::var(ENDPOINT).is_ok() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async { body(&Server::embedded(config, seed)).await });
}

fn client(config: Builder) -> Client {
    // A check wants to see a throttled call.
    let config = config.retry_config(RetryConfig::disabled()).timeout_config(TimeoutConfig::disabled());
    Client::from_conf(config.build())
}

impl Server {
    fn embedded(config: EngineConfig, seed: u64) -> Self {
        let aws = LocalAws::builder().engine(config).seed(seed).in_process();
        let client = client(Builder::from(&aws.sdk_config()));
        Self { client, embedded: Some(aws), names: AtomicU32::new(0) }
    }

    fn elsewhere(endpoint: &str) -> Self {
        let config = Builder::new()
            .behavior_version(BehaviorVersion::latest())
            .credentials_provider(Credentials::new("local", "local", None, None, "conformance"))
            .endpoint_url(endpoint)
            .region(Region::new("us-east-1"))
            .http_client(aws_smithy_http_client::Builder::new().build_http());
        Self { client: client(config), embedded: None, names: AtomicU32::new(0) }
    }

    fn aws(&self) -> &LocalAws {
        self.embedded.as_ref().expect("only checks of the embedded engine ask for it")
    }

    /// Moves the clock of the embedded engine.
    pub(crate) async fn advance(&self, duration: Duration) {
        self.aws();
        tokio::time::advance(duration).await;
    }

    pub(crate) fn now(&self) -> EngineTime {
        self.engine(|_, _, now| now)
    }

    /// Inspects the embedded engine.
    pub(crate) fn engine<T>(&self, look: impl FnOnce(&mut Engine, &Scope, EngineTime) -> T) -> T {
        let scope = Scope::new("000000000000", "us-east-1");
        self.aws().with_engine(|engine, now| look(engine, &scope, now))
    }

    /// A name that no other check uses.
    pub(crate) fn name(&self) -> String {
        let number = self.names.fetch_add(1, Ordering::Relaxed);
        match self.embedded {
            Some(_) => format!("stream-{number}"),
            None => format!("stream-{}-{:?}-{number}", std::process::id(), std::thread::current().id())
                .replace(['(', ')'], ""),
        }
    }

    /// A new provisioned stream, `ACTIVE`.
    pub(crate) async fn stream(&self, shards: i32) -> Stream<'_> {
        let name = self.name();
        self.client.create_stream().stream_name(&name).shard_count(shards).send().await.unwrap();
        self.await_active(&name).await;
        let summary = self.client.describe_stream_summary().stream_name(&name).send().await.unwrap();
        let arn = summary.stream_description_summary().unwrap().stream_arn().to_owned();
        Stream { server: self, name, arn }
    }

    pub(crate) async fn status(&self, name: &str) -> Result<StreamStatus, Failure> {
        let summary = self.client.describe_stream_summary().stream_name(name).send().await?;
        Ok(summary.stream_description_summary().unwrap().stream_status().clone())
    }

    pub(crate) async fn await_active(&self, name: &str) {
        while self.status(name).await.unwrap() != StreamStatus::Active {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) async fn await_gone(&self, name: &str) {
        while self.status(name).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
