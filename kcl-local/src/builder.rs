//! How the servers are set up.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;

use crate::clock::Clock;
use crate::door::open_connections::OpenConnections;
use crate::door::origin::Hosts;
use crate::door::server::{self, Connections};
use crate::door::transport::Transport;
use crate::dynamodb::Tables;
use crate::error::Error;
use crate::identity::Identity;
use crate::kinesis::model::Scope;
use crate::kinesis::{Engine, EngineConfig};
use crate::local_aws::{Endpoints, LocalAws};
use crate::service::Service;
use crate::services::Services;

/// HTTP/2 streams of one connection that AWS's front end allows, as far as it was seen.
const MAX_CONCURRENT_STREAMS: u32 = 128;

/// Longer than clients keep connections that they do not use (the SDK's: 90 s), so that they seldom meet one that is being closed.
const IDLE_CONNECTIONS: Duration = Duration::from_secs(180);

/// The process has other files open, among them those of the program that embeds the servers.
fn default_connections() -> usize {
    const MOST: usize = 1_000;
    #[cfg(unix)]
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    #[cfg(not(unix))]
    let files = None::<u64>;
    files.and_then(|files| usize::try_from(files / 2).ok()).map_or(MOST, |half| half.min(MOST))
}

/// Sets up [`LocalAws`]. Everything has a default that suits tests.
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
    idle_connections: Duration,
    most_connections: Option<usize>,
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
            idle_connections: IDLE_CONNECTIONS,
            most_connections: None,
            hosts: Vec::new(),
            #[cfg(feature = "tls")]
            tls: false,
        }
    }
}

impl Builder {
    /// The address to listen on. Default: 127.0.0.1, so that no other machine gets in.
    #[must_use]
    pub fn host(mut self, host: impl Into<String>) -> Self {
        self.host = host.into();
        self
    }

    /// The port for Kinesis. Default: 0, which acquires any free one.
    #[must_use]
    pub fn kinesis_port(mut self, port: u16) -> Self {
        self.kinesis_port = port;
        self
    }

    /// A port of its own for DynamoDB; 0 acquires any free one. Default: none, because each port serves both services: they are told
    /// apart by the target of each request, not by the port.
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

    /// Takes the Region of each request from its signature, and the account too if the access key id has twelve digits. Accounts and
    /// Regions see nothing of each other. Default: off, every request sees the same streams and tables.
    #[must_use]
    pub fn scope_from_credentials(mut self, on: bool) -> Self {
        self.from_credentials = on;
        self
    }

    /// What of Kinesis' behaviour can be chosen. Default: [`EngineConfig::in_process`] for [`in_process`](Self::in_process),
    /// [`EngineConfig::over_http`] for [`start`](Self::start).
    #[must_use]
    pub fn engine(mut self, config: EngineConfig) -> Self {
        self.engine = Some(config);
        self
    }

    /// The seed of all that the Kinesis engine draws. Default: 0.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// How long a new DynamoDB table stays in CREATING. Default: zero.
    #[must_use]
    pub fn table_delay(mut self, delay: Duration) -> Self {
        self.table_delay = delay;
        self
    }

    /// How long every answer of `service` acquires. Default: zero. Can be changed later by [`Faults`](crate::Faults).
    #[must_use]
    pub fn latency(mut self, service: Service, latency: Duration) -> Self {
        self.latencies.push((service, latency));
        self
    }

    /// How many HTTP/2 streams one connection may have open (`SETTINGS_MAX_CONCURRENT_STREAMS`): each subscription is one for minutes.
    /// Default: 128. Of no effect in process.
    #[must_use]
    pub fn max_concurrent_streams(mut self, most: u32) -> Self {
        self.max_concurrent_streams = most;
        self
    }

    /// Closes a connection on which nothing ran for that long. Default: three minutes. Of no effect in process.
    #[must_use]
    pub fn idle_connections(mut self, patience: Duration) -> Self {
        self.idle_connections = patience;
        self
    }

    /// How many connections may be open. Beyond that, the one that was idle for the longest time is closed for each new one. Default:
    /// 1,000, or half of the files that the process may open, if that is less. Of no effect in process.
    #[must_use]
    pub fn max_connections(mut self, most: usize) -> Self {
        self.most_connections = Some(most);
        self
    }

    /// Takes requests for this host name too, as the header `Host` has it; may be called for several. Addresses, `localhost`, names
    /// without a dot and those that end in `.localhost` or `.internal` are taken anyway, and the host that is listened on. Others are
    /// refused with 403, because a web page could use them to reach this server (DNS rebinding). Of no effect in process.
    #[must_use]
    pub fn allow_host(mut self, name: impl Into<String>) -> Self {
        self.hosts.push(name.into());
        self
    }

    /// Speaks TLS, with HTTP/2 for those who can, by a certificate made at the start: [`LocalAws::certificate`] is what other clients
    /// have to trust. Default: off, plain text. Of no effect in process.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, on: bool) -> Self {
        self.tls = on;
        self
    }

    /// Starts without sockets or threads, on virtual time: the clock begins at 2026-01-01T00:00:00Z and moves with tokio's time.
    /// Call it within the runtime whose time that is.
    #[must_use]
    pub fn in_process(self) -> LocalAws {
        let engine = self.engine.clone().unwrap_or_else(EngineConfig::in_process);
        let services = self.services(Clock::virtual_time(), engine);
        LocalAws::new(services, Endpoints::in_process(), Vec::new())
    }

    /// Starts listening, on the current runtime.
    ///
    /// # Errors
    /// If a port is taken or the address is not this machine's.
    pub async fn start(self) -> Result<LocalAws, Error> {
        let engine = self.engine.clone().unwrap_or_else(EngineConfig::over_http);
        let services = self.services(Clock::wall_time(), engine);
        let (transport, certificate) = self.transport()?;
        let connections = Connections {
            transport,
            max_concurrent_streams: self.max_concurrent_streams,
            idle: self.idle_connections,
            open: OpenConnections::at_most(self.most_connections.unwrap_or_else(default_connections)),
            hosts: Hosts::new(self.hosts.iter().cloned().chain([self.host.clone()])),
        };
        let serve = |listener, door| tokio::spawn(server::serve(listener, connections.clone(), services.clone(), door));
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
        let (acceptor, certificate) = crate::door::certificate::make(&self.host).map_err(Error::Certificate)?;
        Ok((Transport::Tls(acceptor), Some(certificate)))
    }

    #[cfg(not(feature = "tls"))]
    #[allow(clippy::unnecessary_wraps, reason = "with TLS it may fail")]
    fn transport(&self) -> Result<(Transport, Option<String>), Error> {
        Ok((Transport::Plain, None))
    }

    fn services(&self, clock: Clock, config: EngineConfig) -> Arc<Services> {
        let identity = Identity { scope: self.scope.clone(), from_credentials: self.from_credentials };
        let engine = Engine::new(config, fastrand::Rng::with_seed(self.seed));
        let services = Services::new(clock, identity, engine, Tables::new(clock, self.table_delay));
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
