//! `memory`: measures the memory of an idle shard, and of shards whose handlers stall while answers
//! are full.

use std::time::Duration;

use tokio::time::sleep;

use crate::child::Child;
use crate::figure::{Figure, median};
use crate::server::Server;
use crate::{Error, Options, worker};

/// Records of 1 KB per answer: 10 MB.
const FULL_ANSWER: u64 = 10_000;
const STALLED_SHARDS: u64 = 64;
const MANY_IDLE_SHARDS: u64 = 1_000;
const FEW_IDLE_SHARDS: u64 = 10;
/// The default of the setting `byte_budget`.
const BYTE_BUDGET: f64 = 256.0 * 1024.0 * 1024.0;
/// Polling a thousand shards more often would keep two cores busy.
const IDLE_POLL: Duration = Duration::from_secs(5);

pub(crate) async fn run(options: &Options) -> Result<Vec<Figure>, Error> {
    let (mut idle, mut stalled) = (Vec::new(), Vec::new());
    for run in 1..=options.runs {
        let few = resident(FEW_IDLE_SHARDS, options).await?;
        let many = resident(MANY_IDLE_SHARDS, options).await?;
        idle.push((many - few) / 1_024.0 / to_f64(MANY_IDLE_SHARDS - FEW_IDLE_SHARDS));
        let empty = peak(0, options).await?;
        let full = peak(STALLED_SHARDS * FULL_ANSWER * 2, options).await?;
        stalled.push((full - empty) / BYTE_BUDGET);
        eprintln!(
            "memory {run}/{}: {MANY_IDLE_SHARDS} idle shards {:.0} MB, {FEW_IDLE_SHARDS} {:.0} MB; {STALLED_SHARDS} shards with \
             stalled handlers {:.0} MB, without records {:.0} MB",
            options.runs,
            many / 1e6,
            few / 1e6,
            full / 1e6,
            empty / 1e6
        );
    }
    Ok(vec![
        Figure::new("memory.idle_shard_kib", median(idle), "KiB").at_most(64.0),
        Figure::new("memory.stalled_ratio", median(stalled), "x").at_most(1.2),
    ])
}

/// Returns the resident memory of a worker that reads this number of idle shards.
async fn resident(shards: u64, options: &Options) -> Result<f64, Error> {
    let server = Server::start(options.latency, shards, shards).await?;
    let mut worker = worker::polling(&server, options, IDLE_POLL)?;
    worker::first_records(&mut worker, shards).await?;
    sleep(Duration::from_secs(15)).await;
    memory(&worker, "VmRSS:")
}

/// Returns the peak memory of a worker whose handlers never return.
async fn peak(records: u64, options: &Options) -> Result<f64, Error> {
    let server = Server::start(options.latency, STALLED_SHARDS, records).await?;
    let worker = Child::spawn(&[
        "work".to_owned(),
        format!("--endpoint={}", server.endpoint()),
        "--application=stalled".to_owned(),
        "--stall".to_owned(),
    ])?;
    sleep(Duration::from_secs(25)).await;
    memory(&worker, "VmHWM:")
}

/// Reads a value in KiB from `/proc/ID/status` (Linux only).
fn memory(worker: &Child, field: &str) -> Result<f64, Error> {
    let id = worker.id().ok_or("the worker has ended")?;
    let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)).ok_or("/proc has no memory values")?;
    Ok(to_f64(line.trim().trim_end_matches(" kB").parse()?) * 1_024.0)
}

#[allow(clippy::cast_precision_loss, reason = "a count of bytes for people")]
fn to_f64(n: u64) -> f64 {
    n as f64
}
