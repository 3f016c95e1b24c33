//! Starts the embedded servers in a child process, and puts records into their stream.

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
use crate::role::Message;
use crate::target::{self, STREAM};

/// The maximum of PutRecords.
const MAX_RECORDS_PER_CALL: usize = 500;
/// A local server that does not answer within this time has failed.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The delays of the servers.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Latency {
    /// Delay before each answer of Kinesis.
    #[arg(long, default_value = "10ms", value_parser = humantime::parse_duration)]
    kinesis_latency: Duration,
    /// Delay before each answer of DynamoDB.
    #[arg(long, default_value = "5ms", value_parser = humantime::parse_duration)]
    dynamodb_latency: Duration,
    /// Time until a new table is active.
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

/// The servers with one stream.
#[derive(Debug)]
pub(crate) struct Server {
    _process: Child,
    endpoint: String,
    kinesis: aws_sdk_kinesis::Client,
    shards: u64,
}

/// Number of calls since the start of the servers, by operation.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Calls {
    pub(crate) kinesis: BTreeMap<String, u64>,
    pub(crate) dynamodb: BTreeMap<String, u64>,
}

impl Server {
    /// Starts servers without throttling, with a stream that has records of 1 KB, spread evenly
    /// over its shards.
    pub(crate) async fn start(latency: Latency, shards: u64, records: u64) -> Result<Self, Error> {
        Self::start_keyed(latency, shards, records, records.max(1)).await
    }

    /// As [`start`](Self::start), with this number of different partition keys.
    pub(crate) async fn start_keyed(latency: Latency, shards: u64, records: u64, keys: u64) -> Result<Self, Error> {
        let mut arguments = vec!["serve".to_owned(), format!("--shards={shards}"), format!("--records={records}")];
        arguments.push(format!("--keys={keys}"));
        arguments.extend(latency.arguments());
        let mut process = Child::spawn(&arguments)?;
        let (Message::Serving { endpoint }, _) = process.next_message().await? else {
            return Err("the servers did not report their endpoint".into());
        };
        let kinesis = aws_sdk_kinesis::Client::new(&target::sdk_config(&endpoint));
        Ok(Server { _process: process, endpoint, kinesis, shards })
    }

    /// The endpoint of both services.
    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Number of shards of the stream.
    pub(crate) fn shards(&self) -> u64 {
        self.shards
    }

    /// Puts one record into every shard.
    pub(crate) async fn put_one_per_shard(&self) -> Result<(), Error> {
        self.put_in_turn(0, self.shards).await
    }

    /// Puts `count` records into the shards in turn, starting at turn `first`.
    pub(crate) async fn put_in_turn(&self, first: u64, count: u64) -> Result<(), Error> {
        let entries: Result<Vec<_>, _> = (first..first + count).map(|n| entry(n % self.shards, self.shards)).collect();
        for entries in entries?.chunks(MAX_RECORDS_PER_CALL) {
            let put = self.kinesis.put_records().stream_name(STREAM).set_records(Some(entries.to_vec()));
            let answer = timeout(TIMEOUT, put.send()).await?.map_err(aws_sdk_kinesis::Error::from)?;
            let failed = answer.failed_record_count.unwrap_or(0);
            if failed > 0 {
                return Err(format!("{failed} records were not accepted").into());
            }
        }
        Ok(())
    }

    /// Returns the number of calls so far.
    pub(crate) async fn calls(&self) -> Result<Calls, Error> {
        timeout(TIMEOUT, self.fetch_calls()).await?
    }

    async fn fetch_calls(&self) -> Result<Calls, Error> {
        let address = self.endpoint.trim_start_matches("http://");
        let mut connection = TcpStream::connect(address).await?;
        let request = format!("GET /__kcl/calls HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        connection.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await?;
        let (_, body) = answer.split_once("\r\n\r\n").ok_or("the answer with the counters has no body")?;
        Ok(serde_json::from_str(body)?)
    }
}

fn entry(shard: u64, shards: u64) -> Result<PutRecordsRequestEntry, Error> {
    let entry = PutRecordsRequestEntry::builder()
        .data(Blob::new(vec![b'x'; 1_000]))
        .partition_key("bench")
        .explicit_hash_key(target::hash_key(shard, shards));
    Ok(entry.build()?)
}
