//! Puts a record into every shard each 100 ms, and records their sequence numbers.

use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::PutRecordsRequestEntry;
use kcl_core::record::SequenceNumber;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::Error;
use crate::server::Server;
use crate::target::{self, STREAM};

/// Interval between two records of a shard.
pub(crate) const INTERVAL: Duration = Duration::from_millis(100);
/// A local server that does not answer within this time has failed.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The shard and sequence number of a record.
pub(crate) type RecordId = (String, SequenceNumber);

/// Puts records until it is stopped or dropped.
#[derive(Debug)]
pub(crate) struct Feed {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<Vec<RecordId>, Error>>,
}

impl Feed {
    /// Starts a task that puts one record into each of `parts` equal parts of the hash key space,
    /// every 100 ms, with one call.
    pub(crate) fn start(server: &Server, parts: u64) -> Result<Self, Error> {
        let client = Client::new(&target::sdk_config(server.endpoint()));
        let entries: Result<Vec<_>, Error> = (0..parts).map(|part| entry(part, parts)).collect();
        let entries = entries?;
        let (stop, mut stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            let mut written = Vec::new();
            let mut tick = interval(INTERVAL);
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

    /// Stops the task and returns the records that it put.
    pub(crate) async fn stop(self) -> Result<Vec<RecordId>, Error> {
        // The receiver is gone if the task failed; the next line returns its error.
        _ = self.stop.send(());
        self.task.await?
    }
}

fn entry(part: u64, parts: u64) -> Result<PutRecordsRequestEntry, Error> {
    let entry = PutRecordsRequestEntry::builder()
        .data(Blob::new(vec![b'x'; 100]))
        .partition_key("bench")
        .explicit_hash_key(target::hash_key(part, parts));
    Ok(entry.build()?)
}

async fn put(client: &Client, entries: Vec<PutRecordsRequestEntry>) -> Result<Vec<RecordId>, Error> {
    let call = client.put_records().stream_name(STREAM).set_records(Some(entries));
    let answer = timeout(TIMEOUT, call.send()).await?.map_err(aws_sdk_kinesis::Error::from)?;
    let ids = answer.records.into_iter().map(|record| match (record.shard_id, record.sequence_number) {
        (Some(shard), Some(sequence)) => Ok((shard, sequence.parse()?)),
        (_, _) => Err("a record was not accepted".into()),
    });
    ids.collect()
}
