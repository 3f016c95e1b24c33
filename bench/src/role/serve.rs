//! Runs the embedded servers without limits, with a stream that is filled before the first client
//! connects.

use std::future::pending;
use std::time::Duration;

use bytes::Bytes;
use kcl_local::kinesis::model::{Blob, CreateStreamInput, PutRecordsInput, PutRecordsRequestEntry, Request};
use kcl_local::kinesis::{Engine, EngineConfig, EngineTime};
use kcl_local::{LocalAws, Service};

use super::Message;
use crate::Error;
use crate::target::{self, STREAM};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[arg(long)]
    shards: u64,
    /// Number of records of 1 KB, put into the shards in turn.
    #[arg(long)]
    records: u64,
    /// Number of different partition keys. Default: one per record.
    #[arg(long)]
    keys: Option<u64>,
    #[arg(long, value_parser = humantime::parse_duration)]
    kinesis_latency: Duration,
    #[arg(long, value_parser = humantime::parse_duration)]
    dynamodb_latency: Duration,
    #[arg(long, value_parser = humantime::parse_duration)]
    table_delay: Duration,
}

/// The maximum of PutRecords.
const MAX_RECORDS_PER_CALL: u64 = 500;
const RECORD_BYTES: usize = 1_000;

pub(super) async fn run(arguments: Arguments) -> Result<(), Error> {
    let aws = LocalAws::builder()
        // No state transitions and no throttling.
        .engine(EngineConfig::in_process())
        .table_delay(arguments.table_delay)
        .latency(Service::Kinesis, arguments.kinesis_latency)
        .latency(Service::DynamoDb, arguments.dynamodb_latency)
        .start()
        .await?;
    let scope = aws.scope().clone();
    let call =
        |request: Request| aws.with_engine(|engine: &mut Engine, now: EngineTime| engine.handle(&scope, request, now));
    let shard_count = Some(i64::try_from(arguments.shards)?);
    let failed = |error| format!("cannot fill the stream: {error:?}");
    call(CreateStreamInput { stream_name: Some(STREAM.to_owned()), shard_count, ..Default::default() }.into())
        .map_err(failed)?;
    let keys: Vec<String> = (0..arguments.shards).map(|shard| target::hash_key(shard, arguments.shards)).collect();
    let payload = random_bytes();
    let mut record = (0..arguments.records).map(|n| {
        let start = usize::try_from(n % 1_000).unwrap_or(0);
        PutRecordsRequestEntry {
            data: Some(Blob(payload.slice(start..start + RECORD_BYTES))),
            partition_key: Some(format!("key-{}", arguments.keys.map_or(n, |keys| n % keys))),
            explicit_hash_key: keys.get(usize::try_from(n % arguments.shards).unwrap_or(0)).cloned(),
        }
    });
    for _ in 0..arguments.records.div_ceil(MAX_RECORDS_PER_CALL) {
        let records = record.by_ref().take(usize::try_from(MAX_RECORDS_PER_CALL)?).collect();
        let put =
            PutRecordsInput { records: Some(records), stream_name: Some(STREAM.to_owned()), ..Default::default() };
        call(put.into()).map_err(failed)?;
    }
    Message::Serving { endpoint: aws.endpoint(Service::Kinesis).to_owned() }.print();
    pending().await
}

/// Random bytes. All payloads are slices of them, so that a large backlog fits into memory.
fn random_bytes() -> Bytes {
    let mut bytes = vec![0; RECORD_BYTES * 2];
    fastrand::Rng::with_seed(1).fill(&mut bytes);
    bytes.into()
}
