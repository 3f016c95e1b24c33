//! `start`: from the start of a worker's process until every shard has delivered a record.

use std::collections::BTreeMap;

use crate::figure::{Figure, median};
use crate::server::Server;
use crate::{Error, Options, worker};

const FEW: u64 = 8;
const MANY: u64 = 1_000;

/// Seconds, by figure, of all runs.
#[derive(Debug, Default)]
struct Times(BTreeMap<&'static str, Vec<f64>>);

impl Times {
    /// Starts a worker and notes how long it took.
    async fn start(
        &mut self,
        figure: &'static str,
        server: &Server,
        options: &Options,
    ) -> Result<crate::child::Child, Error> {
        let mut worker = worker::start(server, options)?;
        let took = worker::first_records(&mut worker, server.shards()).await?;
        eprintln!("{figure}: {took:.2?}");
        self.0.entry(figure).or_default().push(took.as_secs_f64());
        Ok(worker)
    }

    fn figure(&self, name: &'static str, most: Option<f64>) -> Figure {
        let figure = Figure::new(name, median(self.0.get(name).into_iter().flatten().copied()), "s");
        match most {
            Some(most) => figure.at_most(most),
            None => figure,
        }
    }
}

pub(crate) async fn run(options: &Options) -> Result<Vec<Figure>, Error> {
    let mut times = Times::default();
    for _ in 0..options.runs {
        let server = Server::start(options.latency, FEW, FEW).await?;
        times.start("start.fresh.8", &server, options).await?.terminate().await?;
        server.put_one_a_shard().await?;
        times.start("start.existing.8", &server, options).await?.kill().await?;
        server.put_one_a_shard().await?;
        times.start("start.crashed.8", &server, options).await?.kill().await?;
    }
    for _ in 0..options.runs {
        let server = Server::start(options.latency, MANY, MANY).await?;
        times.start("start.fresh.1000", &server, options).await?.terminate().await?;
        server.put_one_a_shard().await?;
        times.start("start.existing.1000", &server, options).await?.kill().await?;
    }
    let taken_over = options.failover_time.as_secs_f64() + 2.0;
    Ok(vec![
        times.figure("start.fresh.8", Some(2.0)),
        times.figure("start.existing.8", Some(1.5)),
        times.figure("start.crashed.8", Some(taken_over)),
        times.figure("start.fresh.1000", Some(10.0)),
        times.figure("start.existing.1000", None),
    ])
}
