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

/// What to feed, and where to.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    target: connect::Target,
    /// Shards of the stream, if it has to be created.
    #[arg(long, default_value_t = 4)]
    shards: i32,
    /// A CSV or CSV.gz file with the columns of the bundled one.
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
}

/// The most records that one PutRecords takes.
const BATCH: usize = 500;

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

/// Creates the stream if there is none, and waits until it takes records.
pub(crate) async fn create(client: &Client, stream: &str, shards: i32) -> Result<(), Failure> {
    let failed = |what: &str, error: &dyn std::fmt::Display| format!("cannot {what} stream {stream}: {error}");
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

/// Puts all flights in order, and tells the sequence numbers of each answer.
///
/// Kinesis refuses records of a batch one by one (a shard takes 1,000 a second): those are put again, later and with
/// the rest of their batch, so flights of one aeroplane may then change places. A producer that must keep their order
/// puts them one after the other.
pub(crate) async fn put(
    client: &Client,
    stream: &str,
    flights: &[Flight],
    mut accepted: impl FnMut(Vec<String>),
) -> Result<(), Failure> {
    let pauses = ExponentialBuilder::default()
        .with_jitter()
        .with_min_delay(Duration::from_millis(50))
        .with_max_delay(Duration::from_secs(2))
        .with_max_times(20);
    for batch in flights.chunks(BATCH) {
        let mut waiting = batch.iter().map(entry).collect::<Result<Vec<_>, _>>()?;
        let mut pause = pauses.build();
        while !waiting.is_empty() {
            let answer = client.put_records().stream_name(stream).set_records(Some(waiting.clone())).send().await;
            let answer = answer.map_err(|error| format!("cannot put into {stream}: {}", DisplayErrorContext(error)))?;
            let settled = settle(waiting, answer.records());
            if !settled.numbers.is_empty() {
                accepted(settled.numbers);
                pause = pauses.build();
            }
            waiting = settled.refused;
            if let Some(reason) = settled.reason {
                let Some(time) = pause.next() else {
                    return Err(format!("stream {stream} keeps refusing records: {reason}").into());
                };
                tokio::time::sleep(time).await;
            }
        }
    }
    Ok(())
}

/// Puts so many records that are no flights.
pub(crate) async fn put_broken(client: &Client, stream: &str, count: usize) -> Result<usize, Failure> {
    for n in 0..count {
        let put = client.put_record().stream_name(stream).partition_key(format!("broken-{n}"));
        let put = put.data(Blob::new(format!("no flight {n}"))).send().await;
        put.map_err(|error| format!("cannot put into {stream}: {}", DisplayErrorContext(error)))?;
    }
    Ok(count)
}

fn entry(flight: &Flight) -> Result<PutRecordsRequestEntry, Failure> {
    let data = Blob::new(serde_json::to_vec(flight)?);
    Ok(PutRecordsRequestEntry::builder().partition_key(flight.partition_key()).data(data).build()?)
}

/// What an answer to PutRecords settles.
#[derive(Debug, Default, PartialEq)]
struct Settled {
    /// The sequence numbers of what was accepted.
    numbers: Vec<String>,
    /// What was not.
    refused: Vec<PutRecordsRequestEntry>,
    /// Why the last of these was not.
    reason: Option<String>,
}

/// The answer has an entry for each of the request, in its order.
fn settle(entries: Vec<PutRecordsRequestEntry>, results: &[PutRecordsResultEntry]) -> Settled {
    let mut settled = Settled::default();
    for (at, entry) in entries.into_iter().enumerate() {
        let result = results.get(at);
        match result.and_then(PutRecordsResultEntry::sequence_number) {
            Some(number) => settled.numbers.push(number.to_owned()),
            None => {
                settled.refused.push(entry);
                let reason = result.and_then(PutRecordsResultEntry::error_code).unwrap_or("no reason given");
                settled.reason = Some(reason.to_owned());
            }
        }
    }
    settled
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(keys: &[&str]) -> Vec<PutRecordsRequestEntry> {
        let entry = |key: &&str| PutRecordsRequestEntry::builder().partition_key(*key).data(Blob::new("{}")).build();
        keys.iter().map(entry).collect::<Result<_, _>>().unwrap()
    }

    #[test]
    fn what_was_refused_waits_in_its_order() {
        let accepted = |number: &str| PutRecordsResultEntry::builder().sequence_number(number).build();
        let refused = PutRecordsResultEntry::builder().error_code("ProvisionedThroughputExceededException").build();
        let settled = settle(entries(&["a", "b", "c", "d"]), &[refused.clone(), accepted("7"), refused, accepted("8")]);
        assert_eq!((settled.numbers, settled.refused), (vec!["7".to_owned(), "8".to_owned()], entries(&["a", "c"])));
        assert_eq!(settled.reason.as_deref(), Some("ProvisionedThroughputExceededException"));
    }

    #[test]
    fn an_answer_that_is_too_short_accepts_nothing_it_does_not_name() {
        assert_eq!(settle(entries(&["a"]), &[]).refused, entries(&["a"]));
    }
}
