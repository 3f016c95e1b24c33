//! The faithful tier: AWS's own clients over the in-process servers, from the first call of a start
//! to the last call of a shutdown.

mod credentials;
mod items;

use crate::world::APPLICATION;
use crate::world::history::{Fact, History, Name};
use crate::world::refusal::AwsError;
use crate::world::weather::{Fate, Service, Weather};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use kcl_core::lease::{Row, RowKey, Table as Rows};
use kcl_local::{Fault, LocalAws, StreamFault};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The duration of each call without a fault.
const LATENCY: Duration = Duration::from_millis(4);

/// The servers, and the table that results from their writes.
#[derive(Clone, Debug)]
pub(crate) struct Wire {
    pub(crate) aws: Arc<LocalAws>,
    rows: Arc<Mutex<BTreeMap<RowKey, Row>>>,
}

impl Wire {
    pub(crate) fn new(seed: u64, history: History, weather: Weather) -> Self {
        let servers = LocalAws::builder().seed(seed);
        let servers =
            servers.latency(kcl_local::Service::DynamoDb, LATENCY).latency(kcl_local::Service::Kinesis, LATENCY);
        let aws = Arc::new(servers.in_process());
        let rows: Arc<Mutex<BTreeMap<RowKey, Row>>> = Arc::default();
        let (table, seen_by) = (rows.clone(), weather.clone());
        aws.watch_items(APPLICATION, "leaseKey", move |change| {
            let Some(item) = change.after.or(change.before) else { return };
            let (Some(key), before) = (items::key(item), change.before.and_then(items::row)) else { return };
            let after = change.after.and_then(items::row);
            match &after {
                Some(row) => drop(table.lock().unwrap().insert(key.clone(), row.clone())),
                None => drop(table.lock().unwrap().remove(&key)),
            }
            let by = change.caller.map(Name::from);
            let heartbeat = |row: &Option<Row>| row.as_ref().and_then(Row::as_session).map(|session| session.heartbeat);
            if let (Some(process), Some(_)) =
                (by.as_ref(), heartbeat(&before).filter(|last| Some(*last) < heartbeat(&after)))
            {
                seen_by.heartbeats(process);
            }
            history.add(Fact::Changed { by, call: None, key, before, after });
        });
        aws.faults().rule(move |call| {
            let service = match call.service {
                kcl_local::Service::Kinesis => Service::Stream,
                kcl_local::Service::DynamoDb => Service::Table,
            };
            let operation = known(call.operation);
            let (_, fate) = weather.fate(&Name::from(call.caller?), service, operation);
            fault(fate?, service, operation)
        });
        Wire { aws, rows }
    }

    pub(crate) fn rows(&self) -> Rows {
        let mut rows = Rows::default();
        self.rows.lock().unwrap().values().for_each(|row| rows.add(row.clone()));
        rows
    }

    pub(crate) fn get(&self, key: &RowKey) -> Option<Row> {
        self.rows.lock().unwrap().get(key).cloned()
    }

    /// An external writer puts or removes a row, within milliseconds.
    pub(crate) fn tamper(&self, key: &RowKey, row: Option<&Row>) {
        let client = self.aws.dynamodb();
        match row {
            Some(row) => {
                let put = client.put_item().table_name(APPLICATION).set_item(Some(items::item(row)));
                tokio::spawn(async move { put.send().await.unwrap() });
            }
            None => {
                let delete =
                    client.delete_item().table_name(APPLICATION).key("leaseKey", items::text(items::name(key)));
                tokio::spawn(async move { delete.send().await.unwrap() });
            }
        }
    }
}

/// The operation's name, with the world's lifetime.
fn known(operation: &str) -> &'static str {
    const OPERATIONS: [&str; 16] = [
        "BatchGetItem",
        "CreateTable",
        "DeleteItem",
        "DescribeStreamConsumer",
        "DescribeStreamSummary",
        "DescribeTable",
        "GetItem",
        "GetRecords",
        "GetShardIterator",
        "ListShards",
        "PutItem",
        "RegisterStreamConsumer",
        "Scan",
        "SubscribeToShard",
        "UpdateItem",
        "TagResource",
    ];
    OPERATIONS.into_iter().find(|known| *known == operation).unwrap_or("another call")
}

/// A configuration of clients that can fail for lack of credentials.
pub(crate) fn without_credentials(config: aws_types::SdkConfig) -> aws_types::SdkConfig {
    let client = config.http_client().expect("in process, the servers bring the client");
    let client = SharedHttpClient::new(credentials::Client(client));
    config.into_builder().http_client(client).build()
}

/// The server's part of a fault. The servers are always consistent and never wrong, so stale reads
/// and wrong answers do not occur here.
pub(crate) fn fault(fate: Fate, service: Service, operation: &str) -> Option<Fault> {
    match fate {
        Fate::LostRequest | Fate::Crash { effect: false } => Some(Fault::LostRequest),
        Fate::LostResponse | Fate::Crash { effect: true } => Some(Fault::LostResponse),
        Fate::Throttled => Some(Fault::Throttle),
        // Half of the time passes before the request has its effect.
        Fate::Late(by) => Some(Fault::Delay(by * 2)),
        Fate::SlowAnswer(by) => Some(Fault::Delay(by)),
        Fate::IteratorExpired if operation == "SubscribeToShard" => Some(Fault::stream(3, StreamFault::Silence)),
        Fate::Unavailable if operation == "SubscribeToShard" => Some(Fault::stream(2, StreamFault::Cut)),
        Fate::IteratorExpired if operation == "GetRecords" => Some(Fault::Error("ExpiredIteratorException".to_owned())),
        Fate::IteratorExpired | Fate::Unavailable => Some(Fault::Error("InternalFailure".to_owned())),
        Fate::Refused(error) => Some(refused(error, service)),
        Fate::Stale(_) | Fate::Freeze(_) | Fate::Wrong(_) => None,
    }
}

fn refused(error: AwsError, service: Service) -> Fault {
    let page = |status| Fault::Answer { status, body: "<html><body>Sign in</body></html>".to_owned() };
    match (error, service) {
        (AwsError::HtmlOk, _) => page(200),
        (AwsError::HtmlForbidden, _) => page(403),
        (AwsError::Empty, _) => Fault::Answer { status: 200, body: "{}".to_owned() },
        (AwsError::CredentialsNotLoaded, _) => page(credentials::MARK),
        (AwsError::InternalError, Service::Table) => Fault::Error("InternalServerError".to_owned()),
        (error, _) => Fault::Error(error.name().to_owned()),
    }
}
