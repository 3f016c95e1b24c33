//! Gives every shard a record each 100 ms, and remembers which.

use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::PutRecordsRequestEntry;
use kcl_core::record::SequenceNumber;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::Error;
use crate::place::{self, STREAM};
use crate::server::Server;

/// Between two records of a shard.
pub(crate) const EVERY: Duration = Duration::from_millis(100);
/// Servers on the same machine that take longer are lost.
const PATIENCE: Duration = Duration::from_secs(30);

/// A record's shard and sequence number.
pub(crate) type RecordId = (String, SequenceNumber);

/// Puts records until it is stopped or dropped.
#[derive(Debug)]
pub(crate) struct Feed {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<Vec<RecordId>, Error>>,
}

impl Feed {
    /// A record each 100 ms for each of so many equal parts of the hash keys, one call for all.
    pub(crate) fn start(server: &Server, parts: u64) -> Result<Self, Error> {
        let client = Client::new(&place::sdk_config(server.endpoint()));
        let entries: Result<Vec<_>, Error> = (0..parts).map(|part| entry(part, parts)).collect();
        let entries = entries?;
        let (stop, mut stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            let mut written = Vec::new();
            let mut tick = interval(EVERY);
            tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
            loop {
                tokio::select! {
                    _ = &mut stopped => return Ok(written),
                    _ = tick.tick() => written.extend(put(&client, entries.clone()).await?),
                }
            }
        });
        Ok(Feed { stop, task })
    }

    /// Stops, and tells what was written.
    pub(crate) async fn stop(self) -> Result<Vec<RecordId>, Error> {
        // It may have ended by itself: then with an error, which follows.
        _ = self.stop.send(());
        self.task.await?
    }
}

fn entry(part: u64, parts: u64) -> Result<PutRecordsRequestEntry, Error> {
    let entry = PutRecordsRequestEntry::builder()
        .data(Blob::new(vec![b'x'; 100]))
        .partition_key("bench")
        .explicit_hash_key(place::hash_key(part, parts));
    Ok(entry.build()?)
}

async fn put(client: &Client, entries: Vec<PutRecordsRequestEntry>) -> Result<Vec<RecordId>, Error> {
    let call = client.put_records().stream_name(STREAM).set_records(Some(entries));
    let answer = timeout(PATIENCE, call.send()).await?.map_err(aws_sdk_kinesis::Error::from)?;
    let ids = answer.records.into_iter().map(|record| match (record.shard_id, record.sequence_number) {
        (Some(shard), Some(sequence)) => Ok((shard, sequence.parse()?)),
        (_, _) => Err("a record could not be written".into()),
    });
    ids.collect()
}
