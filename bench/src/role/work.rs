//! Runs a worker whose processors report their first record or all records, count records, wait, or
//! stall.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use kcl_core::prelude::*;
use kcl_core::record::{SequenceNumber, ShardId};
use kcl_core::settings::Parser;
use kcl_core::shutdown_signal;

use super::Message;
use super::tally::Tally;
use crate::target::{self, STREAM};
use crate::{Error, clock};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[arg(long)]
    endpoint: String,
    /// The application, which is also the name of the lease table.
    #[arg(long)]
    application: String,
    #[arg(long, value_parser = humantime::parse_duration)]
    failover_time: Option<Duration>,
    /// Read by enhanced fan-out.
    #[arg(long)]
    fan_out: bool,
    /// Use the SDK's own parser.
    #[arg(long)]
    sdk_parser: bool,
    /// Read without pauses, and exit after this number of records.
    #[arg(long)]
    drain: Option<u64>,
    /// The setting with this name.
    #[arg(long, value_parser = humantime::parse_duration)]
    idle_poll_interval: Option<Duration>,
    /// Time that the handler waits per record.
    #[arg(long, value_parser = humantime::parse_duration, requires = "drain")]
    handler_time: Option<Duration>,
    /// The setting with this name.
    #[arg(long)]
    concurrency: Option<String>,
    /// Handlers never return.
    #[arg(long, conflicts_with_all = ["drain", "report"])]
    stall: bool,
    /// Report every record.
    #[arg(long, conflicts_with = "drain")]
    report: bool,
    /// The worker's id. Default: a random one.
    #[arg(long)]
    worker_id: Option<String>,
}

pub(super) async fn run(arguments: Arguments) -> Result<(), Error> {
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
        .sdk_config(&target::sdk_config(&arguments.endpoint))
        .settings(settings);
    if let Some(id) = arguments.worker_id {
        builder = builder.worker_id(id);
    }
    let worker = match arguments.drain {
        None if arguments.stall => builder.processor(|_: &ShardId| Stall).build().await?,
        None if arguments.report => builder.processor(|_: &ShardId| ReportRecords).build().await?,
        None => builder.processor(ReportFirstRecord::new).build().await?,
        Some(records) => {
            let tally = Arc::new(Tally::new(records));
            if let Some(time) = arguments.handler_time {
                let slow = move |_: &ShardId| SlowInOrder { time, tally: Arc::clone(&tally), last: HashMap::new() };
                let worker = builder.processor(slow).build().await?;
                return Ok(worker.run_until(shutdown_signal()).await?);
            }
            builder.processor(move |_: &ShardId| Count(Arc::clone(&tally))).build().await?
        }
    };
    Ok(worker.run_until(shutdown_signal()).await?)
}

/// Reports the first record of its shard.
#[derive(Debug)]
struct ReportFirstRecord(Option<Message>);

impl ReportFirstRecord {
    fn new(shard: &ShardId) -> Self {
        ReportFirstRecord(Some(Message::FirstRecord { shard: shard.to_string() }))
    }
}

impl RecordProcessor for ReportFirstRecord {
    async fn process_records(&mut self, _: &Batch, _: &ShardContext) -> Result<(), BoxError> {
        if let Some(first) = self.0.take() {
            first.print();
        }
        Ok(())
    }
}

/// Reports the initialization of its shard, and every record.
#[derive(Debug)]
struct ReportRecords;

impl RecordProcessor for ReportRecords {
    async fn initialize(&mut self, shard: &ShardContext) -> Result<(), BoxError> {
        Message::Initialized { shard: shard.shard_id().to_string(), at: clock::now() }.print();
        Ok(())
    }

    async fn process_records(&mut self, batch: &Batch, shard: &ShardContext) -> Result<(), BoxError> {
        let at = clock::now();
        for record in batch {
            let sequence = record.sequence_number.to_string();
            Message::Delivered { shard: shard.shard_id().to_string(), sequence, at }.print();
        }
        Ok(())
    }
}

/// Never returns.
#[derive(Debug)]
struct Stall;

impl RecordProcessor for Stall {
    async fn process_records(&mut self, _: &Batch, _: &ShardContext) -> Result<(), BoxError> {
        std::future::pending().await
    }
}

/// Waits for each record, and exits the process with an error if the records of a key are out of
/// order.
#[derive(Debug)]
struct SlowInOrder {
    time: Duration,
    tally: Arc<Tally>,
    last: HashMap<String, SequenceNumber>,
}

impl RecordProcessor for SlowInOrder {
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
