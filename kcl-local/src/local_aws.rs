//! The servers, as their users hold them.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_types::SdkConfig;
use aws_types::region::Region;
use tokio::task::JoinHandle;

use crate::builder::Builder;
use crate::calls::Calls;
use crate::door::http_client::Door;
use crate::dynamodb::{ItemChange, Watcher};
use crate::error::Error;
use crate::fault::Faults;
use crate::kinesis::model::Scope;
use crate::kinesis::{Engine, EngineTime};
use crate::service::Service;
use crate::services::Services;

/// Kinesis and DynamoDB, embedded: over HTTP on this machine, or within the process on virtual time.
///
/// Nothing here reads the environment or ambient credentials, and nothing leaves the machine. When this is dropped the servers stop
/// accepting requests; [`shutdown`](Self::shutdown) waits for those that run.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// use kcl_local::{LocalAws, Service};
///
/// let aws = LocalAws::start().await?;
/// aws.dynamodb().list_tables().send().await?;
/// println!("Kinesis and DynamoDB are at {}", aws.endpoint(Service::Kinesis));
/// assert_eq!(aws.calls().of(Service::DynamoDb, "ListTables"), 1);
/// aws.shutdown().await;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// # })
/// # }
/// ```
///
/// Without sockets, where time is paused and a test of an hour acquires no time:
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use kcl_local::{Fault, LocalAws, Service};
///
/// tokio::time::pause();
/// let aws = LocalAws::builder().latency(Service::DynamoDb, Duration::from_millis(5)).in_process();
/// aws.faults().once("ListTables", Fault::Throttle);
/// aws.dynamodb().list_tables().send().await?;
/// assert_eq!(aws.calls().total(Service::DynamoDb), 2); // the SDK tried again
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct LocalAws {
    services: Arc<Services>,
    endpoints: Endpoints,
    servers: Vec<JoinHandle<()>>,
}

/// Where the services are.
#[derive(Debug)]
pub(crate) enum Endpoints {
    InProcess,
    Http {
        kinesis: String,
        dynamodb: String,
        /// With TLS: the authority to trust, in PEM.
        certificate: Option<String>,
    },
}

/// A name that never resolves (RFC 2606): should a request ever leave the process, it gets nowhere.
const IN_PROCESS: &str = "http://kcl-local.invalid";

/// How long a shutdown waits for requests that run.
const GRACE: Duration = Duration::from_secs(5);

impl Endpoints {
    pub(crate) fn in_process() -> Self {
        Self::InProcess
    }

    pub(crate) fn http(kinesis: String, dynamodb: String, certificate: Option<String>) -> Self {
        Self::Http { kinesis, dynamodb, certificate }
    }
}

impl LocalAws {
    pub(crate) fn new(services: Arc<Services>, endpoints: Endpoints, servers: Vec<JoinHandle<()>>) -> Self {
        Self { services, endpoints, servers }
    }

    /// How to set up the servers.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Starts both services on one free port of 127.0.0.1, on the current runtime.
    ///
    /// # Errors
    /// If the machine has no port left.
    pub async fn start() -> Result<Self, Error> {
        Self::builder().start().await
    }

    /// Starts both services without sockets or threads, on virtual time: see [`Builder::in_process`].
    #[must_use]
    pub fn in_process() -> Self {
        Self::builder().in_process()
    }

    /// The URL of `service`. Each URL serves both services. In process it is a name that leads nowhere: use
    /// [`sdk_config`](Self::sdk_config).
    #[must_use]
    pub fn endpoint(&self, service: Service) -> &str {
        match (&self.endpoints, service) {
            (Endpoints::InProcess, _) => IN_PROCESS,
            (Endpoints::Http { kinesis, .. }, Service::Kinesis) => kinesis,
            (Endpoints::Http { dynamodb, .. }, Service::DynamoDb) => dynamodb,
        }
    }

