//! `flights feed`: puts every flight of a file into a stream.

use crate::Failure;
use crate::connect;
use crate::flight::Flight;
use crate::input;
use crate::progress::Progress;
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::error::DisplayErrorContext;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, PutRecordsResultEntry, StreamStatus};
use backon::{BackoffBuilder, ExponentialBuilder};
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    target: connect::Target,
    /// Number of shards, if the stream has to be created.
    #[arg(long, default_value_t = 4)]
    shards: i32,
    /// A CSV or CSV.gz file with the columns of the bundled file.
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
}

/// The limit of one PutRecords call
/// (<https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html>).
const MAX_RECORDS_PER_CALL: usize = 500;

pub(crate) async fn run(arguments: &Arguments) -> Result<(), Failure> {
    let flights = input::read(arguments.input.as_deref().unwrap_or(&input::bundled()))?;
    let (client, stream) = (Client::new(&arguments.target.config().await?), &arguments.target.stream);
    create(&client, stream, arguments.shards).await?;
    let (mut progress, mut accepted) = (Progress::new(flights.len()), 0);
    put(&client, stream, &flights, |numbers| {
        accepted += numbers.len();
        progress.reached(accepted);
    })
    .await?;
    drop(progress);
    println!("{accepted} flights put into stream {stream}");
    Ok(())
}

/// Creates the stream if it does not exist, and waits until it accepts records.
pub(crate) async fn create(client: &Client, stream: &str, shards: i32) -> Result<(), Failure> {
    let failed = |action: &str, error: &dyn std::fmt::Display| format!("cannot {action} stream {stream}: {error}");
    let created = client.create_stream().stream_name(stream).shard_count(shards).send().await;
    if let Err(error) = created
        && !error.as_service_error().is_some_and(|error| error.is_resource_in_use_exception())
    {
        return Err(failed("create", &DisplayErrorContext(error)).into());
    }
    let active = async {
        loop {
            let described = client.describe_stream_summary().stream_name(stream).send().await;
            let described = described.map_err(|error| failed("describe", &DisplayErrorContext(error)))?;
            let status = described.stream_description_summary().map(|summary| summary.stream_status().clone());
            if status.is_some_and(|status| matches!(status, StreamStatus::Active | StreamStatus::Updating)) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(120), active).await;
    waited.unwrap_or_else(|_| Err(failed("use", &"it did not become active within 120 s").into()))
}

/// Puts all flights, and passes the sequence numbers of each answer to `accepted`.
///
/// PutRecords may accept some records of a batch and throttle others (a shard accepts 1,000 records
/// a second). Throttled records are put again, so flights of one aircraft may change their order. A
/// producer that must keep the order of a key puts its records one after the other (`PutRecord`
/// with `SequenceNumberForOrdering`).
pub(crate) async fn put(
    client: &Client,
    stream: &str,
    flights: &[Flight],
    mut accepted: impl FnMut(Vec<String>),
) -> Result<(), Failure> {
    let backoff = ExponentialBuilder::default()
        .with_jitter()
        .with_min_delay(Duration::from_millis(50))
        .with_max_delay(Duration::from_secs(2))
        .with_max_times(20);
    for batch in flights.chunks(MAX_RECORDS_PER_CALL) {
        let mut pending = batch.iter().map(entry).collect::<Result<Vec<_>, _>>()?;
        let mut pauses = backoff.build();
        while !pending.is_empty() {
            let answer = client.put_records().stream_name(stream).set_records(Some(pending.clone())).send().await;
            let answer = answer.map_err(|error| format!("cannot put into {stream}: {}", DisplayErrorContext(error)))?;
            let results = sort_answer(pending, answer.records());
            if !results.accepted.is_empty() {
                accepted(results.accepted);
                pauses = backoff.build();
            }
            pending = results.throttled;
            if let Some(reason) = results.reason {
                let Some(pause) = pauses.next() else {
                    return Err(format!("stream {stream} keeps throttling records: {reason}").into());
                };
                tokio::time::sleep(pause).await;
            }
        }
    }
    Ok(())
}

/// Puts `count` records that are not JSON.
pub(crate) async fn put_broken(client: &Client, stream: &str, count: usize) -> Result<usize, Failure> {
    for n in 0..count {
        let put = client.put_record().stream_name(stream).partition_key(format!("broken-{n}"));
        let put = put.data(Blob::new(format!("not a flight {n}"))).send().await;
        put.map_err(|error| format!("cannot put into {stream}: {}", DisplayErrorContext(error)))?;
    }
    Ok(count)
}

fn entry(flight: &Flight) -> Result<PutRecordsRequestEntry, Failure> {
    let data = Blob::new(serde_json::to_vec(flight)?);
    Ok(PutRecordsRequestEntry::builder().partition_key(flight.partition_key()).data(data).build()?)
}

/// The answer to a PutRecords call, sorted by the fate of each record.
#[derive(Debug, Default, PartialEq)]
struct SortedAnswer {
    /// Sequence numbers of the accepted records.
    accepted: Vec<String>,
    throttled: Vec<PutRecordsRequestEntry>,
    /// The error code of the last throttled record.
    reason: Option<String>,
}

/// An answer has one result per entry of the request, in the same order.
fn sort_answer(entries: Vec<PutRecordsRequestEntry>, results: &[PutRecordsResultEntry]) -> SortedAnswer {
    let mut sorted = SortedAnswer::default();
    for (index, entry) in entries.into_iter().enumerate() {
        let result = results.get(index);
        match result.and_then(PutRecordsResultEntry::sequence_number) {
            Some(number) => sorted.accepted.push(number.to_owned()),
            None => {
                sorted.throttled.push(entry);
                let reason = result.and_then(PutRecordsResultEntry::error_code).unwrap_or("no reason given");
                sorted.reason = Some(reason.to_owned());
            }
        }
    }
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(keys: &[&str]) -> Vec<PutRecordsRequestEntry> {
        let entry = |key: &&str| PutRecordsRequestEntry::builder().partition_key(*key).data(Blob::new("{}")).build();
        keys.iter().map(entry).collect::<Result<_, _>>().unwrap()
    }

    #[test]
    fn throttled_records_stay_in_order() {
        let accepted = |number: &str| PutRecordsResultEntry::builder().sequence_number(number).build();
        let throttled = PutRecordsResultEntry::builder().error_code("ProvisionedThroughputExceededException").build();
        let sorted =
            sort_answer(entries(&["a", "b", "c", "d"]), &[throttled.clone(), accepted("7"), throttled, accepted("8")]);
        assert_eq!((sorted.accepted, sorted.throttled), (vec!["7".to_owned(), "8".to_owned()], entries(&["a", "c"])));
        assert_eq!(sorted.reason.as_deref(), Some("ProvisionedThroughputExceededException"));
    }

    #[test]
    fn a_record_without_a_result_is_put_again() {
        assert_eq!(sort_answer(entries(&["a"]), &[]).throttled, entries(&["a"]));
    }
}
