//! A worker that knows when each answer came, and says how much later its handler was called.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use aws_sdk_kinesis::Client;
use kcl_core::aws::KinesisStream;
use kcl_core::lease::MemoryStore;
use kcl_core::prelude::*;
use kcl_core::record::{StartingPosition, StreamRef};
use kcl_core::shard::{ApiError, Fetched, ListWhich, Listing, StreamApi, StreamDescription};
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
        if let Some(last) = fetched.records.last() {
            let mut came = self.came.lock().unwrap_or_else(PoisonError::into_inner);
            came.insert(last.sequence_number.to_string(), Instant::now());
        }
        Ok(fetched)
    }
}

/// Keeps how late it is called.
#[derive(Clone)]
struct Late {
    came: Came,
    millis: Arc<Mutex<Vec<f64>>>,
    wanted: usize,
}

impl RecordProcessor for Late {
    async fn process_records(&mut self, batch: &Batch, _: &ShardContext) -> Result<(), BoxError> {
        let now = Instant::now();
        let last = batch.last().map(|record| record.sequence_number.to_string()).unwrap_or_default();
        let came = self.came.lock().unwrap_or_else(PoisonError::into_inner).remove(&last);
        let mut millis = self.millis.lock().unwrap_or_else(PoisonError::into_inner);
        millis.extend(came.map(|came| now.duration_since(came).as_secs_f64() * 1_000.0));
        if millis.len() >= self.wanted {
            Said::Added { millis: std::mem::take(&mut millis) }.say();
            std::process::exit(0);
        }
        Ok(())
    }
}

pub(super) async fn play(arguments: Arguments) -> Result<(), Error> {
    let client = Client::new(&place::sdk_config(&arguments.endpoint));
    let came = Came::default();
    let stream = Watched { stream: KinesisStream::new(&client, StreamRef::from(STREAM)), came: Arc::clone(&came) };
    let late = Late { came, millis: Arc::default(), wanted: arguments.deliveries };
    let worker = Worker::builder("timed", STREAM)
        .with_store_and_stream(Arc::new(MemoryStore::default()), Arc::new(stream))
        .processor(move |_: &ShardId| late.clone())
        .build()
        .await?;
    Ok(worker.run().await?)
}
