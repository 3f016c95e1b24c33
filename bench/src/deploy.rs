//! `deploy`: measures the pauses of shards, and the repeated records, when a worker shuts down as
//! in a rolling deploy.

use std::time::Duration;

use crate::feed::INTERVAL;
use crate::figure::{Figure, largest, p99};
use crate::fleet::Fleet;
use crate::server::Server;
use crate::{Error, Options, clock};

const SHARDS: u64 = 8;
/// Time for a started fleet to settle, so that its start does not disturb the measurement.
const SETTLE: Duration = Duration::from_secs(3);

/// The worker of the two that shuts down.
#[derive(Clone, Copy, Debug)]
enum Stopped {
    Leader,
    Other,
}

pub(crate) async fn run(options: &Options) -> Result<Vec<Figure>, Error> {
    let (mut gaps, mut repeated) = (Vec::new(), 0);
    for run in 1..=options.runs {
        for stopped in [Stopped::Other, Stopped::Leader] {
            let (some, twice) = measure(stopped, options).await?;
            let worst = largest(some.iter().copied());
            eprintln!(
                "deploy {run}/{}: {stopped:?} stopped: longest gap {worst:.2} s, {twice} records repeated",
                options.runs
            );
            gaps.extend(some);
            repeated += twice;
        }
    }
    #[allow(clippy::cast_precision_loss, reason = "a count of records")]
    let repeated = repeated as f64;
    Ok(vec![
        Figure::new("deploy.gap_p99", p99(gaps), "s").at_most(1.0),
        Figure::new("deploy.repeated", repeated, "records").at_most(0.0),
    ])
}

/// Returns the gaps of all shards in seconds, and the number of repeated records.
async fn measure(stopped: Stopped, options: &Options) -> Result<(Vec<f64>, usize), Error> {
    let server = Server::start(options.latency, SHARDS, 0).await?;
    let (mut fleet, feed) = Fleet::settled(&server, options.failover_time, 2, SETTLE).await?;
    let (leader, others) = fleet.roles().await?;
    let stopped = match stopped {
        Stopped::Leader => leader,
        Stopped::Other => others.into_iter().next().ok_or("the leader is the only worker")?,
    };
    let before = fleet.journal().repeated();
    let begin = clock::now();
    fleet.terminate(&stopped).await?;
    fleet.balanced().await?;
    fleet.drained(feed).await?;
    let journal = fleet.journal();
    let gaps = journal.pauses(begin).into_values().map(|pause| pause.saturating_sub(INTERVAL).as_secs_f64()).collect();
    Ok((gaps, journal.repeated() - before))
}