    /// The certificate, in PEM, of the authority that clients of [`endpoint`](Self::endpoint) have to trust: it was made at the start
    /// and signs nothing else. `None` without TLS. [`sdk_config`](Self::sdk_config) trusts it already.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn certificate(&self) -> Option<&str> {
        match &self.endpoints {
            Endpoints::InProcess => None,
            Endpoints::Http { certificate, .. } => certificate.as_deref(),
        }
    }

    /// A configuration for the AWS SDK with which the clients of both services reach these servers.
    #[must_use]
    pub fn sdk_config(&self) -> SdkConfig {
        self.config(None)
    }

    /// The same, for clients whose requests fault rules know as `caller`'s. In process only: over HTTP nothing carries the name.
    #[must_use]
    pub fn sdk_config_for(&self, caller: &str) -> SdkConfig {
        self.config(Some(caller))
    }

    /// A client of the embedded Kinesis.
    #[must_use]
    pub fn kinesis(&self) -> aws_sdk_kinesis::Client {
        aws_sdk_kinesis::Client::new(&self.sdk_config())
    }

    /// A client of the embedded DynamoDB.
    #[must_use]
    pub fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        aws_sdk_dynamodb::Client::new(&self.sdk_config())
    }

    /// The requests that arrived so far, by operation.
    #[must_use]
    pub fn calls(&self) -> Calls {
        self.services.calls.snapshot()
    }

    /// Counts from zero again.
    pub fn reset_calls(&self) {
        self.services.calls.reset();
    }

    /// The handle that makes requests slow, fail or vanish.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.services.faults
    }

    /// The present, on the servers' clock.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        self.services.clock.now()
    }

    /// The account and Region of requests that do not say otherwise, which the engine's hooks ask for.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        &self.services.identity.scope
    }

    /// Shows `tell` every item of a DynamoDB table that a single-item write (`PutItem`, `UpdateItem`, `DeleteItem`) changed, right
    /// after it did. `hash_key` is the table's key, a string; the table need not exist yet, but what it holds already is not known.
    /// It runs inside the server: it must not wait, nor call this.
    pub fn watch_items(&self, table: &str, hash_key: &str, tell: impl FnMut(ItemChange<'_>) + Send + 'static) {
        self.services.watch(Watcher::new(table, hash_key, Box::new(tell)));
    }

    /// Runs `look` on the Kinesis engine at its present time, for what no client can ask for. No request is served meanwhile.
    pub fn with_engine<T>(&self, look: impl FnOnce(&mut Engine, EngineTime) -> T) -> T {
        self.services.with_engine(look)
    }

    /// Stops accepting requests and waits for those that run, at most five seconds: a client that never finishes sending does not hold
    /// it up. What a fault left without an answer is cut.
    pub async fn shutdown(mut self) {
        self.services.closed.cancel();
        let servers = futures_util::future::join_all(std::mem::take(&mut self.servers));
        // Only a panic of a server could be told here, and tokio has reported it.
        _ = tokio::time::timeout(GRACE, servers).await;
    }

    fn config(&self, caller: Option<&str>) -> SdkConfig {
        let credentials = Credentials::from_keys("local", "local", None);
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .endpoint_url(self.endpoint(Service::Kinesis))
            .region(Region::new(self.scope().region.clone()))
            .sleep_impl(TokioSleep::new());
        match self.endpoints {
            Endpoints::InProcess => {
                let door = SharedHttpClient::new(Door::new(self.services.clone(), caller));
                config.http_client(door).time_source(self.services.clock).build()
            }
            Endpoints::Http { ref certificate, .. } => config.http_client(http_client(certificate.as_deref())).build(),
        }
    }
}

#[cfg(feature = "tls")]
fn http_client(certificate: Option<&str>) -> SharedHttpClient {
    use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
    let client = aws_smithy_http_client::Builder::new();
    let trust = certificate.map(|pem| TrustStore::empty().with_pem_certificate(pem));
    // A context can be refused for its keys and names only; here it has neither.
    match trust.and_then(|trust| TlsContext::builder().with_trust_store(trust).build().ok()) {
        Some(context) => client.tls_provider(Provider::Rustls(CryptoMode::AwsLc)).tls_context(context).build_https(),
        None => client.build_http(),
    }
}

#[cfg(not(feature = "tls"))]
fn http_client(_: Option<&str>) -> SharedHttpClient {
    aws_smithy_http_client::Builder::new().build_http()
}

impl Drop for LocalAws {
    fn drop(&mut self) {
        self.services.closed.cancel();
    }
}
