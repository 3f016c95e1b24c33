//! The least that reads a stream: GetRecords with the SDK in a loop, a task a shard. No leases, no checkpoints.

use std::sync::Arc;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::ShardIteratorType;
use futures_util::future::try_join_all;

use super::tally::Tally;
use crate::Error;
use crate::place::{self, STREAM};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[arg(long)]
    endpoint: String,
    /// Ends when so many records came.
    #[arg(long)]
    drain: u64,
}

/// The most that GetRecords gives.
const LIMIT: i32 = 10_000;

pub(super) async fn play(arguments: Arguments) -> Result<(), Error> {
    let client = Client::new(&place::sdk_config(&arguments.endpoint));
    let tally = Arc::new(Tally::new(arguments.drain));
    let listed = client.list_shards().stream_name(STREAM).send().await.map_err(aws_sdk_kinesis::Error::from)?;
    let readers = listed.shards.unwrap_or_default().into_iter().map(|shard| {
        let (client, tally) = (client.clone(), Arc::clone(&tally));
        tokio::spawn(async move { read(&client, shard.shard_id, &tally).await })
    });
    for outcome in try_join_all(readers).await? {
        outcome?;
    }
    Err("the stream has fewer records than were asked for".into())
}

/// Reads a shard to its tip.
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
