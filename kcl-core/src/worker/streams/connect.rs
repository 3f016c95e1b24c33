//! Connects to each of several streams in AWS, or in a server that speaks its protocol.

use super::config::{Api, StreamAccess, StreamConfig};
use crate::aws::{
    Clients, DryRun, DynamoDbStore, KinesisStream, TableSpec, check_read_permission, describe_stream, prepare_table,
};
use crate::config::Parser;
use crate::error::Error;
use crate::worker::connection::{Connect, Connected, Connection, described};
use futures_util::FutureExt;
use std::sync::Arc;
use std::time::Duration;

/// How long adding a stream to a running worker waits for AWS in an outage. The caller can retry.
const ADDED: Duration = Duration::from_secs(10);

/// The clients of a stream; the worker's own if it has none.
fn clients_of(config: &StreamConfig, worker: &Clients) -> Result<Option<Clients>, Error> {
    Ok(match &config.access {
        StreamAccess::AsTheWorker => Some(worker.clone()),
        StreamAccess::Config(config) => Some(Clients::from_config(config)?),
        StreamAccess::Clients(clients) => Some(worker.with_kinesis(clients.0.clone(), clients.1.clone())),
        StreamAccess::Given(_) => None,
    })
}

/// The stream as readers use it.
pub(super) fn reading(config: &StreamConfig, worker: &Clients, parser: Parser) -> Result<Api, Error> {
    Ok(match clients_of(config, worker)? {
        Some(clients) => Arc::new(KinesisStream::new(&clients.kinesis, config.stream.clone()).parser(parser)),
        None => config.given()?,
    })
}

/// The stream as the coordination uses it, described through the reading client.
pub(super) async fn open(
    config: &StreamConfig,
    worker: &Clients,
    reading: &DryRun,
    mut rng: fastrand::Rng,
) -> Result<Connection, Error> {
    match clients_of(config, worker)? {
        Some(clients) => {
            let description = describe_stream(&clients, &clients.kinesis, &config.stream, ADDED, &mut rng).await?;
            check_read_permission(&clients, &config.stream, &description, reading, &mut rng).await?;
            let api = Arc::new(KinesisStream::new(&clients.coordination_kinesis, config.stream.clone()));
            Ok(Connection { api, description })
        }
        None => described(config.given()?, ADDED).await,
    }
}

/// Checks credentials, all streams and the lease table, and connects the coordination to them.
pub(super) fn connect(
    configs: Vec<(StreamConfig, DryRun)>,
    worker: Clients,
    table: TableSpec,
    mut rng: fastrand::Rng,
) -> Connect {
    async move {
        let mut streams = Vec::new();
        for (config, reading) in &configs {
            let connection = match clients_of(config, &worker)? {
                None => described(config.given()?, table.start_deadline).await?,
                Some(clients) => {
                    let kinesis = &clients.coordination_kinesis;
                    let description =
                        describe_stream(&clients, kinesis, &config.stream, table.start_deadline, &mut rng).await?;
                    check_read_permission(&clients, &config.stream, &description, reading, &mut rng).await?;
                    Connection { api: Arc::new(KinesisStream::new(kinesis, config.stream.clone())), description }
                }
            };
            streams.push(connection);
        }
        let shards = streams.iter().map(|stream: &Connection| stream.description.open_shards).sum();
        prepare_table(&worker.dynamodb, &table, shards, rng.u64(..)).await?;
        Ok(Connected { store: Arc::new(DynamoDbStore::new(worker.dynamodb.clone(), table.name)), streams })
    }
    .boxed()
}
