//! `flights`: the whole example in one process.
//!
//! Starts embedded servers, puts every flight into a stream and reads the stream with two workers.
//! Halfway it splits a shard and shuts one worker down. At the end no flight may be lost, and none
//! repeated.

use crate::Failure;
use crate::feed;
use crate::flight::Flight;
use crate::input;
use crate::progress::Progress;
use crate::tally::{Handled, Summary, Tally};
use aws_sdk_kinesis::error::DisplayErrorContext;
use kcl_core::prelude::*;
use kcl_local::kinesis::EngineConfig;
use kcl_local::{LocalAws, Service};
use std::path::Path;
use std::time::Duration;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

const APPLICATION: &str = "flights-demo";
const STREAM: &str = "flights";
const SHARDS: i32 = 4;
/// If no event arrives for this long, flights that are still missing count as lost.
const EVENT_TIMEOUT: Duration = Duration::from_secs(60);

enum Event {
    /// The feed put records and got these sequence numbers for them.
    Put(Vec<String>),
    /// The feed has put all flights.
    FeedFinished,
    /// A worker processed a flight.
    Processed(Handled),
    /// The second worker has shut down.
    WorkerStopped { after: Duration },
}

/// Processes the flights of one shard: sends an event for each.
///
/// The worker creates one processor per shard, so that processors share no state unless they are
/// given some.
#[derive(RecordProcessor)]
#[processor(json, handler = "departed")]
struct FlightProcessor {
    events: UnboundedSender<Event>,
}

impl FlightProcessor {
    async fn departed(&self, flight: Flight, meta: &RecordMeta) -> Result<(), BoxError> {
        let sequence_number = meta.sequence_number().to_string();
        let handled = Handled { sequence_number, carrier: flight.carrier, dep_delay: flight.dep_delay };
        self.events.send(Event::Processed(handled))?;
        Ok(())
    }
}

pub(crate) async fn run(file: Option<&Path>) -> Result<Summary, Failure> {
    let flights = input::read(file.unwrap_or(&input::bundled()))?;
    let begin = Instant::now();
    let aws = start_servers().await?;
    let endpoint = aws.endpoint(Service::Kinesis);
    eprintln!("Kinesis and DynamoDB run in this process, at {endpoint}; {SHARDS} shards, two workers");
    feed::create(&aws.kinesis(), STREAM, SHARDS).await?;

    let (sender, mut events) = mpsc::unbounded_channel();
    let first = RunningWorker::start(&aws, "first", &sender).await?;
    let second = RunningWorker::start(&aws, "second", &sender).await?;
    let progress = Progress::new(flights.len());
    let (total, client) = (flights.len(), aws.kinesis());
    let feed = tokio::spawn({
        let sender = sender.clone();
        async move { put_all(&client, &flights, &sender).await }
    });

    let mut counter = Counter::new(total, progress);
    counter.until_half(&mut events).await;
    split_first_shard(&aws.kinesis()).await?;
    counter.progress.note("halfway: splitting one shard, and shutting the second worker down");
    let shutdown = tokio::spawn(async move {
        let begin = Instant::now();
        second.shutdown().await?;
        // The receiver may be gone: the counter does not wait for this event.
        _ = sender.send(Event::WorkerStopped { after: begin.elapsed() });
        Ok::<_, Failure>(())
    });
    counter.until_all(&mut events).await;

    feed.await??;
    shutdown.await??;
    let elapsed = begin.elapsed();
    first.shutdown().await?;
    // Flights that the workers processed during their shutdown are repeats: count them too.
    events.close();
    counter.remaining(&mut events).await;
    drop(counter.progress);
    aws.shutdown().await;
    Ok(counter.tally.summary(counter.tally.missing(&counter.put), elapsed))
}

/// Starts the servers with write limits as on AWS (1,000 records and 1 MiB a second per shard), so
/// that the feed has to retry records that were throttled.
async fn start_servers() -> Result<LocalAws, Failure> {
    let mut engine = EngineConfig::over_http();
    engine.write_throttling = true;
    Ok(LocalAws::builder().engine(engine).start().await?)
}

