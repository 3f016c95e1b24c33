//! The embedded servers in a process of their own, as a benchmark holds them.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::PutRecordsRequestEntry;
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::Error;
use crate::child::Child;
use crate::place::{self, STREAM};
use crate::role::Said;

/// What PutRecords takes at most.
const A_CALL: usize = 500;
/// Servers on the same machine that take longer are lost.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long the servers take to answer.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Latency {
    /// How long Kinesis takes to answer.
    #[arg(long, default_value = "10ms", value_parser = humantime::parse_duration)]
    kinesis_latency: Duration,
    /// How long DynamoDB takes to answer.
    #[arg(long, default_value = "5ms", value_parser = humantime::parse_duration)]
    dynamodb_latency: Duration,
    /// How long a new table takes to be ready.
    #[arg(long, default_value = "500ms", value_parser = humantime::parse_duration)]
    table_delay: Duration,
}

impl Latency {
    pub(crate) fn kinesis(self) -> Duration {
        self.kinesis_latency
    }

    pub(crate) fn dynamodb(self) -> Duration {
        self.dynamodb_latency
    }

    fn arguments(self) -> [String; 6] {
        let text = |time: Duration| humantime::format_duration(time).to_string();
        let Latency { kinesis_latency, dynamodb_latency, table_delay } = self;
        [
            "--kinesis-latency".to_owned(),
            text(kinesis_latency),
            "--dynamodb-latency".to_owned(),
            text(dynamodb_latency),
            "--table-delay".to_owned(),
            text(table_delay),
        ]
    }
}

/// The servers, with one stream.
#[derive(Debug)]
pub(crate) struct Server {
    _process: Child,
    endpoint: String,
    kinesis: aws_sdk_kinesis::Client,
    shards: u64,
}

/// Calls since the start, by operation.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Calls {
    pub(crate) kinesis: BTreeMap<String, u64>,
    pub(crate) dynamodb: BTreeMap<String, u64>,
}

impl Server {
    /// Servers without limits, and a stream of so many shards that holds so many records of 1 KB, spread evenly.
    pub(crate) async fn start(latency: Latency, shards: u64, records: u64) -> Result<Self, Error> {
        Self::start_keyed(latency, shards, records, records.max(1)).await
    }

    /// The same, with records of so many keys.
    pub(crate) async fn start_keyed(latency: Latency, shards: u64, records: u64, keys: u64) -> Result<Self, Error> {
        let mut arguments = vec!["serve".to_owned(), format!("--shards={shards}"), format!("--records={records}")];
        arguments.push(format!("--keys={keys}"));
        arguments.extend(latency.arguments());
        let mut process = Child::spawn(&arguments)?;
        let (Said::Serving { endpoint }, _) = process.hear().await? else {
            return Err("the server's process said something else than where it is".into());
        };
        let kinesis = aws_sdk_kinesis::Client::new(&place::sdk_config(&endpoint));
        Ok(Server { _process: process, endpoint, kinesis, shards })
    }

    /// Where they are.
    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// How many shards the stream has.
    pub(crate) fn shards(&self) -> u64 {
        self.shards
    }

    /// Writes a record to every shard.
    pub(crate) async fn put_one_a_shard(&self) -> Result<(), Error> {
        self.put_in_turn(0, self.shards).await
    }

    /// Writes so many records, to one shard after the other, beginning with the `first`th in turn.
    pub(crate) async fn put_in_turn(&self, first: u64, count: u64) -> Result<(), Error> {
        let entries: Result<Vec<_>, _> = (first..first + count).map(|n| entry(n % self.shards, self.shards)).collect();
        for entries in entries?.chunks(A_CALL) {
            let put = self.kinesis.put_records().stream_name(STREAM).set_records(Some(entries.to_vec()));
            let answer = timeout(PATIENCE, put.send()).await?.map_err(aws_sdk_kinesis::Error::from)?;
            let failed = answer.failed_record_count.unwrap_or(0);
            if failed > 0 {
                return Err(format!("{failed} records could not be written").into());
            }
        }
        Ok(())
    }

    /// The calls that arrived so far.
    pub(crate) async fn calls(&self) -> Result<Calls, Error> {
        timeout(PATIENCE, self.ask_for_calls()).await?
    }

    async fn ask_for_calls(&self) -> Result<Calls, Error> {
        let address = self.endpoint.trim_start_matches("http://");
        let mut connection = TcpStream::connect(address).await?;
        let request = format!("GET /__kcl/calls HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        connection.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await?;
        let (_, body) = answer.split_once("\r\n\r\n").ok_or("the server's counters gave no body")?;
        Ok(serde_json::from_str(body)?)
    }
}

fn entry(shard: u64, shards: u64) -> Result<PutRecordsRequestEntry, Error> {
    let entry = PutRecordsRequestEntry::builder()
        .data(Blob::new(vec![b'x'; 1_000]))
        .partition_key("bench")
        .explicit_hash_key(place::hash_key(shard, shards));
    Ok(entry.build()?)
}
