//! What a process does that the bench started, and what it says on its standard output: one [`Said`] a line.

mod bare;
mod report;
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

/// What a process is for.
#[derive(Debug, Subcommand)]
pub(crate) enum Role {
    /// The embedded servers.
    #[command(hide = true)]
    Serve(serve::Arguments),
    /// A worker.
    #[command(hide = true)]
    Work(work::Arguments),
    /// A worker that says how late its handlers are.
    #[command(hide = true)]
    Timed(timed::Arguments),
    /// A bare loop around the SDK.
    #[command(hide = true)]
    Bare(bare::Arguments),
}

/// What a process says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Said {
    /// The servers are there.
    Serving {
        /// Both services.
        endpoint: String,
    },
    /// The first record of a shard came.
    First {
        /// Which shard.
        shard: String,
    },
    /// A lease was claimed, and its shard's processor was initialized.
    Began {
        /// Which shard.
        shard: String,
        /// By the [clock](crate::clock) of the machine.
        at: Duration,
    },
    /// A record was handed to the processor.
    Delivered {
        /// Its shard.
        shard: String,
        /// Its sequence number.
        sequence: String,
        /// By the [clock](crate::clock) of the machine.
        at: Duration,
    },
    /// How much later than their answers, or than what was pushed, handlers were called.
    Added {
        /// One a call.
        millis: Vec<f64>,
        /// Since the record arrived at the servers.
        since_arrival: Vec<f64>,
    },
    /// All records that were asked for came.
    Drained(Drained),
}

impl Said {
    /// Says it. Whole lines reach the parent at once: standard output is buffered by line.
    fn say(&self) {
        if let Ok(line) = serde_json::to_string(self) {
            println!("{line}");
        }
    }
}

impl Role {
    /// Does it, until done or until the parent lets go of the leash.
    pub(crate) async fn play(self) -> Result<(), Error> {
        std::thread::spawn(|| {
            _ = std::io::stdin().read_to_end(&mut Vec::new());
            std::process::exit(1);
        });
        let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "error".into());
        tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(std::io::stderr).init();
        match self {
            Role::Serve(arguments) => serve::play(arguments).await,
            Role::Work(arguments) => work::play(arguments).await,
            Role::Timed(arguments) => timed::play(arguments).await,
            Role::Bare(arguments) => bare::play(arguments).await,
        }
    }
}
