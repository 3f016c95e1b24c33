//! Configures and starts the servers.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;

use crate::clock::Clock;
use crate::dynamodb::Tables;
use crate::error::Error;
use crate::frontend::host_check::AllowedHosts;
use crate::frontend::open_connections::OpenConnections;
use crate::frontend::server::{self, Connections};
use crate::frontend::transport::Transport;
use crate::kinesis::model::Scope;
use crate::kinesis::{Engine, EngineConfig};
use crate::local_aws::{Endpoints, LocalAws};
use crate::scope_resolver::ScopeResolver;
use crate::service::Service;
use crate::services::Services;

/// Number of HTTP/2 streams per connection that AWS's front end was observed to allow.
const MAX_CONCURRENT_STREAMS: u32 = 128;

/// Longer than clients keep unused connections (the SDK: 90 s), so that a client seldom uses a
/// connection that is being closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(180);

/// Half of the files that the process may open, because the program that embeds the servers needs
/// files too.
fn default_max_connections() -> usize {
    const MAX: usize = 1_000;
    #[cfg(unix)]
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    #[cfg(not(unix))]
    let files = None::<u64>;
    files.and_then(|files| usize::try_from(files / 2).ok()).map_or(MAX, |half| half.min(MAX))
}

/// Configures [`LocalAws`]. The defaults suit tests.
#[derive(Clone, Debug)]
pub struct Builder {
    host: String,
    kinesis_port: u16,
    dynamodb_port: Option<u16>,
    scope: Scope,
    from_credentials: bool,
    engine: Option<EngineConfig>,
    seed: u64,
    table_delay: Duration,
    latencies: Vec<(Service, Duration)>,
    max_concurrent_streams: u32,
    idle_timeout: Duration,
    max_connections: Option<usize>,
    hosts: Vec<String>,
    #[cfg(feature = "tls")]
    tls: bool,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            kinesis_port: 0,
            dynamodb_port: None,
            scope: Scope::new("000000000000", "us-east-1"),
            from_credentials: false,
            engine: None,
            seed: 0,
            table_delay: Duration::ZERO,
            latencies: Vec::new(),
            max_concurrent_streams: MAX_CONCURRENT_STREAMS,
            idle_timeout: IDLE_TIMEOUT,
            max_connections: None,
            hosts: Vec::new(),
            #[cfg(feature = "tls")]
            tls: false,
        }
    }
}

impl Builder {
    /// The address to listen on. Default: 127.0.0.1, so that no other machine can connect.
    #[must_use]
    pub fn host(mut self, host: impl Into<String>) -> Self {
        self.host = host.into();
        self
    }

    /// The port for Kinesis. Default: 0, which picks a free port.
    #[must_use]
    pub fn kinesis_port(mut self, port: u16) -> Self {
        self.kinesis_port = port;
        self
    }

    /// A separate port for DynamoDB; 0 picks a free port. Default: none, because each port serves
    /// both services: the target of a request selects the service, not the port.
    #[must_use]
    pub fn dynamodb_port(mut self, port: u16) -> Self {
        self.dynamodb_port = Some(port);
        self
    }

