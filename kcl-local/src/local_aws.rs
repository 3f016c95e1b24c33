//! The handle of the running servers.

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
use crate::dynamodb::{ItemChange, Watcher};
use crate::error::Error;
use crate::fault::Faults;
use crate::frontend::in_process::InProcessClient;
use crate::kinesis::model::Scope;
use crate::kinesis::{Engine, EngineTime};
use crate::service::Service;
use crate::services::Services;

/// Embedded Kinesis and DynamoDB: over HTTP on this machine, or within the process on virtual time.
///
/// Reads neither the environment nor the user's credentials; no request leaves the machine.
/// Dropping it stops the servers; [`shutdown`](Self::shutdown) also waits for running requests.
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
/// In process with paused time, a test of an hour takes no time:
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
/// assert_eq!(aws.calls().total(Service::DynamoDb), 2); // the SDK retried
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct LocalAws {
    services: Arc<Services>,
    endpoints: Endpoints,
    servers: Vec<JoinHandle<()>>,
}

/// The endpoints of the services.
#[derive(Debug)]
pub(crate) enum Endpoints {
    InProcess,
    Http {
        kinesis: String,
        dynamodb: String,
        /// With TLS: the certificate authority to trust, in PEM.
        certificate: Option<String>,
    },
}

/// A name that never resolves (RFC 2606), so that a request that left the process by mistake would
/// fail.
const IN_PROCESS_ENDPOINT: &str = "http://kcl-local.invalid";

/// Time that a shutdown waits for running requests.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

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

    /// Configures the servers.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Starts both services on one free port of 127.0.0.1, on the current runtime.
    ///
    /// # Errors
    /// If the machine has no free port.
    pub async fn start() -> Result<Self, Error> {
        Self::builder().start().await
    }

    /// Starts both services without sockets or threads, on virtual time: see
    /// [`Builder::in_process`].
    #[must_use]
    pub fn in_process() -> Self {
        Self::builder().in_process()
    }

    /// The URL of `service`. Each URL serves both services. In process the URL cannot be reached:
    /// use [`sdk_config`](Self::sdk_config).
    #[must_use]
    pub fn endpoint(&self, service: Service) -> &str {
        match (&self.endpoints, service) {
            (Endpoints::InProcess, _) => IN_PROCESS_ENDPOINT,
            (Endpoints::Http { kinesis, .. }, Service::Kinesis) => kinesis,
            (Endpoints::Http { dynamodb, .. }, Service::DynamoDb) => dynamodb,
        }
    }

    /// The certificate authority (PEM) that clients of [`endpoint`](Self::endpoint) have to trust.
    /// It is made at the start and signs only the server's certificate. `None` without TLS.
    /// [`sdk_config`](Self::sdk_config) trusts it already.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn certificate(&self) -> Option<&str> {
        match &self.endpoints {
            Endpoints::InProcess => None,
            Endpoints::Http { certificate, .. } => certificate.as_deref(),
        }
    }

    /// An AWS SDK configuration for clients of both services.
    #[must_use]
    pub fn sdk_config(&self) -> SdkConfig {
        self.config(None)
    }

    /// As [`sdk_config`](Self::sdk_config), for clients that fault rules see as `caller`
    /// ([`Call::caller`](crate::Call::caller)). In process only: HTTP requests do not carry the
    /// name.
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

    /// Number of requests so far, by operation.
    #[must_use]
    pub fn calls(&self) -> Calls {
        self.services.calls.snapshot()
    }

    /// Resets the counts to zero.
    pub fn reset_calls(&self) {
        self.services.calls.reset();
    }

    /// The handle for fault injection.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.services.faults
    }

    /// The current time of the servers' clock.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        self.services.clock.now()
    }

    /// The account and Region of requests, unless credentials decide. The engine's hooks need it.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        &self.services.scopes.default
    }

    /// Calls `on_change` after each single-item write (`PutItem`, `UpdateItem`, `DeleteItem`) that
    /// changed an item of the table.
    ///
    /// `hash_key` is the name of the table's key, a string. The table need not exist yet; items
    /// that it already has are reported without their earlier value. `on_change` runs inside the
    /// server: it must not block, and must not call this handle.
    pub fn watch_items(&self, table: &str, hash_key: &str, on_change: impl FnMut(ItemChange<'_>) + Send + 'static) {
        self.services.watch(Watcher::new(table, hash_key, Box::new(on_change)));
    }

    /// Runs `operation` on the Kinesis engine at its current time, for operations that the API does
    /// not have. No request is served meanwhile.
    pub fn with_engine<T>(&self, operation: impl FnOnce(&mut Engine, EngineTime) -> T) -> T {
        self.services.with_engine(operation)
    }

    /// Stops accepting requests, and waits at most five seconds for running requests, because a
    /// client may never finish sending. Requests that a fault left without an answer are cut.
    pub async fn shutdown(mut self) {
        self.services.closed.cancel();
        let servers = futures_util::future::join_all(std::mem::take(&mut self.servers));
        // The only possible error is a panic of a server, which tokio has already printed.
        _ = tokio::time::timeout(SHUTDOWN_TIMEOUT, servers).await;
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
                let client = SharedHttpClient::new(InProcessClient::new(self.services.clone(), caller));
                config.http_client(client).time_source(self.services.clock).build()
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
    // Building the context fails only for invalid client keys or names, and this one has neither.
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
