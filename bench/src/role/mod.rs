//! The roles of child processes, which print one [`Message`] per line to standard output.

mod bare;
mod serve;
mod tally;
mod timed;
mod work;

use std::io::Read;
use std::time::Duration;

use clap::Subcommand;
use serde::{Deserialize, Serialize};

use crate::Error;
pub(crate) use tally::Drained;

/// The role of a child process.
#[derive(Debug, Subcommand)]
pub(crate) enum Role {
    /// Runs the embedded servers.
    #[command(hide = true)]
    Serve(serve::Arguments),
    /// Runs a worker.
    #[command(hide = true)]
    Work(work::Arguments),
    /// Runs a worker that measures the latency of handler calls.
    #[command(hide = true)]
    Timed(timed::Arguments),
    /// Runs a bare loop around the SDK.
    #[command(hide = true)]
    Bare(bare::Arguments),
}

/// A message of a child process to the bench.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Message {
    /// The servers accept connections.
    Serving {
        /// The endpoint of both services.
        endpoint: String,
    },
    /// The processor received the first record of a shard.
    FirstRecord {
        /// The shard.
        shard: String,
    },
    /// A lease was claimed, and the processor of its shard was initialized.
    Initialized {
        /// The shard.
        shard: String,
        /// Time of the machine's monotonic [clock](crate::clock).
        at: Duration,
    },
    /// The processor received a record.
    Delivered {
        /// The shard.
        shard: String,
        /// The sequence number.
        sequence: String,
        /// Time of the machine's monotonic [clock](crate::clock).
        at: Duration,
    },
    /// Latencies of handler calls, in milliseconds.
    Latencies {
        /// From the answer or event to each call.
        millis: Vec<f64>,
        /// From the arrival of the record at the servers to each call.
        since_arrival: Vec<f64>,
    },
    /// The reader received the given number of records.
    Drained(Drained),
}

impl Message {
    /// Prints the message. Standard output is buffered by line, so the parent receives whole lines
    /// at once.
    fn print(&self) {
        if let Ok(line) = serde_json::to_string(self) {
            println!("{line}");
        }
    }
}

impl Role {
    /// Runs the role until it is done, or until the parent closes standard input or dies.
    pub(crate) async fn run(self) -> Result<(), Error> {
        std::thread::spawn(|| {
            _ = std::io::stdin().read_to_end(&mut Vec::new());
            std::process::exit(1);
        });
        let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "error".into());
        tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(std::io::stderr).init();
        match self {
            Role::Serve(arguments) => serve::run(arguments).await,
            Role::Work(arguments) => work::run(arguments).await,
            Role::Timed(arguments) => timed::run(arguments).await,
            Role::Bare(arguments) => bare::run(arguments).await,
        }
    }
}
