//! `start`: measures the time from the start of a worker's process until it has received a record
//! of every shard.

use std::collections::BTreeMap;

use crate::figure::{Figure, median};
use crate::server::Server;
use crate::{Error, Options, worker};

const FEW: u64 = 8;
const MANY: u64 = 1_000;

/// Seconds of all runs, by figure.
#[derive(Debug, Default)]
struct Times(BTreeMap<&'static str, Vec<f64>>);

impl Times {
    /// Starts a worker, and adds its time to the figure.
    async fn start(
        &mut self,
        figure: &'static str,
        server: &Server,
        options: &Options,
    ) -> Result<crate::child::Child, Error> {
        let mut worker = worker::start(server, options)?;
        let elapsed = worker::first_records(&mut worker, server.shards()).await?;
        eprintln!("{figure}: {elapsed:.2?}");
        self.0.entry(figure).or_default().push(elapsed.as_secs_f64());
        Ok(worker)
    }

    fn figure(&self, name: &'static str, max: Option<f64>) -> Figure {
        let figure = Figure::new(name, median(self.0.get(name).into_iter().flatten().copied()), "s");
        match max {
            Some(max) => figure.at_most(max),
            None => figure,
        }
    }
}

pub(crate) async fn run(options: &Options) -> Result<Vec<Figure>, Error> {
    let mut times = Times::default();
    for _ in 0..options.runs {
        let server = Server::start(options.latency, FEW, FEW).await?;
        times.start("start.fresh.8", &server, options).await?.terminate().await?;
        server.put_one_per_shard().await?;
        times.start("start.existing.8", &server, options).await?.kill().await?;
        server.put_one_per_shard().await?;
        times.start("start.crashed.8", &server, options).await?.kill().await?;
    }
    for _ in 0..options.runs {
        let server = Server::start(options.latency, MANY, MANY).await?;
        times.start("start.fresh.1000", &server, options).await?.terminate().await?;
        server.put_one_per_shard().await?;
        times.start("start.existing.1000", &server, options).await?.kill().await?;
    }
    let after_failover = options.failover_time.as_secs_f64() + 2.0;
    Ok(vec![
        times.figure("start.fresh.8", Some(2.0)),
        times.figure("start.existing.8", Some(1.5)),
        times.figure("start.crashed.8", Some(after_failover)),
        times.figure("start.fresh.1000", Some(10.0)),
        times.figure("start.existing.1000", None),
    ])
}
