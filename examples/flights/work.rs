//! `flights work`: runs one worker of a fleet, in its own process.

use crate::Failure;
use crate::connect;
use crate::flight::Flight;
use crate::journal::{Journal, Line};
use kcl_core::prelude::*;
use std::path::PathBuf;
use std::sync::Arc;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    target: connect::Target,
    /// The id of this worker. Only one process at a time may use it.
    #[arg(long, value_name = "NAME")]
    worker_id: String,
    /// The directory for the output: NAME.jsonl with a line per flight.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The application, which is also the name of the lease table. Workers of one application form
    /// a fleet.
    #[arg(long, default_value = "flights")]
    application: String,
}

/// Appends the flights of one shard to the journal. A batch is acknowledged after its last flight.
#[derive(RecordProcessor)]
#[processor(json, handler = "departed")]
struct JournalWriter {
    journal: Arc<Journal>,
}

impl JournalWriter {
    async fn departed(&self, flight: Flight, meta: &RecordMeta) -> Result<(), BoxError> {
        self.journal.append(&Line {
            shard: meta.shard_id().to_string(),
            sequence_number: meta.sequence_number().to_string(),
            carrier: flight.carrier,
            delay: flight.dep_delay,
        })
    }
}

/// Runs until Ctrl-C or SIGTERM, then shuts down: finishes running batches, stores checkpoints,
/// releases the leases.
pub(crate) async fn run(arguments: &Arguments) -> Result<(), Failure> {
    let config = arguments.target.config().await?;
    let journal = Arc::new(Journal::open(&arguments.out, &arguments.worker_id)?);
    let worker = Worker::builder(arguments.application.as_str(), arguments.target.stream.as_str())
        // Environment variables such as `KCL_FAILOVER_TIME=3s`.
        .settings(Settings::from_env_iter(std::env::vars())?)
        .worker_id(arguments.worker_id.as_str())
        .sdk_config(&config)
        .processor(move |_: &ShardId| JournalWriter { journal: Arc::clone(&journal) })
        .build()
        .await?;
    eprintln!("worker {} reads stream {}; Ctrl-C stops it", arguments.worker_id, arguments.target.stream);
    let stop = async {
        shutdown_signal().await;
        eprintln!("stopping: waiting for running batches; Ctrl-C again stops at once");
    };
    worker.run_until(stop).await?;
    Ok(())
}
