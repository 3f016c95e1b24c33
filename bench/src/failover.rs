//! `failover`: the pause of a shard whose worker is killed.

use std::time::Duration;

use crate::feed::EVERY;
use crate::figure::{Figure, largest};
use crate::fleet::Fleet;
use crate::server::Server;
use crate::{Error, Options, clock};

const SHARDS: u64 = 8;
/// What a fleet does after its start is done by then.
const SETTLE: Duration = Duration::from_secs(5);

/// Who is killed.
#[derive(Clone, Copy, Debug)]
enum Victims {
    Worker,
    Leader,
    /// Both at once.
    LeaderAndWorker,
}

struct Scene {
    figure: &'static str,
    workers: usize,
    victims: Victims,
    failover_time: Duration,
    /// Seconds.
    most: f64,
}

pub(crate) async fn run(options: &Options) -> Result<Vec<Figure>, Error> {
    let mut figures = Vec::new();
    for scene in scenes(options.failover_time) {
        let mut gaps = Vec::new();
        for run in 0..options.runs {
            gaps.extend(gaps_of(&scene, run, options).await?);
        }
        figures.push(Figure::new(scene.figure, largest(gaps), "s").at_most(scene.most));
    }
    Ok(figures)
}

fn scenes(failover_time: Duration) -> [Scene; 4] {
    let short = Duration::from_secs(3);
    let scene = |figure, workers, victims, failover_time, most| Scene { figure, workers, victims, failover_time, most };
    let seconds = failover_time.as_secs_f64();
    [
        scene("failover.worker.gap_max", 2, Victims::Worker, failover_time, seconds + 2.0),
        scene("failover.leader.gap_max", 2, Victims::Leader, failover_time, seconds + 3.0),
        scene("failover.fleet.gap_max", 3, Victims::LeaderAndWorker, failover_time, 2.0 * seconds + 3.0),
        scene("failover.worker3.gap_max", 2, Victims::Worker, short, short.as_secs_f64() + 2.0),
    ]
}

/// The gaps of all shards, in seconds.
async fn gaps_of(scene: &Scene, run: usize, options: &Options) -> Result<Vec<f64>, Error> {
    let server = Server::start(options.latency, SHARDS, 0).await?;
    // Each run meets another phase of the heartbeat, which comes four times in a failover time.
    let phase = scene.failover_time.mul_f64(0.25 * share(run, options.runs));
    let (mut fleet, feed) = Fleet::settled(&server, scene.failover_time, scene.workers, SETTLE + phase).await?;
    let (leader, others) = fleet.roles().await?;
    let other = others.into_iter().next().ok_or("the leader is alone")?;
    let victims = match scene.victims {
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
    let gaps: Vec<f64> = pauses.into_values().map(|pause| pause.saturating_sub(EVERY).as_secs_f64()).collect();
    eprintln!("{} {}/{}: {:.2} s", scene.figure, run + 1, options.runs, largest(gaps.iter().copied()));
    Ok(gaps)
}

#[allow(clippy::cast_precision_loss, reason = "a handful of runs")]
fn share(run: usize, runs: usize) -> f64 {
    run as f64 / runs as f64
}
