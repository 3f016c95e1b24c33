//! How the servers are set up.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::door::server;
use crate::dynamodb::Tables;
use crate::error::Error;
use crate::identity::Identity;
use crate::kinesis::model::Scope;
use crate::kinesis::{Engine, EngineConfig};
use crate::local_aws::{Endpoints, LocalAws};
use crate::service::Service;
use crate::services::Services;

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

    /// The port for Kinesis. Default: 0, which takes any free one.
    #[must_use]
    pub fn kinesis_port(mut self, port: u16) -> Self {
        self.kinesis_port = port;
        self
    }

    /// A port of its own for DynamoDB; 0 takes any free one. Default: none, because each port serves both services: they are told
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

    /// How long every answer of `service` takes. Default: zero. Can be changed later by [`Faults`](crate::Faults).
    #[must_use]
    pub fn latency(mut self, service: Service, latency: Duration) -> Self {
        self.latencies.push((service, latency));
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
        let (kinesis, listener) = self.listen(self.kinesis_port).await?;
        let mut servers = vec![spawn(listener, &services, Service::Kinesis)];
        let dynamodb = match self.dynamodb_port {
            None => kinesis.clone(),
            Some(port) => {
                let (dynamodb, listener) = self.listen(port).await?;
                servers.push(spawn(listener, &services, Service::DynamoDb));
                dynamodb
            }
        };
        Ok(LocalAws::new(services, Endpoints::http(kinesis, dynamodb), servers))
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

    async fn listen(&self, port: u16) -> Result<(String, TcpListener), Error> {
        let failed = |source| Error::listening(&self.host, port, source);
        let listener = TcpListener::bind((self.host.as_str(), port)).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok((format!("http://{address}"), listener))
    }
}

fn spawn(listener: TcpListener, services: &Arc<Services>, door: Service) -> JoinHandle<()> {
    tokio::spawn(server::serve(listener, services.clone(), door))
}
