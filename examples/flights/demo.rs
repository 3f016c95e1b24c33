//! `flights`: the whole way in one process. Embedded servers, a feed, two workers; half-way a shard is split and one
//! of the workers stops.

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

const STREAM: &str = "flights";
const SHARDS: i32 = 4;
/// With nothing new for so long, what is missing counts as lost.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the demonstration counts.
enum News {
    /// The feed has these sequence numbers for what it put.
    Put(Vec<String>),
    /// The feed is done.
    AllPut,
    /// A handler saw a flight.
    Handled(Handled),
    /// The second worker was asked to stop and has stopped.
    Stopped { after: Duration },
}

/// Tells of each flight. The value of a lease's processor; four of them work at once, and none shares anything.
#[derive(RecordProcessor)]
#[processor(json, handler = "departed")]
struct Teller {
    news: UnboundedSender<News>,
}

impl Teller {
    async fn departed(&self, flight: Flight, meta: &RecordMeta) -> Result<(), BoxError> {
        let sequence_number = meta.sequence_number().to_string();
        let handled = Handled { sequence_number, carrier: flight.carrier, dep_delay: flight.dep_delay };
        self.news.send(News::Handled(handled))?;
        Ok(())
    }
}

pub(crate) async fn run(file: Option<&Path>) -> Result<Summary, Failure> {
    let flights = input::read(file.unwrap_or(&input::bundled()))?;
    let begin = Instant::now();
    let aws = servers().await?;
    let at = aws.endpoint(Service::Kinesis);
    eprintln!("Kinesis and DynamoDB are in this process, at {at}; {SHARDS} shards, two workers");
    feed::create(&aws.kinesis(), STREAM, SHARDS).await?;

    let (news, mut heard) = mpsc::unbounded_channel();
    let first = Member::start(&aws, "first", &news).await?;
    let second = Member::start(&aws, "second", &news).await?;
    let progress = Progress::new(flights.len());
    let (total, client) = (flights.len(), aws.kinesis());
    let feed = tokio::spawn({
        let news = news.clone();
        async move { feed_all(&client, &flights, &news).await }
    });

    let mut count = Count::new(total, progress);
    count.until_half(&mut heard).await;
    split_one(&aws.kinesis()).await?;
    count.progress.note("half-way: one shard is split in two, and the second worker is asked to stop");
    let stopped = tokio::spawn(async move {
        let asked = Instant::now();
        second.stop().await?;
        // Nobody listens any more once the count has ended.
        _ = news.send(News::Stopped { after: asked.elapsed() });
        Ok::<_, Failure>(())
    });
    count.until_all(&mut heard).await;

    feed.await??;
    stopped.await??;
    let took = begin.elapsed();
    first.stop().await?;
    // What was handled while the last worker stopped would be a repeat.
    heard.close();
    count.rest(&mut heard).await;
    drop(count.progress);
    aws.shutdown().await;
    Ok(count.tally.summary(count.tally.missing(&count.put), took))
}

/// A shard takes 1,000 records and 1 MiB a second, as on AWS: the feed has to wait and put again what was refused.
async fn servers() -> Result<LocalAws, Failure> {
    let mut engine = EngineConfig::over_http();
    engine.write_throttling = true;
    Ok(LocalAws::builder().engine(engine).start().await?)
}

async fn feed_all(
    client: &aws_sdk_kinesis::Client,
    flights: &[Flight],
    news: &UnboundedSender<News>,
) -> Result<(), Failure> {
    feed::put(client, STREAM, flights, |numbers| {
        // Nobody listens any more once the count has ended.
        _ = news.send(News::Put(numbers));
    })
    .await?;
    _ = news.send(News::AllPut);
    Ok(())
}

/// Splits the first open shard in the middle of its hash keys.
async fn split_one(client: &aws_sdk_kinesis::Client) -> Result<(), Failure> {
    let listed = client.list_shards().stream_name(STREAM).send().await;
    let listed = listed.map_err(|error| format!("cannot list shards: {}", DisplayErrorContext(error)))?;
    let shard = listed.shards().first().ok_or("the stream has no shard")?;
    let range = shard.hash_key_range().ok_or("the shard has no hash key range")?;
    let (low, high): (u128, u128) = (range.starting_hash_key().parse()?, range.ending_hash_key().parse()?);
    let middle = low + (high - low) / 2 + 1;
    let split = client.split_shard().stream_name(STREAM).shard_to_split(shard.shard_id());
    let split = split.new_starting_hash_key(middle.to_string()).send().await;
    split.map_err(|error| format!("cannot split a shard: {}", DisplayErrorContext(error)))?;
    Ok(())
}

/// A worker of the fleet and the task that runs it.
struct Member {
    handle: WorkerHandle,
    running: JoinHandle<Result<(), kcl_core::Error>>,
}

impl Member {
    async fn start(aws: &LocalAws, name: &str, news: &UnboundedSender<News>) -> Result<Self, Failure> {
        let news = news.clone();
        let worker = Worker::builder("flights-demo", STREAM)
            .sdk_config(&aws.sdk_config())
            .worker_id(name)
            .processor(move |_: &ShardId| Teller { news: news.clone() })
            .build()
            .await?;
        Ok(Member { handle: worker.handle(), running: tokio::spawn(worker.run()) })
    }

    async fn stop(self) -> Result<(), Failure> {
        self.handle.shutdown(Duration::from_secs(25)).await;
        Ok(self.running.await??)
    }
}

/// What was put, what was handled, and how far that is.
struct Count {
    total: usize,
    put: Vec<String>,
    all_put: bool,
    tally: Tally,
    progress: Progress,
}

impl Count {
    fn new(total: usize, progress: Progress) -> Self {
        Count { total, put: Vec::new(), all_put: false, tally: Tally::default(), progress }
    }

    async fn until_half(&mut self, heard: &mut UnboundedReceiver<News>) {
        while self.tally.records() < self.total / 2 && self.next(heard).await {}
    }

    async fn until_all(&mut self, heard: &mut UnboundedReceiver<News>) {
        while !(self.all_put && self.tally.records() >= self.put.len()) && self.next(heard).await {}
    }

    async fn rest(&mut self, heard: &mut UnboundedReceiver<News>) {
        while let Some(news) = heard.recv().await {
            self.take(news);
        }
    }

    /// False if nothing comes any more.
    async fn next(&mut self, heard: &mut UnboundedReceiver<News>) -> bool {
        let Ok(Some(news)) = timeout(PATIENCE, heard.recv()).await else { return false };
        self.take(news);
        true
    }

    fn take(&mut self, news: News) {
        match news {
            News::Put(numbers) => self.put.extend(numbers),
            News::AllPut => self.all_put = true,
            News::Stopped { after } => {
                let note =
                    format!("the second worker has stopped, after {:.1} s; the first reads all", after.as_secs_f64());
                self.progress.note(&note);
            }
            News::Handled(handled) => {
                self.tally.add(handled);
                self.progress.reached(self.tally.records());
            }
        }
    }
}
