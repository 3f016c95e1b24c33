//! `start`: from the start of a worker's process until every shard has delivered a record.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::child::Child;
use crate::figure::{Figure, median};
use crate::role::Said;
use crate::server::Server;
use crate::{Error, Options};

const FEW: usize = 8;
const MANY: usize = 1_000;

pub(crate) async fn run(options: &Options) -> Result<Vec<Figure>, Error> {
    let (mut fresh, mut existing, mut crashed, mut many) = (vec![], vec![], vec![], vec![]);
    for run in 1..=options.runs {
        let server = Server::start(options.latency, FEW as u64, FEW as u64).await?;
        let (worker, took) = start(&server, FEW, options).await?;
        eprintln!("start {run}/{}: fresh, {FEW} shards: {took:.2?}", options.runs);
        fresh.push(took.as_secs_f64());
        worker.terminate().await?;

        server.put_one_a_shard().await?;
        let (worker, took) = start(&server, FEW, options).await?;
        eprintln!("start {run}/{}: existing, {FEW} shards: {took:.2?}", options.runs);
        existing.push(took.as_secs_f64());
        worker.kill().await?;

        server.put_one_a_shard().await?;
        let (worker, took) = start(&server, FEW, options).await?;
        eprintln!("start {run}/{}: crashed, {FEW} shards: {took:.2?}", options.runs);
        crashed.push(took.as_secs_f64());
        worker.kill().await?;
    }
    for run in 1..=options.runs {
        let server = Server::start(options.latency, MANY as u64, MANY as u64).await?;
        let (worker, took) = start(&server, MANY, options).await?;
        eprintln!("start {run}/{}: fresh, {MANY} shards: {took:.2?}", options.runs);
        many.push(took.as_secs_f64());
        worker.kill().await?;
    }
    Ok(vec![
        Figure::new("start.fresh.8", median(fresh), "s").at_most(2.0),
        Figure::new("start.existing.8", median(existing), "s").at_most(1.5),
        Figure::new("start.crashed.8", median(crashed), "s").at_most(options.failover_time.as_secs_f64() + 2.0),
        Figure::new("start.fresh.1000", median(many), "s").at_most(10.0),
    ])
}

/// Starts a worker under a new id, and tells how long it took until each of so many shards had delivered a record.
async fn start(server: &Server, shards: usize, options: &Options) -> Result<(Child, Duration), Error> {
    let failover_time = humantime::format_duration(options.failover_time);
    let mut worker = Child::spawn(&[
        "work".to_owned(),
        format!("--endpoint={}", server.endpoint()),
        "--application=bench".to_owned(),
        format!("--failover-time={failover_time}"),
    ])?;
    let mut seen = BTreeSet::new();
    loop {
        if let (Said::First { shard }, took) = worker.hear().await? {
            seen.insert(shard);
            if seen.len() == shards {
                return Ok((worker, took));
            }
        }
    }
}
