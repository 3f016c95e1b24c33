//! The embedded servers, without limits, and a stream that is filled before anybody can ask for it.

use std::future::pending;
use std::time::Duration;

use bytes::Bytes;
use kcl_local::kinesis::model::{Blob, CreateStreamInput, PutRecordsInput, PutRecordsRequestEntry, Request};
use kcl_local::kinesis::{Engine, EngineConfig, EngineTime};
use kcl_local::{LocalAws, Service};

use super::Said;
use crate::Error;
use crate::place::{self, STREAM};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[arg(long)]
    shards: u64,
    /// Records of 1 KB, in turn to each shard.
    #[arg(long)]
    records: u64,
    /// Of so many keys; each its own if absent.
    #[arg(long)]
    keys: Option<u64>,
    #[arg(long, value_parser = humantime::parse_duration)]
    kinesis_latency: Duration,
    #[arg(long, value_parser = humantime::parse_duration)]
    dynamodb_latency: Duration,
    #[arg(long, value_parser = humantime::parse_duration)]
    table_delay: Duration,
}

/// What PutRecords takes at most.
const A_CALL: u64 = 500;
const RECORD: usize = 1_000;

pub(super) async fn play(arguments: Arguments) -> Result<(), Error> {
    let aws = LocalAws::builder()
        // Without state transitions and limits.
        .engine(EngineConfig::in_process())
        .table_delay(arguments.table_delay)
        .latency(Service::Kinesis, arguments.kinesis_latency)
        .latency(Service::DynamoDb, arguments.dynamodb_latency)
        .start()
        .await?;
    let scope = aws.scope().clone();
    let ask =
        |request: Request| aws.with_engine(|engine: &mut Engine, now: EngineTime| engine.handle(&scope, request, now));
    let shard_count = Some(i64::try_from(arguments.shards)?);
    let refused = |error| format!("the stream could not be made: {error:?}");
    ask(CreateStreamInput { stream_name: Some(STREAM.to_owned()), shard_count, ..Default::default() }.into())
        .map_err(refused)?;
    let keys: Vec<String> = (0..arguments.shards).map(|shard| place::hash_key(shard, arguments.shards)).collect();
    let payload = noise();
    let mut record = (0..arguments.records).map(|n| {
        let start = usize::try_from(n % 1_000).unwrap_or(0);
        PutRecordsRequestEntry {
            data: Some(Blob(payload.slice(start..start + RECORD))),
            partition_key: Some(format!("key-{}", arguments.keys.map_or(n, |keys| n % keys))),
            explicit_hash_key: keys.get(usize::try_from(n % arguments.shards).unwrap_or(0)).cloned(),
        }
    });
    for _ in 0..arguments.records.div_ceil(A_CALL) {
        let records = record.by_ref().take(usize::try_from(A_CALL)?).collect();
        let put =
            PutRecordsInput { records: Some(records), stream_name: Some(STREAM.to_owned()), ..Default::default() };
        ask(put.into()).map_err(refused)?;
    }
    Said::Serving { endpoint: aws.endpoint(Service::Kinesis).to_owned() }.say();
    pending().await
}

/// Bytes that all payloads are cut from, so that a large backlog fits into memory.
fn noise() -> Bytes {
    let mut bytes = vec![0; RECORD * 2];
    fastrand::Rng::with_seed(1).fill(&mut bytes);
    bytes.into()
}