    /// The Region of all streams and tables. Default: us-east-1.
    #[must_use]
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.scope.region = region.into();
        self
    }

    /// The account of all streams and tables, twelve digits. Default: 000000000000.
    #[must_use]
    pub fn account(mut self, account: impl Into<String>) -> Self {
        self.scope.account = account.into();
        self
    }

    /// Takes the Region of each request from its signature, and the account from the access key id
    /// if that has twelve digits. Accounts and Regions are isolated from each other. Default: off,
    /// every request sees the same streams and tables.
    #[must_use]
    pub fn scope_from_credentials(mut self, on: bool) -> Self {
        self.from_credentials = on;
        self
    }

    /// Configures the behaviour of Kinesis. Default: [`EngineConfig::in_process`] for
    /// [`in_process`](Self::in_process), [`EngineConfig::over_http`] for [`start`](Self::start).
    #[must_use]
    pub fn engine(mut self, config: EngineConfig) -> Self {
        self.engine = Some(config);
        self
    }

    /// The seed of the Kinesis engine's randomness. Default: 0.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Time for which a new DynamoDB table is in CREATING. Default: zero.
    #[must_use]
    pub fn table_delay(mut self, delay: Duration) -> Self {
        self.table_delay = delay;
        self
    }

    /// Latency of each answer of `service`. Default: zero. [`Faults`](crate::Faults) can change it
    /// later.
    #[must_use]
    pub fn latency(mut self, service: Service, latency: Duration) -> Self {
        self.latencies.push((service, latency));
        self
    }

    /// Maximum number of open HTTP/2 streams per connection (`SETTINGS_MAX_CONCURRENT_STREAMS`). A
    /// subscription keeps one open for 5 minutes. Default: 128. No effect in process.
    #[must_use]
    pub fn max_concurrent_streams(mut self, max: u32) -> Self {
        self.max_concurrent_streams = max;
        self
    }

    /// Closes connections that are idle for this long. Default: three minutes. No effect in
    /// process.
    #[must_use]
    pub fn idle_connections(mut self, timeout: Duration) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// Maximum number of open connections. Beyond it, each new connection closes the one that is
    /// idle for longest. Default: 1,000, or half of the files that the process may open, if that is
    /// less. No effect in process.
    #[must_use]
    pub fn max_connections(mut self, max: usize) -> Self {
        self.max_connections = Some(max);
        self
    }

    /// Accepts requests for this host name too (the header `Host`). May be called for several
    /// names.
    ///
    /// IP addresses, `localhost`, names without a dot, names that end in `.localhost` or
    /// `.internal`, and the host that the server listens on are always accepted. Other names are
    /// refused with 403, because a web page could use them to reach this server (DNS rebinding). No
    /// effect in process.
    #[must_use]
    pub fn allow_host(mut self, name: impl Into<String>) -> Self {
        self.hosts.push(name.into());
        self
    }

    /// Serves over TLS, with HTTP/2 for clients that support it, and a certificate made at the
    /// start. Clients have to trust [`LocalAws::certificate`]. Default: off. No effect in process.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, on: bool) -> Self {
        self.tls = on;
        self
    }

    /// Starts without sockets or threads, on virtual time: the clock begins at 2026-01-01T00:00:00Z
    /// and follows tokio's time. Call it within the tokio runtime that provides the time.
    #[must_use]
    pub fn in_process(self) -> LocalAws {
        let engine = self.engine.clone().unwrap_or_else(EngineConfig::in_process);
        let services = self.services(Clock::virtual_time(), engine);
        LocalAws::new(services, Endpoints::in_process(), Vec::new())
    }

    /// Starts listening, on the current tokio runtime.
    ///
    /// # Errors
    /// If a port is in use, or the address does not belong to this machine.
    pub async fn start(self) -> Result<LocalAws, Error> {
        let engine = self.engine.clone().unwrap_or_else(EngineConfig::over_http);
        let services = self.services(Clock::wall_time(), engine);
        let (transport, certificate) = self.transport()?;
        let connections = Connections {
            transport,
            max_concurrent_streams: self.max_concurrent_streams,
            idle_timeout: self.idle_timeout,
            open: OpenConnections::at_most(self.max_connections.unwrap_or_else(default_max_connections)),
            hosts: AllowedHosts::new(self.hosts.iter().cloned().chain([self.host.clone()])),
        };
        let serve =
            |listener, service| tokio::spawn(server::serve(listener, connections.clone(), services.clone(), service));
        let (kinesis, listener) = self.listen(&connections, self.kinesis_port).await?;
        let mut servers = vec![serve(listener, Service::Kinesis)];
        let dynamodb = match self.dynamodb_port {
            None => kinesis.clone(),
            Some(port) => {
                let (dynamodb, listener) = self.listen(&connections, port).await?;
                servers.push(serve(listener, Service::DynamoDb));
                dynamodb
            }
        };
        Ok(LocalAws::new(services, Endpoints::http(kinesis, dynamodb, certificate), servers))
    }

    #[cfg(feature = "tls")]
    fn transport(&self) -> Result<(Transport, Option<String>), Error> {
        if !self.tls {
            return Ok((Transport::Plain, None));
        }
        let (acceptor, certificate) = crate::frontend::certificate::create(&self.host).map_err(Error::Certificate)?;
        Ok((Transport::Tls(acceptor), Some(certificate)))
    }

    #[cfg(not(feature = "tls"))]
    #[allow(clippy::unnecessary_wraps, reason = "with TLS it may fail")]
    fn transport(&self) -> Result<(Transport, Option<String>), Error> {
        Ok((Transport::Plain, None))
    }

    fn services(&self, clock: Clock, config: EngineConfig) -> Arc<Services> {
        let scopes = ScopeResolver { default: self.scope.clone(), from_credentials: self.from_credentials };
        let engine = Engine::new(config, self.seed);
        let services = Services::new(clock, scopes, engine, Tables::new(clock, self.table_delay));
        for (service, latency) in &self.latencies {
            services.faults.latency(*service, *latency);
        }
        Arc::new(services)
    }

    async fn listen(&self, connections: &Connections, port: u16) -> Result<(String, TcpListener), Error> {
        let failed = |source| Error::listening(&self.host, port, source);
        let listener = TcpListener::bind((self.host.as_str(), port)).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok((format!("{}://{address}", connections.transport.scheme()), listener))
    }
}
