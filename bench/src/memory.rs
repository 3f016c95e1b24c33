//! `memory`: what an idle shard takes, and how much is in memory when handlers stand still before full answers.

use std::time::Duration;

use tokio::time::sleep;

use crate::child::Child;
use crate::figure::{Figure, median};
use crate::server::Server;
use crate::{Error, Options, worker};

/// Answers of 10 MB.
const FULL_ANSWER: u64 = 10_000;
const STALLED: u64 = 64;
const IDLE: u64 = 1_000;
const FEW: u64 = 10;
/// The default setting.
const BUDGET: f64 = 256.0 * 1024.0 * 1024.0;
/// Two cores bear no more with a thousand shards.
const IDLE_POLL: Duration = Duration::from_secs(5);

pub(crate) async fn run(options: &Options) -> Result<Vec<Figure>, Error> {
    let (mut idle, mut stalled) = (Vec::new(), Vec::new());
    for run in 1..=options.runs {
        let few = resident(FEW, options).await?;
        let many = resident(IDLE, options).await?;
        idle.push((many - few) / 1_024.0 / to_f64(IDLE - FEW));
        let quiet = peak(0, options).await?;
        let full = peak(STALLED * FULL_ANSWER * 2, options).await?;
        stalled.push((full - quiet) / BUDGET);
        eprintln!(
            "memory {run}/{}: {IDLE} idle shards {:.0} MB, {FEW} {:.0} MB; {STALLED} shards whose handlers stand {:.0} MB, idle \
             {:.0} MB",
            options.runs,
            many / 1e6,
            few / 1e6,
            full / 1e6,
            quiet / 1e6
        );
    }
    Ok(vec![
        Figure::new("memory.idle_shard_kib", median(idle), "KiB").at_most(64.0),
        Figure::new("memory.stalled_ratio", median(stalled), "x").at_most(1.2),
    ])
}

/// The memory of a worker that reads so many idle shards.
async fn resident(shards: u64, options: &Options) -> Result<f64, Error> {
    let server = Server::start(options.latency, shards, shards).await?;
    let mut worker = worker::polling(&server, options, IDLE_POLL)?;
    worker::first_records(&mut worker, shards).await?;
    sleep(Duration::from_secs(15)).await;
    memory(&worker, "VmRSS:")
}

/// The most memory of a worker whose handlers never come back.
async fn peak(records: u64, options: &Options) -> Result<f64, Error> {
    let server = Server::start(options.latency, STALLED, records).await?;
    let worker = Child::spawn(&[
        "work".to_owned(),
        format!("--endpoint={}", server.endpoint()),
        "--application=stalled".to_owned(),
        "--stall".to_owned(),
    ])?;
    sleep(Duration::from_secs(25)).await;
    memory(&worker, "VmHWM:")
}

/// Linux says it in `/proc/ID/status`, in KiB.
fn memory(worker: &Child, what: &str) -> Result<f64, Error> {
    let id = worker.id().ok_or("a worker has ended")?;
    let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(what)).ok_or("the system does not tell memory")?;
    Ok(to_f64(line.trim().trim_end_matches(" kB").parse()?) * 1_024.0)
}

#[allow(clippy::cast_precision_loss, reason = "a count of bytes for people")]
fn to_f64(n: u64) -> f64 {
    n as f64
}
