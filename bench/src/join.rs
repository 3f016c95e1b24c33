//! `join`: measures the time from the start of a second worker's process until it has initialized
//! half of the shards.

use std::time::Duration;

use tokio::time::sleep;

use crate::feed::INTERVAL;
use crate::figure::{Figure, largest, median};
use crate::fleet::Fleet;
use crate::server::Server;
use crate::{Error, Options, clock};

const FEW: u64 = 8;
const MANY: u64 = 1_000;
/// Time for a started worker to settle, so that its start does not disturb the measurement.
const SETTLE: Duration = Duration::from_secs(3);

/// The result of a join with few shards.
struct Joined {
    seconds: f64,
    repeated: usize,
    gap: f64,
}

pub(crate) async fn run(options: &Options) -> Result<Vec<Figure>, Error> {
    let (mut few, mut many) = (Vec::new(), Vec::new());
    for run in 1..=options.runs {
        let joined = busy(options).await?;
        let Joined { seconds, repeated, gap } = joined;
        eprintln!("join.8 {run}/{}: {seconds:.2} s, {repeated} repeated, longest gap {gap:.2} s", options.runs);
        few.push(joined);
    }
    for run in 1..=options.runs {
        let seconds = idle(options).await?;
        eprintln!("join.1000 {run}/{}: {seconds:.2} s", options.runs);
        many.push(seconds);
    }
    #[allow(clippy::cast_precision_loss, reason = "a count of records")]
    let repeated = few.iter().map(|joined| joined.repeated).sum::<usize>() as f64;
    Ok(vec![
        Figure::new("join.8", median(few.iter().map(|joined| joined.seconds)), "s").at_most(3.0),
        Figure::new("join.repeated", repeated, "records").at_most(0.0),
        Figure::new("join.gap_max", largest(few.iter().map(|joined| joined.gap)), "s"),
        Figure::new("join.1000", median(many), "s").at_most(10.0),
    ])
}

/// Measures a join with few shards that receive records.
async fn busy(options: &Options) -> Result<Joined, Error> {
    let server = Server::start(options.latency, FEW, 0).await?;
    let (mut fleet, feed) = Fleet::settled(&server, options.failover_time, 1, SETTLE).await?;
    let started = clock::now();
    let seconds = second_worker(&mut fleet, FEW).await?;
    fleet.balanced().await?;
    fleet.drained(feed).await?;
    let journal = fleet.journal();
    let pauses = journal.pauses(started).into_values();
    let gap = largest(pauses.map(|pause| pause.saturating_sub(INTERVAL).as_secs_f64()));
    Ok(Joined { seconds, repeated: journal.repeated(), gap })
}

/// Measures a join with many shards without records: putting records would take CPU from the
/// workers.
async fn idle(options: &Options) -> Result<f64, Error> {
    let server = Server::start(options.latency, MANY, 0).await?;
    let mut fleet = Fleet::new(&server, options.failover_time);
    let first = fleet.start()?;
    let all = usize::try_from(MANY)?;
    fleet.wait_until("the first worker has initialized all shards", |journal| journal.initialized(&first, all)).await?;
    sleep(SETTLE).await;
    second_worker(&mut fleet, MANY).await
}

/// Starts a second worker, and returns the seconds until it has initialized half of the shards.
async fn second_worker(fleet: &mut Fleet<'_>, shards: u64) -> Result<f64, Error> {
    let half = usize::try_from(shards / 2)?;
    let started = clock::now();
    let second = fleet.start()?;
    let at = fleet
        .wait_until("the second worker has initialized half of the shards", |journal| {
            journal.initialized(&second, half)
        })
        .await?;
    Ok(at.saturating_sub(started).as_secs_f64())
}
