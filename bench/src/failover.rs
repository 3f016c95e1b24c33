//! `failover`: measures the pauses of shards when workers are killed.

use std::time::Duration;

use crate::feed::INTERVAL;
use crate::figure::{Figure, largest};
use crate::fleet::Fleet;
use crate::server::Server;
use crate::{Error, Options, clock};

const SHARDS: u64 = 8;
/// Time for a started fleet to settle, so that its start does not disturb the measurement.
const SETTLE: Duration = Duration::from_secs(5);

/// The workers that are killed.
#[derive(Clone, Copy, Debug)]
enum Victims {
    Worker,
    Leader,
    /// The leader and one other worker, at the same time.
    LeaderAndWorker,
}

struct Scenario {
    figure: &'static str,
    workers: usize,
    victims: Victims,
    failover_time: Duration,
    /// The bound of the figure.
    max_seconds: f64,
}

pub(crate) async fn run(options: &Options) -> Result<Vec<Figure>, Error> {
    let mut figures = Vec::new();
    for scenario in scenarios(options.failover_time) {
        let mut gaps = Vec::new();
        for run in 0..options.runs {
            gaps.extend(gaps_of(&scenario, run, options).await?);
        }
        figures.push(Figure::new(scenario.figure, largest(gaps), "s").at_most(scenario.max_seconds));
    }
    Ok(figures)
}

fn scenarios(failover_time: Duration) -> [Scenario; 4] {
    let short = Duration::from_secs(3);
    let scenario = |figure, workers, victims, failover_time, max_seconds| Scenario {
        figure,
        workers,
        victims,
        failover_time,
        max_seconds,
    };
    let seconds = failover_time.as_secs_f64();
    [
        scenario("failover.worker.gap_max", 2, Victims::Worker, failover_time, seconds + 2.0),
        scenario("failover.planner.gap_max", 2, Victims::Leader, failover_time, seconds + 3.0),
        scenario("failover.fleet.gap_max", 3, Victims::LeaderAndWorker, failover_time, 2.0 * seconds + 3.0),
        scenario("failover.worker3.gap_max", 2, Victims::Worker, short, short.as_secs_f64() + 2.0),
    ]
}

/// Returns the gaps of all shards, in seconds.
async fn gaps_of(scenario: &Scenario, run: usize, options: &Options) -> Result<Vec<f64>, Error> {
    let server = Server::start(options.latency, SHARDS, 0).await?;
    // Each run kills at another phase of the heartbeat interval, which is a quarter of the failover
    // time.
    let phase = scenario.failover_time.mul_f64(0.25 * share(run, options.runs));
    let (mut fleet, feed) = Fleet::settled(&server, scenario.failover_time, scenario.workers, SETTLE + phase).await?;
    let (leader, others) = fleet.roles().await?;
    let other = others.into_iter().next().ok_or("the leader is the only worker")?;
    let victims = match scenario.victims {
        Victims::Worker => vec![other],
        Victims::Leader => vec![leader],
        Victims::LeaderAndWorker => vec![leader, other],
    };
    let killed = clock::now();
    for victim in &victims {
        fleet.kill(victim).await?;
    }
    fleet.balanced().await?;
    fleet.drained(feed).await?;
    let pauses = fleet.journal().pauses(killed);
    let gaps: Vec<f64> = pauses.into_values().map(|pause| pause.saturating_sub(INTERVAL).as_secs_f64()).collect();
    eprintln!("{} {}/{}: {:.2} s", scenario.figure, run + 1, options.runs, largest(gaps.iter().copied()));
    Ok(gaps)
}

#[allow(clippy::cast_precision_loss, reason = "a handful of runs")]
fn share(run: usize, runs: usize) -> f64 {
    run as f64 / runs as f64
}