async fn put_all(
    client: &aws_sdk_kinesis::Client,
    flights: &[Flight],
    events: &UnboundedSender<Event>,
) -> Result<(), Failure> {
    // The receiver may be gone: the counter stops after EVENT_TIMEOUT.
    feed::put(client, STREAM, flights, |sequence_numbers| _ = events.send(Event::Put(sequence_numbers))).await?;
    _ = events.send(Event::FeedFinished);
    Ok(())
}

/// Splits the first shard in the middle of its hash key range.
async fn split_first_shard(client: &aws_sdk_kinesis::Client) -> Result<(), Failure> {
    let list = client.list_shards().stream_name(STREAM).send().await;
    let list = list.map_err(|error| format!("cannot list shards: {}", DisplayErrorContext(error)))?;
    let shard = list.shards().first().ok_or("the stream has no shard")?;
    let range = shard.hash_key_range().ok_or("the shard has no hash key range")?;
    let (low, high): (u128, u128) = (range.starting_hash_key().parse()?, range.ending_hash_key().parse()?);
    let middle = low + (high - low) / 2 + 1;
    let split = client.split_shard().stream_name(STREAM).shard_to_split(shard.shard_id());
    let split = split.new_starting_hash_key(middle.to_string()).send().await;
    split.map_err(|error| format!("cannot split a shard: {}", DisplayErrorContext(error)))?;
    Ok(())
}

/// A worker, and the task that runs it.
struct RunningWorker {
    handle: WorkerHandle,
    task: JoinHandle<Result<(), kcl_core::Error>>,
}

impl RunningWorker {
    async fn start(aws: &LocalAws, name: &str, events: &UnboundedSender<Event>) -> Result<Self, Failure> {
        let events = events.clone();
        let worker = Worker::builder(APPLICATION, STREAM)
            .sdk_config(&aws.sdk_config())
            .worker_id(name)
            .processor(move |_: &ShardId| FlightProcessor { events: events.clone() })
            .build()
            .await?;
        Ok(RunningWorker { handle: worker.handle(), task: tokio::spawn(worker.run()) })
    }

    /// Shuts the worker down: it finishes its running batches, stores their checkpoints and
    /// releases its leases.
    async fn shutdown(self) -> Result<(), Failure> {
        self.handle.shutdown(Duration::from_secs(25)).await;
        Ok(self.task.await??)
    }
}

/// Counts the flights that were put and the flights that were processed.
struct Counter {
    total: usize,
    put: Vec<String>,
    feed_finished: bool,
    tally: Tally,
    progress: Progress,
}

impl Counter {
    fn new(total: usize, progress: Progress) -> Self {
        Counter { total, put: Vec::new(), feed_finished: false, tally: Tally::default(), progress }
    }

    async fn until_half(&mut self, events: &mut UnboundedReceiver<Event>) {
        while self.tally.records() < self.total / 2 && self.next(events).await {}
    }

    async fn until_all(&mut self, events: &mut UnboundedReceiver<Event>) {
        while !(self.feed_finished && self.tally.records() >= self.put.len()) && self.next(events).await {}
    }

    /// Counts the events that are still in the closed channel.
    async fn remaining(&mut self, events: &mut UnboundedReceiver<Event>) {
        while let Some(event) = events.recv().await {
            self.count(event);
        }
    }

    /// Counts the next event. Returns false if none arrives.
    async fn next(&mut self, events: &mut UnboundedReceiver<Event>) -> bool {
        let Ok(Some(event)) = timeout(EVENT_TIMEOUT, events.recv()).await else { return false };
        self.count(event);
        true
    }

    fn count(&mut self, event: Event) {
        match event {
            Event::Put(sequence_numbers) => self.put.extend(sequence_numbers),
            Event::FeedFinished => self.feed_finished = true,
            Event::WorkerStopped { after } => {
                let seconds = after.as_secs_f64();
                self.progress
                    .note(&format!("the second worker stopped after {seconds:.1} s; the first reads all shards"));
            }
            Event::Processed(handled) => {
                self.tally.add(handled);
                self.progress.reached(self.tally.records());
            }
        }
    }
}
