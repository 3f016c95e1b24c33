//! `kcl-bench`: measures the library in processes of their own, against embedded servers in another.

mod ack;
mod child;
mod clock;
mod cost;
mod deploy;
mod drain;
mod failover;
mod feed;
mod figure;
mod fleet;
mod join;
mod journal;
mod kpl;
mod latency;
mod memory;
mod perkey;
mod place;
mod reshard;
mod role;
mod scale;
mod server;
mod start;
mod worker;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use role::Role;
use server::Latency;

/// Whatever went wrong, for the person at the terminal.
type Error = Box<dyn std::error::Error + Send + Sync>;

/// Measures kcl-core and prints figures. See bench/README.md for what each means.
#[derive(Debug, Parser)]
#[command(name = "kcl-bench", args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
struct Arguments {
    /// What to measure, one after the other.
    #[arg(value_name = "NAME", required = true)]
    names: Vec<Name>,
    #[command(flatten)]
    options: Options,
    /// What a process that the bench started does.
    #[command(subcommand)]
    role: Option<Role>,
}

/// A benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Name {
    /// From the start of a process to its first records.
    Start,
    /// A backlog read as fast as possible, against a bare loop around the SDK.
    Drain,
    /// The same by subscriptions.
    Fanout,
    /// Calls a second of a worker, by operation.
    Cost,
    /// The pause of a shard whose worker is killed.
    Failover,
    /// The pause of a shard whose worker is asked to end, and the records that come twice.
    Deploy,
    /// From the start of a second worker until it has its half.
    Join,
    /// From a shard's last record to its children's first.
    Reshard,
    /// From an answer to the handler that is called with it.
    Latency,
    /// Acknowledgements in random order.
    Ack,
    /// Aggregates taken apart.
    Kpl,
    /// Handlers that wait, in order of each key, against one at a time.
    Perkey,
    /// Memory of idle shards, and of shards whose handlers stand.
    Memory,
    /// 500 workers and 10,000 shards, simulated in one thread.
    Scale,
}

/// How it is measured.
#[derive(Clone, Debug, clap::Args)]
struct Options {
    /// One line of JSON a figure instead of a table.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    latency: Latency,
    /// How often each thing is measured; figures are medians. Drains are pairs: ours and the bare loop.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// The workers' setting failover_time.
    #[arg(long, default_value = "10s", value_parser = humantime::parse_duration)]
    failover_time: Duration,
    /// drain: how many records of 1 KB wait in the stream.
    #[arg(long, default_value_t = 1_000_000)]
    backlog: u64,
    /// cost: how long calls are counted.
    #[arg(long, default_value = "60s", value_parser = humantime::parse_duration)]
    window: Duration,
    /// cost: how long the worker settles before.
    #[arg(long, default_value = "15s", value_parser = humantime::parse_duration)]
    warm_up: Duration,
    /// scale: balanced by bytes a second instead of by leases.
    #[arg(long)]
    by_bytes: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Arguments { names, options, role } = Arguments::parse();
    let outcome = match role {
        Some(role) => role.play().await,
        None => measure(&names, &options).await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kcl-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Figures in JSON are printed as they come, the table at the end.
async fn measure(names: &[Name], options: &Options) -> Result<(), Error> {
    let mut all = Vec::new();
    for name in names {
        let figures = match name {
            Name::Start => start::run(options).await?,
            Name::Drain => drain::run(options).await?,
            Name::Fanout => drain::fan_out(options).await?,
            Name::Cost => cost::run(options).await?,
            Name::Failover => failover::run(options).await?,
            Name::Deploy => deploy::run(options).await?,
            Name::Join => join::run(options).await?,
            Name::Reshard => reshard::run(options).await?,
            Name::Latency => latency::run(options).await?,
            Name::Ack => ack::run(options)?,
            Name::Kpl => kpl::run(options)?,
            Name::Perkey => perkey::run(options).await?,
            Name::Memory => memory::run(options).await?,
            Name::Scale => scale::run(options).await?,
        };
        if options.json {
            figures.iter().for_each(|figure| println!("{}", figure.to_json()));
        }
        all.extend(figures);
    }
    if !options.json {
        println!("{}", figure::table(&all));
    }
    Ok(())
}
