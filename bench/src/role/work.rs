//! A worker whose processors say when their first record came, say every record, or count what comes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use kcl_core::prelude::*;
use kcl_core::record::{SequenceNumber, ShardId};
use kcl_core::{Parser, shutdown_signal};

use super::Said;
use super::report::Report;
use super::tally::Tally;
use crate::Error;
use crate::place::{self, STREAM};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[arg(long)]
    endpoint: String,
    /// The lease table.
    #[arg(long)]
    application: String,
    #[arg(long, value_parser = humantime::parse_duration)]
    failover_time: Option<Duration>,
    /// Reads by subscriptions.
    #[arg(long)]
    fan_out: bool,
    /// The SDK's own code parses records.
    #[arg(long)]
    sdk_parser: bool,
    /// Reads without pauses until so many records came.
    #[arg(long)]
    drain: Option<u64>,
    /// The setting of that name.
    #[arg(long, value_parser = humantime::parse_duration)]
    idle_poll_interval: Option<Duration>,
    /// What a handler takes for a record.
    #[arg(long, value_parser = humantime::parse_duration, requires = "drain")]
    handler_time: Option<Duration>,
    /// The setting of that name.
    #[arg(long)]
    concurrency: Option<String>,
    /// Handlers never come back.
    #[arg(long, conflicts_with_all = ["drain", "report"])]
    stall: bool,
    /// Says every record.
    #[arg(long, conflicts_with = "drain")]
    report: bool,
    /// The worker's name in its fleet; a random one if absent.
    #[arg(long)]
    worker_id: Option<String>,
}

pub(super) async fn play(arguments: Arguments) -> Result<(), Error> {
    let mut settings = Settings::default();
    if let Some(time) = arguments.failover_time {
        settings = settings.failover_time(time);
    }
    if let Some(interval) = arguments.idle_poll_interval {
        settings = settings.idle_poll_interval(interval);
    }
    if arguments.drain.is_some() {
        settings = settings.poll_interval(Duration::ZERO);
    }
    if arguments.fan_out {
        settings = settings.retrieval(Retrieval::FanOut);
    }
    if arguments.sdk_parser {
        settings = settings.parser(Parser::Sdk);
    }
    if let Some(concurrency) = &arguments.concurrency {
        settings.set("concurrency", concurrency)?;
    }
    let mut builder = Worker::builder(arguments.application, STREAM)
        .sdk_config(&place::sdk_config(&arguments.endpoint))
        .settings(settings);
    if let Some(id) = arguments.worker_id {
        builder = builder.worker_id(id);
    }
    let worker = match arguments.drain {
        None if arguments.stall => builder.processor(|_: &ShardId| Stands).build().await?,
        None if arguments.report => builder.processor(|_: &ShardId| Report).build().await?,
        None => builder.processor(FirstRecord::new).build().await?,
        Some(wanted) => {
            let tally = Arc::new(Tally::new(wanted));
            if let Some(time) = arguments.handler_time {
                let slow = move |_: &ShardId| Slow { time, tally: Arc::clone(&tally), last: HashMap::new() };
                let worker = builder.processor(slow).build().await?;
                return Ok(worker.run_until(shutdown_signal()).await?);
            }
            builder.processor(move |_: &ShardId| Count(Arc::clone(&tally))).build().await?
        }
    };
    Ok(worker.run_until(shutdown_signal()).await?)
}

/// Says when the first record of its shard came.
#[derive(Debug)]
struct FirstRecord(Option<Said>);

impl FirstRecord {
    fn new(shard: &ShardId) -> Self {
        FirstRecord(Some(Said::First { shard: shard.to_string() }))
    }
}

impl RecordProcessor for FirstRecord {
    async fn process_records(&mut self, _: &Batch, _: &ShardContext) -> Result<(), BoxError> {
        if let Some(first) = self.0.take() {
            first.say();
        }
        Ok(())
    }
}

/// Never comes back.
#[derive(Debug)]
struct Stands;

impl RecordProcessor for Stands {
    async fn process_records(&mut self, _: &Batch, _: &ShardContext) -> Result<(), BoxError> {
        std::future::pending().await
    }
}

/// Takes its time for each record, and ends the process where a key's records are out of order.
#[derive(Debug)]
struct Slow {
    time: Duration,
    tally: Arc<Tally>,
    last: HashMap<String, SequenceNumber>,
}

impl RecordProcessor for Slow {
    async fn process_records(&mut self, batch: &Batch, _: &ShardContext) -> Result<(), BoxError> {
        for record in batch {
            tokio::time::sleep(self.time).await;
            let key = record.partition_key.as_deref().unwrap_or_default().to_owned();
            let number = record.sequence_number.clone();
            if self.last.insert(key, number.clone()).is_some_and(|last| last >= number) {
                std::process::exit(1);
            }
            self.tally.add(1, record.data.len());
        }
        Ok(())
    }
}

/// Counts records and bytes.
#[derive(Debug)]
struct Count(Arc<Tally>);

impl RecordProcessor for Count {
    async fn process_records(&mut self, batch: &Batch, _: &ShardContext) -> Result<(), BoxError> {
        self.0.add(batch.len(), batch.iter().map(|record| record.data.len()).sum());
        Ok(())
    }
}
