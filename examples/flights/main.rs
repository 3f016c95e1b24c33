//! Processes every flight that left New York in a month with a fleet of workers.
//!
//! - `flights` runs everything in one process: embedded servers, a feed, two workers, a shard split
//!   and a worker shutdown. Read `demo.rs` first.
//! - `flights feed`, `flights work` and `flights report` do the same as separate processes, against
//!   `kcl local`, or against AWS with `--aws`. `work.rs` is the smallest consumer.
//! - `flights trouble` shows retries, dead letters and quarantine (`trouble.rs`).

mod connect;
mod demo;
mod feed;
mod flight;
mod input;
mod journal;
mod progress;
mod report;
mod table;
mod tally;
mod trouble;
mod work;

use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// An error: a sentence for the person at the terminal.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Processes every flight that left New York in a month with a fleet of workers. Without a command:
/// in one process.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Also print the result as one line of JSON, at the end.
    #[arg(long, global = true)]
    json: bool,
    /// A CSV or CSV.gz file with the columns of the bundled file.
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Put every flight into a stream. Creates the stream if it does not exist.
    Feed(feed::Arguments),
    /// Run one worker until Ctrl-C; it appends a line per flight to a file.
    Work(work::Arguments),
    /// Show retries, dead letters and quarantine on embedded servers.
    Trouble(trouble::Arguments),
    /// Merge the files of all workers, and print the totals.
    Report(report::Arguments),
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // The library's warnings and errors, unless RUST_LOG sets other levels. `trouble` causes errors
    // on purpose.
    let level = if let Some(Command::Trouble(_)) = arguments.command { "off" } else { "warn" };
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| level.into());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(kcl_examples::has_colors())
        .with_writer(std::io::stderr)
        .init();
    match run(arguments).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("flights: {error}");
            let mut cause = error.source();
            while let Some(error) = cause {
                eprintln!("  because: {error}");
                cause = error.source();
            }
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    match &arguments.command {
        Some(Command::Feed(feed)) => feed::run(feed).await?,
        Some(Command::Work(work)) => work::run(work).await?,
        Some(Command::Trouble(trouble)) => trouble::run(trouble, arguments.input.as_deref()).await?,
        // A report may run while workers still work, so missing flights are not a failure.
        Some(Command::Report(report)) => table::print(&report::run(report)?, arguments.json)?,
        None => {
            let summary = demo::run(arguments.input.as_deref()).await?;
            table::print(&summary, arguments.json)?;
            if summary.lost > 0 {
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
