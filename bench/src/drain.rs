//! `drain`, `fanout`: a backlog read as fast as it comes, by a worker and by a bare loop around the SDK, in turn.

use crate::child::Child;
use crate::figure::{Figure, median};
use crate::role::{Drained, Said};
use crate::server::Server;
use crate::{Error, Options};

const SHARDS: u64 = 8;
const MB: f64 = 1e6;

/// One after the other, so that whatever else the machine does concerns all.
struct Round {
    ours: Drained,
    /// The same with the SDK's own parser.
    sdk: Drained,
    bare: Drained,
}

/// By polling.
pub(crate) async fn run(options: &Options) -> Result<Vec<Figure>, Error> {
    let rounds = rounds(options, None).await?;
    let of = |what: fn(&Round) -> f64| median(rounds.iter().map(what));
    Ok(vec![
        Figure::new("drain.rate_ratio", of(|round| rate(round.ours) / rate(round.bare)), "x").at_least(0.95),
        Figure::new("drain.cpu_ratio", of(|round| cpu(round.ours) / cpu(round.bare)), "x").at_most(1.05),
        Figure::new("drain.sdk_parser.cpu_ratio", of(|round| cpu(round.sdk) / cpu(round.bare)), "x").at_most(1.05),
        Figure::new("drain.mb_per_s", of(|round| rate(round.ours)), "MB/s"),
        Figure::new("drain.bare.mb_per_s", of(|round| rate(round.bare)), "MB/s"),
        Figure::new("drain.cpu_s_per_gb", of(|round| cpu(round.ours)), "s/GB"),
        Figure::new("drain.bare.cpu_s_per_gb", of(|round| cpu(round.bare)), "s/GB"),
        Figure::new("drain.rss_mb", of(|round| memory(round.ours)), "MB"),
        Figure::new("drain.bare.rss_mb", of(|round| memory(round.bare)), "MB"),
    ])
}

/// By subscriptions.
pub(crate) async fn fan_out(options: &Options) -> Result<Vec<Figure>, Error> {
    let rounds = rounds(options, Some("--fan-out")).await?;
    let of = |what: fn(&Round) -> f64| median(rounds.iter().map(what));
    Ok(vec![
        Figure::new("fanout.cpu_ratio", of(|round| cpu(round.ours) / cpu(round.bare)), "x").at_most(1.1),
        Figure::new("fanout.sdk_parser.cpu_ratio", of(|round| cpu(round.sdk) / cpu(round.bare)), "x").at_most(1.1),
        Figure::new("fanout.rate_ratio", of(|round| rate(round.ours) / rate(round.bare)), "x"),
        Figure::new("fanout.cpu_s_per_gb", of(|round| cpu(round.ours)), "s/GB"),
        Figure::new("fanout.bare.cpu_s_per_gb", of(|round| cpu(round.bare)), "s/GB"),
    ])
}

async fn rounds(options: &Options, how: Option<&str>) -> Result<Vec<Round>, Error> {
    eprintln!("drain: filling {SHARDS} shards with {} records", options.backlog);
    let server = Server::start(options.latency, SHARDS, options.backlog).await?;
    let mut rounds = Vec::new();
    for run in 1..=options.runs {
        let bare = bare(&server, options, how).await?;
        tell(run, options, "bare loop", bare);
        let ours = ours(&server, run, options, how).await?;
        tell(run, options, "worker", ours);
        let sdk = with_sdk(&server, run, options, how).await?;
        tell(run, options, "worker, SDK's parser", sdk);
        rounds.push(Round { ours, sdk, bare });
    }
    Ok(rounds)
}

async fn bare(server: &Server, options: &Options, how: Option<&str>) -> Result<Drained, Error> {
    drained(&["bare".to_owned(), endpoint(server), backlog(options)], how).await
}

/// Each run is another application: it starts with the oldest record.
async fn ours(server: &Server, run: usize, options: &Options, how: Option<&str>) -> Result<Drained, Error> {
    let application = format!("--application=drain-{run}");
    drained(&["work".to_owned(), endpoint(server), backlog(options), application], how).await
}

/// Another application again.
async fn with_sdk(server: &Server, run: usize, options: &Options, how: Option<&str>) -> Result<Drained, Error> {
    let application = format!("--application=drain-sdk-{run}");
    let arguments = ["work".to_owned(), endpoint(server), backlog(options), application, "--sdk-parser".to_owned()];
    drained(&arguments, how).await
}

async fn drained(arguments: &[String], how: Option<&str>) -> Result<Drained, Error> {
    let arguments: Vec<String> = arguments.iter().cloned().chain(how.map(str::to_owned)).collect();
    let arguments = arguments.as_slice();
    let mut reader = Child::spawn(arguments)?;
    match reader.hear().await? {
        (Said::Drained(drained), _) => Ok(drained),
        (said, _) => Err(format!("a reader said {said:?}").into()),
    }
}

fn endpoint(server: &Server) -> String {
    format!("--endpoint={}", server.endpoint())
}

fn backlog(options: &Options) -> String {
    format!("--drain={}", options.backlog)
}

fn tell(run: usize, options: &Options, who: &str, drained: Drained) {
    let (rate, cpu, memory) = (rate(drained), cpu(drained), memory(drained));
    eprintln!("drain {run}/{}: {who}: {rate:.0} MB/s, {cpu:.2} CPU s/GB, {memory:.0} MB", options.runs);
}

#[allow(clippy::cast_precision_loss, reason = "a count of bytes for people")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / MB
}

/// MB a second.
fn rate(drained: Drained) -> f64 {
    megabytes(drained.bytes) / drained.seconds
}

/// CPU seconds a GB.
fn cpu(drained: Drained) -> f64 {
    drained.cpu_seconds / megabytes(drained.bytes) * 1_000.0
}

fn memory(drained: Drained) -> f64 {
    drained.peak_bytes.map_or(f64::NAN, megabytes)
}
