//! A worker that knows when each answer or event came, and says how much later its handler was called.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use aws_sdk_kinesis::Client;
use kcl_core::aws::KinesisStream;
use kcl_core::lease::MemoryStore;
use kcl_core::prelude::*;
use kcl_core::record::{StartingPosition, StreamRef};
use kcl_core::shard::{
    ApiError, ConsumerRef, FanOutApi, Fetched, ListWhich, Listing, Pushed, RegisteredConsumer, StreamApi,
    StreamDescription, Subscription,
};
use tokio::time::Instant;

use super::Said;
use crate::Error;
use crate::place::{self, STREAM};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[arg(long)]
    endpoint: String,
    /// Ends after so many calls of the handler.
    #[arg(long)]
    deliveries: usize,
    /// Reads by subscriptions.
    #[arg(long)]
    fan_out: bool,
}

/// When the last record of each answer came.
type Came = Arc<Mutex<HashMap<String, Instant>>>;

/// The stream, with a look at the clock.
#[derive(Debug)]
struct Watched {
    stream: KinesisStream,
    came: Came,
}

#[async_trait]
impl StreamApi for Watched {
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
        note(&self.came, &fetched.records);
        Ok(fetched)
    }

    fn fan_out(&self) -> Option<Arc<dyn FanOutApi>> {
        let (api, came) = (self.stream.fan_out()?, Arc::clone(&self.came));
        Some(Arc::new(WatchedFanOut { api, came }))
    }
}

fn note(came: &Came, records: &[Record]) {
    if let Some(last) = records.last() {
        let mut came = came.lock().unwrap_or_else(PoisonError::into_inner);
        came.insert(last.sequence_number.to_string(), Instant::now());
    }
}

#[derive(Debug)]
struct WatchedFanOut {
    api: Arc<dyn FanOutApi>,
    came: Came,
}

#[async_trait]
impl FanOutApi for WatchedFanOut {
    async fn find_consumer(&self, consumer: &ConsumerRef) -> Result<Option<RegisteredConsumer>, ApiError> {
        self.api.find_consumer(consumer).await
    }

    async fn register_consumer(&self, name: &str) -> Result<RegisteredConsumer, ApiError> {
        self.api.register_consumer(name).await
    }

    async fn deregister_consumer(&self, arn: &str) -> Result<(), ApiError> {
        self.api.deregister_consumer(arn).await
    }

    async fn subscribe(
        &self,
        consumer_arn: &str,
        shard: &ShardId,
        from: &StartingPosition,
    ) -> Result<Box<dyn Subscription>, ApiError> {
        let pushes = self.api.subscribe(consumer_arn, shard, from).await?;
        Ok(Box::new(WatchedPushes { pushes, came: Arc::clone(&self.came) }))
    }
}

struct WatchedPushes {
    pushes: Box<dyn Subscription>,
    came: Came,
}

#[async_trait]
impl Subscription for WatchedPushes {
    async fn next(&mut self) -> Result<Option<Pushed>, ApiError> {
        let pushed = self.pushes.next().await?;
        if let Some(pushed) = &pushed {
            note(&self.came, &pushed.records);
        }
        Ok(pushed)
    }
}

/// Keeps how late it is called.
#[derive(Clone)]
struct Late {
    came: Came,
    millis: Arc<Mutex<Vec<f64>>>,
    since_arrival: Arc<Mutex<Vec<f64>>>,
    wanted: usize,
}

impl RecordProcessor for Late {
    async fn process_records(&mut self, batch: &Batch, _: &ShardContext) -> Result<(), BoxError> {
        let now = Instant::now();
        let last = batch.last().map(|record| record.sequence_number.to_string()).unwrap_or_default();
        let came = self.came.lock().unwrap_or_else(PoisonError::into_inner).remove(&last);
        let arrived = batch.last().map_or(0, |record| record.arrived_at_ms);
        let mut since_arrival = self.since_arrival.lock().unwrap_or_else(PoisonError::into_inner);
        since_arrival.push(millis_now() - millis(arrived));
        let mut millis = self.millis.lock().unwrap_or_else(PoisonError::into_inner);
        millis.extend(came.map(|came| now.duration_since(came).as_secs_f64() * 1_000.0));
        if millis.len() >= self.wanted {
            let since_arrival = std::mem::take(&mut *since_arrival);
            Said::Added { millis: std::mem::take(&mut millis), since_arrival }.say();
            std::process::exit(0);
        }
        Ok(())
    }
}

#[allow(clippy::cast_precision_loss, reason = "milliseconds since 1970 are exact")]
fn millis(whole: i64) -> f64 {
    whole as f64
}

/// By the clock that the servers on this machine go by.
fn millis_now() -> f64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    millis(now.tv_sec) * 1e3 + millis(now.tv_nsec) / 1e6
}

pub(super) async fn play(arguments: Arguments) -> Result<(), Error> {
    let client = Client::new(&place::sdk_config(&arguments.endpoint));
    let came = Came::default();
    let stream = Watched { stream: KinesisStream::new(&client, StreamRef::from(STREAM)), came: Arc::clone(&came) };
    let late = Late { came, millis: Arc::default(), since_arrival: Arc::default(), wanted: arguments.deliveries };
    let retrieval = if arguments.fan_out { Retrieval::FanOut } else { Retrieval::Polling };
    let worker = Worker::builder("timed", STREAM)
        .retrieval(retrieval)
        .with_store_and_stream(Arc::new(MemoryStore::default()), Arc::new(stream))
        .processor(move |_: &ShardId| late.clone())
        .build()
        .await?;
    Ok(worker.run().await?)
}
