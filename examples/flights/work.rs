//! `flights work`: one worker of a fleet, in a process of its own.

use crate::Failure;
use crate::connect;
use crate::flight::Flight;
use crate::journal::{Journal, Line};
use kcl_core::prelude::*;
use std::path::PathBuf;
use std::sync::Arc;

/// Who works, and where it writes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    target: connect::Target,
    /// This worker's name: one process at a time may have it.
    #[arg(long, value_name = "NAME")]
    worker_id: String,
    /// The directory where NAME.jsonl gets a line for each flight.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The fleet that this worker belongs to, and so the name of the lease table.
    #[arg(long, default_value = "flights")]
    application: String,
}

/// Writes each flight down. A batch is acknowledged when its last line is written.
#[derive(RecordProcessor)]
#[processor(json, handler = "departed")]
struct Writer {
    journal: Arc<Journal>,
}

impl Writer {
    async fn departed(&self, flight: Flight, meta: &RecordMeta) -> Result<(), BoxError> {
        self.journal.append(&Line {
            shard: meta.shard_id().to_string(),
            sequence_number: meta.sequence_number().to_string(),
            carrier: flight.carrier,
            delay: flight.dep_delay,
        })
    }
}

/// Works until the process is asked to stop, then gives its leases up in order.
pub(crate) async fn run(arguments: &Arguments) -> Result<(), Failure> {
    let config = arguments.target.config().await?;
    let journal = Arc::new(Journal::open(&arguments.out, &arguments.worker_id)?);
    let worker = Worker::builder(arguments.application.as_str(), arguments.target.stream.as_str())
        // `KCL_FAILOVER_TIME=3s` and the like.
        .settings(Settings::from_env_iter(std::env::vars())?)
        .worker_id(arguments.worker_id.as_str())
        .sdk_config(&config)
        .processor(move |_: &ShardId| Writer { journal: Arc::clone(&journal) })
        .build()
        .await?;
    eprintln!("{} works on stream {}; Ctrl-C stops it", arguments.worker_id, arguments.target.stream);
    let stop = async {
        shutdown_signal().await;
        eprintln!("stopping: waiting until the flights in hand are written; Ctrl-C again stops at once");
    };
    worker.run_until(stop).await?;
    Ok(())
}
