//! `drain`, `fanout`: measures reading a backlog at full speed, with a worker and with a bare loop
//! around the SDK, in turn.

use crate::child::Child;
use crate::figure::{Figure, median};
use crate::role::{Drained, Message};
use crate::server::Server;
use crate::{Error, Options};

const SHARDS: u64 = 8;
const MB: f64 = 1e6;

/// Three runs one after the other, so that other load on the machine affects all of them.
struct Round {
    worker: Drained,
    /// A worker with the SDK's own parser.
    sdk_parser: Drained,
    bare: Drained,
}

/// Measures polling.
pub(crate) async fn run(options: &Options) -> Result<Vec<Figure>, Error> {
    let rounds = rounds(options, None).await?;
    let of = |value: fn(&Round) -> f64| median(rounds.iter().map(value));
    Ok(vec![
        Figure::new("drain.rate_ratio", of(|round| rate(round.worker) / rate(round.bare)), "x").at_least(0.95),
        Figure::new("drain.cpu_ratio", of(|round| cpu(round.worker) / cpu(round.bare)), "x").at_most(1.05),
        Figure::new("drain.sdk_parser.cpu_ratio", of(|round| cpu(round.sdk_parser) / cpu(round.bare)), "x")
            .at_most(1.05),
        Figure::new("drain.mb_per_s", of(|round| rate(round.worker)), "MB/s"),
        Figure::new("drain.bare.mb_per_s", of(|round| rate(round.bare)), "MB/s"),
        Figure::new("drain.cpu_s_per_gb", of(|round| cpu(round.worker)), "s/GB"),
        Figure::new("drain.bare.cpu_s_per_gb", of(|round| cpu(round.bare)), "s/GB"),
        Figure::new("drain.rss_mb", of(|round| memory(round.worker)), "MB"),
        Figure::new("drain.bare.rss_mb", of(|round| memory(round.bare)), "MB"),
    ])
}

/// Measures enhanced fan-out.
pub(crate) async fn fan_out(options: &Options) -> Result<Vec<Figure>, Error> {
    let rounds = rounds(options, Some("--fan-out")).await?;
    let of = |value: fn(&Round) -> f64| median(rounds.iter().map(value));
    Ok(vec![
        Figure::new("fanout.cpu_ratio", of(|round| cpu(round.worker) / cpu(round.bare)), "x").at_most(1.1),
        Figure::new("fanout.sdk_parser.cpu_ratio", of(|round| cpu(round.sdk_parser) / cpu(round.bare)), "x")
            .at_most(1.1),
        Figure::new("fanout.rate_ratio", of(|round| rate(round.worker) / rate(round.bare)), "x"),
        Figure::new("fanout.cpu_s_per_gb", of(|round| cpu(round.worker)), "s/GB"),
        Figure::new("fanout.bare.cpu_s_per_gb", of(|round| cpu(round.bare)), "s/GB"),
    ])
}

async fn rounds(options: &Options, mode: Option<&str>) -> Result<Vec<Round>, Error> {
    eprintln!("drain: filling {SHARDS} shards with {} records", options.backlog);
    let server = Server::start(options.latency, SHARDS, options.backlog).await?;
    let mut rounds = Vec::new();
    for run in 1..=options.runs {
        let bare = bare(&server, options, mode).await?;
        print(run, options, "bare loop", bare);
        let worker = worker(&server, run, options, mode).await?;
        print(run, options, "worker", worker);
        let sdk_parser = worker_with_sdk_parser(&server, run, options, mode).await?;
        print(run, options, "worker, SDK's parser", sdk_parser);
        rounds.push(Round { worker, sdk_parser, bare });
    }
    Ok(rounds)
}

async fn bare(server: &Server, options: &Options, mode: Option<&str>) -> Result<Drained, Error> {
    drained(&["bare".to_owned(), endpoint(server), backlog(options)], mode).await
}

/// Each run is another application, so that it starts at the oldest record.
async fn worker(server: &Server, run: usize, options: &Options, mode: Option<&str>) -> Result<Drained, Error> {
    let application = format!("--application=drain-{run}");
    drained(&["work".to_owned(), endpoint(server), backlog(options), application], mode).await
}

async fn worker_with_sdk_parser(
    server: &Server,
    run: usize,
    options: &Options,
    mode: Option<&str>,
) -> Result<Drained, Error> {
    let application = format!("--application=drain-sdk-{run}");
    let arguments = ["work".to_owned(), endpoint(server), backlog(options), application, "--sdk-parser".to_owned()];
    drained(&arguments, mode).await
}

async fn drained(arguments: &[String], mode: Option<&str>) -> Result<Drained, Error> {
    let arguments: Vec<String> = arguments.iter().cloned().chain(mode.map(str::to_owned)).collect();
    let arguments = arguments.as_slice();
    let mut reader = Child::spawn(arguments)?;
    match reader.next_message().await? {
        (Message::Drained(drained), _) => Ok(drained),
        (other, _) => Err(format!("unexpected message of a reader: {other:?}").into()),
    }
}

fn endpoint(server: &Server) -> String {
    format!("--endpoint={}", server.endpoint())
}

fn backlog(options: &Options) -> String {
    format!("--drain={}", options.backlog)
}

fn print(run: usize, options: &Options, reader: &str, drained: Drained) {
    let (rate, cpu, memory) = (rate(drained), cpu(drained), memory(drained));
    eprintln!("drain {run}/{}: {reader}: {rate:.0} MB/s, {cpu:.2} CPU s/GB, {memory:.0} MB", options.runs);
}

#[allow(clippy::cast_precision_loss, reason = "a count of bytes for people")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / MB
}

/// MB per second.
fn rate(drained: Drained) -> f64 {
    megabytes(drained.bytes) / drained.seconds
}

/// CPU seconds per GB.
fn cpu(drained: Drained) -> f64 {
    drained.cpu_seconds / megabytes(drained.bytes) * 1_000.0
}

fn memory(drained: Drained) -> f64 {
    drained.peak_bytes.map_or(f64::NAN, megabytes)
}
