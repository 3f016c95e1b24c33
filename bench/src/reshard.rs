//! `reshard`: measures the time from the last record of a parent shard to the first record of each
//! child.

use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::Shard;
use tokio::time::{sleep, timeout};

use crate::feed::Feed;
use crate::figure::{Figure, largest};
use crate::fleet::Fleet;
use crate::server::Server;
use crate::target::STREAM;
use crate::{Error, Options, target};

const SHARDS: u64 = 8;
/// Time for a started fleet to settle, so that its start does not disturb the measurement.
const SETTLE: Duration = Duration::from_secs(3);
/// A local server that does not answer within this time has failed.
const TIMEOUT: Duration = Duration::from_secs(30);

pub(crate) async fn run(options: &Options) -> Result<Vec<Figure>, Error> {
    let mut gaps = Vec::new();
    for run in 1..=options.runs {
        let some = measure(options).await?;
        eprintln!("reshard {run}/{}: {some:.2?} s", options.runs);
        gaps.extend(some);
    }
    Ok(vec![Figure::new("reshard.gap_max", largest(gaps), "s").at_most(1.0)])
}

/// Splits one shard and merges two others while all receive records. Returns the seconds for each
/// child.
async fn measure(options: &Options) -> Result<Vec<f64>, Error> {
    let server = Server::start(options.latency, SHARDS, 0).await?;
    let client = Client::new(&target::sdk_config(server.endpoint()));
    let (fleet, feed) = Fleet::settled(&server, options.failover_time, 2, SETTLE).await?;
    // The first feed puts records at the middle of each shard. After a split only one child would
    // receive them, so a second feed puts records into both halves.
    let halves = Feed::start(&server, 2 * SHARDS)?;
    let shards = list(&client).await?;
    let [split, merged, adjacent, ..] = shards.as_slice() else { return Err("the stream has too few shards".into()) };
    let middle = target::hash_key(0, SHARDS);
    let call = client.split_shard().stream_name(STREAM).shard_to_split(split.shard_id()).new_starting_hash_key(middle);
    timeout(TIMEOUT, call.send()).await?.map_err(aws_sdk_kinesis::Error::from)?;
    let call = client.merge_shards().stream_name(STREAM).shard_to_merge(merged.shard_id());
    let call = call.adjacent_shard_to_merge(adjacent.shard_id());
    timeout(TIMEOUT, call.send()).await?.map_err(aws_sdk_kinesis::Error::from)?;

    let shards = list(&client).await?;
    let children: Vec<(Vec<&str>, &str)> = shards
        .iter()
        .map(|shard| (parents(shard), shard.shard_id()))
        .filter(|(parents, _)| !parents.is_empty())
        .collect();
    fleet
        .wait_until("every child has a record", |journal| {
            children.iter().map(|(parents, child)| journal.between(parents, child)).collect::<Option<Vec<_>>>()
        })
        .await?;
    // Time for late records of the parents, which would be an error.
    sleep(SETTLE).await;
    fleet.drained(feed).await?;
    fleet.drained(halves).await?;
    let journal = fleet.journal();
    let seconds = |(parents, child): &(Vec<&str>, &str)| {
        let gap = journal.between(parents, child).ok_or("a child's first record came before its parent's last")?;
        Ok(gap.as_secs_f64())
    };
    children.iter().map(seconds).collect()
}

fn parents(shard: &Shard) -> Vec<&str> {
    shard.parent_shard_id().into_iter().chain(shard.adjacent_parent_shard_id()).collect()
}

async fn list(client: &Client) -> Result<Vec<Shard>, Error> {
    let call = client.list_shards().stream_name(STREAM).send();
    Ok(timeout(TIMEOUT, call).await?.map_err(aws_sdk_kinesis::Error::from)?.shards.unwrap_or_default())
}
