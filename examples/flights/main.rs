//! Every flight that left New York in a month, through a stream, by a fleet of workers.
//!
//! Without a command all of it happens in this process: embedded servers, a feed, two workers, a shard that is split
//! and a worker that stops half-way. `flights feed`, `flights work` and `flights report` do the same as processes of
//! their own, against `kcl local`, or against AWS if `--aws` is given. `flights trouble` shows what becomes of records that
//! cannot be handled.

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

/// What goes wrong in an example: a sentence.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Every flight that left New York in a month, through a stream, by a fleet of workers.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Print the result as one line of JSON too, at the end.
    #[arg(long, global = true)]
    json: bool,
    /// A CSV or CSV.gz file with the columns of the bundled one.
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Put every flight into a stream, which is created if there is none.
    Feed(feed::Arguments),
    /// Handle flights until Ctrl-C, and write each into a file.
    Work(work::Arguments),
    /// Records that cannot be handled: tried again, given to a file, parked. On embedded servers.
    Trouble(trouble::Arguments),
    /// Merge what workers wrote, and print the totals.
    Report(report::Arguments),
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // Warnings and errors of the library, unless RUST_LOG says otherwise, or they are what is shown.
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
        // It may be asked for while workers are still at it: what is missing then is no failure.
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
