//! `kcl-bench`: measures the library. Each worker is a separate process; so are the embedded
//! servers.

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
mod reshard;
mod role;
mod scale;
mod server;
mod start;
mod target;
mod worker;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use role::Role;
use server::Latency;

/// An error: a sentence for the person at the terminal.
type Error = Box<dyn std::error::Error + Send + Sync>;

/// Measures kcl-core and prints figures. bench/README.md explains each figure.
#[derive(Debug, Parser)]
#[command(name = "kcl-bench", args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
struct Arguments {
    /// The benchmarks to run, in this order, such as `drain cost`.
    #[arg(value_name = "NAME", required = true)]
    names: Vec<Name>,
    #[command(flatten)]
    options: Options,
    /// The role of a process that the bench started.
    #[command(subcommand)]
    role: Option<Role>,
}

/// A benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Name {
    /// Time from the start of a worker's process to the first record of every shard.
    Start,
    /// Rate and CPU of reading a backlog, against a bare loop around the SDK.
    Drain,
    /// The same with enhanced fan-out.
    Fanout,
    /// Calls per second of a fleet, by operation.
    Cost,
    /// Pauses of shards when workers are killed.
    Failover,
    /// Pauses of shards and repeated records when a worker shuts down.
    Deploy,
    /// Time from the start of a second worker until it has half of the shards.
    Join,
    /// Time from the last record of a parent shard to the first record of its children.
    Reshard,
    /// Time from an answer of Kinesis to the call of the handler.
    Latency,
    /// Rate of acknowledgements in random order.
    Ack,
    /// Rate of de-aggregation.
    Kpl,
    /// Speed-up of slow handlers by `PerKey` concurrency.
    Perkey,
    /// Memory of idle shards, and of shards with stalled handlers.
    Memory,
    /// A fleet of 500 workers and 10,000 shards, simulated in one thread.
    Scale,
}

#[derive(Clone, Debug, clap::Args)]
struct Options {
    /// Print one line of JSON per figure instead of a table.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    latency: Latency,
    /// Number of measurements per figure; most figures are medians.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// The setting `failover_time` of the workers.
    #[arg(long, default_value = "10s", value_parser = humantime::parse_duration)]
    failover_time: Duration,
    /// drain, fanout: number of records of 1 KB in the stream.
    #[arg(long, default_value_t = 1_000_000)]
    backlog: u64,
    /// cost: time over which calls are counted.
    #[arg(long, default_value = "60s", value_parser = humantime::parse_duration)]
    window: Duration,
    /// cost: time before that for the fleet to settle.
    #[arg(long, default_value = "15s", value_parser = humantime::parse_duration)]
    warm_up: Duration,
    /// scale: balance by bytes per second instead of by number of leases.
    #[arg(long)]
    by_bytes: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Arguments { names, options, role } = Arguments::parse();
    let outcome = match role {
        Some(role) => role.run().await,
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

/// Prints figures in JSON after each benchmark, or all of them in one table at the end.
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
