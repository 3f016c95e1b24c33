//! Connects a worker of one stream to AWS, or to a server that speaks its protocols.

use super::connection::{Connect, Connected, Connection};
use crate::aws::{Clients, DryRun, DynamoDbStore, KinesisStream, TableSpec, preflight};
use crate::aws::{check_read_permission, describe_stream};
use crate::lease::LeaseStore;
use crate::record::StreamRef;
use futures_util::FutureExt;
use std::sync::Arc;
use std::time::Duration;

/// Checks credentials, stream and lease table, and connects the coordination to them.
pub(super) fn connect(
    clients: Clients,
    stream: StreamRef,
    table: TableSpec,
    reading: DryRun,
    mut rng: fastrand::Rng,
) -> Connect {
    async move {
        let description = preflight(&clients, &stream, &table, &reading, rng.u64(..)).await?;
        Ok(Connected {
            store: Arc::new(DynamoDbStore::new(clients.dynamodb.clone(), table.name)),
            streams: vec![Connection {
                api: Arc::new(KinesisStream::new(&clients.coordination_kinesis, stream)),
                description,
            }],
        })
    }
    .boxed()
}

/// Checks credentials and stream, and connects the coordination to a lease store of the caller.
pub(super) fn connect_with_store(
    clients: Clients,
    stream: StreamRef,
    store: Arc<dyn LeaseStore>,
    reading: DryRun,
    outage: Duration,
    mut rng: fastrand::Rng,
) -> Connect {
    async move {
        let description = describe_stream(&clients, &clients.coordination_kinesis, &stream, outage, &mut rng).await?;
        check_read_permission(&clients, &stream, &description, &reading, &mut rng).await?;
        let api = Arc::new(KinesisStream::new(&clients.coordination_kinesis, stream));
        Ok(Connected { store, streams: vec![Connection { api, description }] })
    }
    .boxed()
}
