//! Reads a stream with the bare SDK: GetRecords or a subscription in a loop, one task per shard, no
//! leases, no checkpoints.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::{ConsumerStatus, ShardIteratorType, StartingPosition, SubscribeToShardEventStream};
use futures_util::future::try_join_all;

use super::tally::Tally;
use crate::Error;
use crate::target::{self, STREAM};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[arg(long)]
    endpoint: String,
    /// Number of records after which the process ends.
    #[arg(long)]
    drain: u64,
    /// Read by enhanced fan-out.
    #[arg(long)]
    fan_out: bool,
}

/// The maximum of GetRecords.
const LIMIT: i32 = 10_000;

pub(super) async fn run(arguments: Arguments) -> Result<(), Error> {
    let client = Client::new(&target::sdk_config(&arguments.endpoint));
    let tally = Arc::new(Tally::new(arguments.drain));
    let list = client.list_shards().stream_name(STREAM).send().await.map_err(aws_sdk_kinesis::Error::from)?;
    let consumer = if arguments.fan_out { Some(consumer(&client).await?) } else { None };
    let readers = list.shards.unwrap_or_default().into_iter().map(|shard| {
        let (client, tally, consumer) = (client.clone(), Arc::clone(&tally), consumer.clone());
        tokio::spawn(async move {
            match consumer {
                Some(consumer) => subscribe(&client, &consumer, &shard.shard_id, &tally).await,
                None => Ok(read(&client, shard.shard_id, &tally).await?),
            }
        })
    });
    for outcome in try_join_all(readers).await? {
        outcome?;
    }
    Err("the stream has fewer records than expected".into())
}

/// Registers a consumer for this process, and waits until it is active.
async fn consumer(client: &Client) -> Result<String, Error> {
    let described = client.describe_stream_summary().stream_name(STREAM).send().await?;
    let arn = described.stream_description_summary.ok_or("no stream")?.stream_arn;
    let name = format!("bare-{}", std::process::id());
    client.register_stream_consumer().stream_arn(&arn).consumer_name(&name).send().await?;
    loop {
        let found = client.describe_stream_consumer().stream_arn(&arn).consumer_name(&name).send().await?;
        let found = found.consumer_description.ok_or("no consumer")?;
        if found.consumer_status == ConsumerStatus::Active {
            return Ok(found.consumer_arn);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Counts the records that a subscription pushes.
async fn subscribe(client: &Client, consumer: &str, shard: &str, tally: &Tally) -> Result<(), Error> {
    let start = StartingPosition::builder().r#type(ShardIteratorType::TrimHorizon).build()?;
    let call = client.subscribe_to_shard().consumer_arn(consumer).shard_id(shard).starting_position(start);
    let mut events = call.send().await?.event_stream;
    while let Some(event) = events.recv().await? {
        if let SubscribeToShardEventStream::SubscribeToShardEvent(event) = event {
            tally.add(event.records.len(), event.records.iter().map(|record| record.data.as_ref().len()).sum());
        }
    }
    Ok(())
}

/// Counts the records of a shard up to its tip.
async fn read(client: &Client, shard: String, tally: &Tally) -> Result<(), aws_sdk_kinesis::Error> {
    let first = client.get_shard_iterator().stream_name(STREAM).shard_id(shard);
    let mut iterator = first.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await?.shard_iterator;
    while iterator.is_some() {
        let answer = client.get_records().set_shard_iterator(iterator).limit(LIMIT).send().await?;
        tally.add(answer.records.len(), answer.records.iter().map(|record| record.data.as_ref().len()).sum());
        if answer.millis_behind_latest == Some(0) {
            break;
        }
        iterator = answer.next_shard_iterator;
    }
    Ok(())
}
