//! Runs a worker that measures the time from each answer or event to the call of its handler.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::UNIX_EPOCH;

use async_trait::async_trait;
use aws_sdk_kinesis::Client;
use kcl_core::aws::KinesisStream;
use kcl_core::lease::MemoryStore;
use kcl_core::prelude::*;
use kcl_core::record::{StartingPosition, StreamRef};
use kcl_core::shard::{
    ApiError, ConsumerRef, FanOutApi, Fetched, ListWhich, Listing, Pushed, RegisteredConsumer, StreamApi,
    StreamDescription, SubscribeRequest, Subscription,
};
use tokio::time::Instant;

use super::Message;
use crate::Error;
use crate::target::{self, STREAM};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[arg(long)]
    endpoint: String,
    /// Number of handler calls after which the process ends.
    #[arg(long)]
    deliveries: usize,
    /// Read by enhanced fan-out.
    #[arg(long)]
    fan_out: bool,
}

/// The receive time of each answer or event, by the sequence number of its last record.
type ReceiveTimes = Arc<Mutex<HashMap<String, Instant>>>;

/// A stream that records the receive times.
#[derive(Debug)]
struct TimedStream {
    stream: KinesisStream,
    received: ReceiveTimes,
}

#[async_trait]
impl StreamApi for TimedStream {
    async fn describe(&self) -> Result<StreamDescription, ApiError> {
        self.stream.describe().await
    }

    async fn list_shards(&self, which: ListWhich) -> Result<Listing, ApiError> {
        self.stream.list_shards(which).await
    }

    async fn shard_iterator(&self, shard: &ShardId, from: &StartingPosition) -> Result<String, ApiError> {
        self.stream.shard_iterator(shard, from).await
    }

    async fn get_records(&self, iterator: &str, limit: u32) -> Result<Fetched, ApiError> {
        let fetched = self.stream.get_records(iterator, limit).await?;
        record_time(&self.received, &fetched.records);
        Ok(fetched)
    }

    fn fan_out(&self) -> Option<Arc<dyn FanOutApi>> {
        let (api, received) = (self.stream.fan_out()?, Arc::clone(&self.received));
        Some(Arc::new(TimedFanOut { api, received }))
    }
}

fn record_time(received: &ReceiveTimes, records: &[Record]) {
    if let Some(last) = records.last() {
        let mut received = received.lock().unwrap_or_else(PoisonError::into_inner);
        received.insert(last.sequence_number.to_string(), Instant::now());
    }
}

#[derive(Debug)]
struct TimedFanOut {
    api: Arc<dyn FanOutApi>,
    received: ReceiveTimes,
}

#[async_trait]
impl FanOutApi for TimedFanOut {
    async fn find_consumer(&self, consumer: &ConsumerRef) -> Result<Option<RegisteredConsumer>, ApiError> {
        self.api.find_consumer(consumer).await
    }

    async fn register_consumer(&self, name: &str) -> Result<RegisteredConsumer, ApiError> {
        self.api.register_consumer(name).await
    }

    async fn deregister_consumer(&self, arn: &str) -> Result<(), ApiError> {
        self.api.deregister_consumer(arn).await
    }

    async fn subscribe(&self, request: SubscribeRequest<'_>) -> Result<Box<dyn Subscription>, ApiError> {
        let subscription = self.api.subscribe(request).await?;
        Ok(Box::new(TimedSubscription { subscription, received: Arc::clone(&self.received) }))
    }
}

struct TimedSubscription {
    subscription: Box<dyn Subscription>,
    received: ReceiveTimes,
}

#[async_trait]
impl Subscription for TimedSubscription {
    async fn next(&mut self) -> Result<Option<Pushed>, ApiError> {
        let pushed = self.subscription.next().await?;
        if let Some(pushed) = &pushed {
            record_time(&self.received, &pushed.records);
        }
        Ok(pushed)
    }
}

/// Measures the latency of its calls.
#[derive(Clone)]
struct MeasureLatency {
    received: ReceiveTimes,
    millis: Arc<Mutex<Vec<f64>>>,
    since_arrival: Arc<Mutex<Vec<f64>>>,
    expected: usize,
}

impl RecordProcessor for MeasureLatency {
    async fn process_records(&mut self, batch: &Batch, _: &ShardContext) -> Result<(), BoxError> {
        let now = Instant::now();
        let last = batch.last().map(|record| record.sequence_number.to_string()).unwrap_or_default();
        let received_at = self.received.lock().unwrap_or_else(PoisonError::into_inner).remove(&last);
        let arrived =
            batch.last().and_then(|record| record.arrived_at().duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
        let mut since_arrival = self.since_arrival.lock().unwrap_or_else(PoisonError::into_inner);
        since_arrival.push(millis_now() - arrived.as_secs_f64() * 1e3);
        let mut millis = self.millis.lock().unwrap_or_else(PoisonError::into_inner);
        millis.extend(received_at.map(|at| now.duration_since(at).as_secs_f64() * 1_000.0));
        if millis.len() >= self.expected {
            let since_arrival = std::mem::take(&mut *since_arrival);
            Message::Latencies { millis: std::mem::take(&mut millis), since_arrival }.print();
            std::process::exit(0);
        }
        Ok(())
    }
}

#[allow(clippy::cast_precision_loss, reason = "milliseconds since 1970 are exact")]
fn millis(count: i64) -> f64 {
    count as f64
}

/// The wall clock, which the servers on this machine use for arrival times.
fn millis_now() -> f64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    millis(now.tv_sec) * 1e3 + millis(now.tv_nsec) / 1e6
}

pub(super) async fn run(arguments: Arguments) -> Result<(), Error> {
    let client = Client::new(&target::sdk_config(&arguments.endpoint));
    let received = ReceiveTimes::default();
    let stream =
        TimedStream { stream: KinesisStream::new(&client, StreamRef::from(STREAM)), received: Arc::clone(&received) };
    let processor = MeasureLatency {
        received,
        millis: Arc::default(),
        since_arrival: Arc::default(),
        expected: arguments.deliveries,
    };
    let retrieval = if arguments.fan_out { Retrieval::FanOut } else { Retrieval::Polling };
    let worker = Worker::builder("timed", STREAM)
        .retrieval(retrieval)
        .with_store_and_stream(Arc::new(MemoryStore::default()), Arc::new(stream))
        .processor(move |_: &ShardId| processor.clone())
        .build()
        .await?;
    Ok(worker.run().await?)
}
