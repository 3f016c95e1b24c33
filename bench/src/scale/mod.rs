//! `scale`: measures a fleet of 500 workers and 10,000 shards in one thread, under virtual time.

mod link;
mod stopwatch;
mod stream;
mod table;
mod units;

use std::sync::Arc;
use std::time::Duration;

use kcl_core::lease::WorkerId;
use kcl_core::prelude::*;
use kcl_core::settings::BalanceBy;
use kcl_core::testing::TokioClock;
use tokio::time::{Instant, sleep};

use crate::figure::{Figure, largest, median};
use crate::{Error, Options};
use link::Link;
use stopwatch::Stopwatch;
use stream::{SharedStream, WorkerStream};
use table::{SharedTable, WorkerTable};

const SHARDS: usize = 10_000;
const WORKERS: usize = 500;
/// Number of workers that join, and that crash.
const CHANGED: usize = 50;
/// Time from an event to the steady state.
const SETTLE: Duration = Duration::from_secs(90);
/// Time over which units are counted. Whole minutes, because some work is done once a minute.
const WINDOW: Duration = Duration::from_secs(120);
/// Interval between two checks of a condition.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// A condition that does not hold within this time never will.
const TIMEOUT: Duration = Duration::from_secs(600);
/// Slower than the default, because coordination is measured and not polling.
const IDLE_POLL: Duration = Duration::from_secs(2);

/// Never called: there are no records.
struct Idle;

impl RecordProcessor for Idle {
    async fn process_records(&mut self, _: &Batch, _: &ShardContext) -> Result<(), BoxError> {
        Ok(())
    }
}

pub(crate) async fn run(options: &Options) -> Result<Vec<Figure>, Error> {
    let options = options.clone();
    // A separate thread, because its time is virtual and its log spans go to the stopwatch.
    tokio::task::spawn_blocking(move || {
        let stopwatch = Stopwatch::default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
        tracing::subscriber::with_default(stopwatch.subscriber(), || runtime.block_on(measure(&options, &stopwatch)))
    })
    .await?
}

async fn measure(options: &Options, stopwatch: &Stopwatch) -> Result<Vec<Figure>, Error> {
    let mut fleet = Fleet::new(options);
    eprintln!("scale: {WORKERS} workers, {SHARDS} shards");
    // Starts are spread over a heartbeat interval, so that a crash finds workers at every phase of
    // it.
    let start = fleet.add(WORKERS, fleet.settings.effective_heartbeat_interval()).await?;
    fleet.until_balanced(start).await?;
    sleep(SETTLE).await;

    let (read, written) = fleet.units();
    sleep(WINDOW).await;
    let (read_later, written_later) = fleet.units();
    let per_second = |before: f64, after: f64| (after - before) / WINDOW.as_secs_f64();

    let joined = fleet.add(CHANGED, Duration::ZERO).await?;
    let join = fleet.until_balanced(joined).await?;
    eprintln!("scale: {CHANGED} workers joined: balanced after {join:.2} s");
    sleep(SETTLE).await;

    let crashed = fleet.crash(CHANGED, Leader::Survives);
    let crash = fleet.until_read(crashed).await?;
    let balanced = fleet.until_balanced(crashed).await?;
    eprintln!("scale: {CHANGED} workers crashed: all read again after {crash:.2} s, balanced after {balanced:.2} s");
    sleep(SETTLE).await;

    let crashed = fleet.crash(CHANGED, Leader::Crashes);
    let leader_crash = fleet.until_read(crashed).await?;
    eprintln!("scale: {CHANGED} workers crashed, with the leader: all read again after {leader_crash:.2} s");
    fleet.until_balanced(crashed).await?;
    sleep(SETTLE).await;

    let laps = stopwatch.take();
    let millis = |time: Duration| time.as_secs_f64() * 1_000.0;
    eprintln!("scale: {} assignment cycles", laps.len());
    Ok(vec![
        Figure::new("scale.plan_ms", largest(laps.iter().map(|lap| millis(lap.real))), "ms").at_most(100.0),
        Figure::new("scale.plan_ms.median", median(laps.iter().map(|lap| millis(lap.real))), "ms"),
        Figure::new("scale.plan_cpu_ms", largest(laps.iter().map(|lap| millis(lap.cpu))), "ms"),
        Figure::new("scale.units_read", per_second(read, read_later), "1/s"),
        Figure::new("scale.units_written", per_second(written, written_later), "1/s"),
        Figure::new("scale.join.seconds", join, "s"),
        Figure::new("scale.crash.seconds", crash, "s"),
        Figure::new("scale.crash.balanced.seconds", balanced, "s"),
        Figure::new("scale.crash_with_planner.seconds", leader_crash, "s"),
    ])
}

/// Whether the leader is among the workers that crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leader {
    Survives,
    Crashes,
}

/// The running workers, each with its network link.
struct Fleet {
    table: Arc<SharedTable>,
    stream: Arc<SharedStream>,
    settings: Settings,
    workers: Vec<(WorkerId, Link)>,
    next: u64,
}

impl Fleet {
    fn new(options: &Options) -> Self {
        let settings = Settings::default()
            .failover_time(options.failover_time)
            .idle_poll_interval(IDLE_POLL)
            .balance_by(if options.by_bytes { BalanceBy::Bytes } else { BalanceBy::Leases });
        Fleet {
            table: SharedTable::new(options.latency.dynamodb()),
            stream: SharedStream::new(SHARDS, options.latency.kinesis()),
            settings,
            workers: Vec::new(),
            next: 1,
        }
    }

    /// Starts workers, spread evenly over the time `within`.
    async fn add(&mut self, workers: usize, within: Duration) -> Result<Instant, Error> {
        let now = Instant::now();
        let step = within / u32::try_from(workers)?;
        for n in 0..workers {
            let (name, link) = (format!("worker-{:016x}", self.next), Link::default());
            let store = WorkerTable { table: Arc::clone(&self.table), link: link.clone() };
            let stream = WorkerStream { stream: Arc::clone(&self.stream), link: link.clone() };
            let builder = Worker::builder("scale", "scale")
                .settings(self.settings.clone())
                .worker_id(&name)
                .with_store_and_stream(Arc::new(store), Arc::new(stream))
                .with_clock(Arc::new(TokioClock::new()))
                .with_seed(self.next)
                .on_current_runtime()
                .processor(|_: &ShardId| Idle);
            let its_link = link.clone();
            let delay = step * u32::try_from(n)?;
            tokio::spawn(async move {
                sleep(delay).await;
                let ended = match builder.build().await {
                    Ok(worker) => worker.run().await,
                    Err(error) => Err(error),
                };
                // A worker whose link is cut ends with an error; that is expected.
                if let Err(error) = ended
                    && !its_link.is_cut()
                {
                    eprintln!("scale: a worker failed: {error}");
                }
            });
            self.workers.push((WorkerId::parse(name)?, link));
            self.next += 1;
        }
        Ok(now)
    }

    /// Cuts the links of this number of workers.
    fn crash(&mut self, workers: usize, leader: Leader) -> Instant {
        let current = self.table.leader();
        let is_leader = |(worker, _): &(WorkerId, Link)| Some(worker) == current.as_ref();
        // Sort the workers to crash to the front.
        self.workers.sort_by_key(|worker| is_leader(worker) != (leader == Leader::Crashes));
        for (_, link) in self.workers.drain(..workers) {
            link.cut();
        }
        Instant::now()
    }

    fn units(&self) -> (f64, f64) {
        let usage = self.table.usage();
        (usage.read, usage.written)
    }

    /// Returns the seconds until every lease has a running owner, and the workers' shares differ by
    /// at most one.
    async fn until_balanced(&self, since: Instant) -> Result<f64, Error> {
        let workers: Vec<WorkerId> = self.workers.iter().map(|(worker, _)| worker.clone()).collect();
        self.until(since, "balanced", || {
            let (shares, others) = self.table.usage().shares(&workers);
            let all = shares.iter().sum::<usize>() == SHARDS && others == 0;
            all && shares.iter().max().zip(shares.iter().min()).is_some_and(|(most, least)| most - least <= 1)
        })
        .await
    }

    /// Returns the seconds until every shard was read after `since`.
    async fn until_read(&self, since: Instant) -> Result<f64, Error> {
        self.until(since, "all read again", || self.stream.unread_since(since) == 0).await
    }

    async fn until(&self, since: Instant, condition: &str, holds: impl Fn() -> bool) -> Result<f64, Error> {
        while !holds() {
            if since.elapsed() > TIMEOUT {
                let workers: Vec<WorkerId> = self.workers.iter().map(|(worker, _)| worker.clone()).collect();
                let (shares, others) = self.table.usage().shares(&workers);
                let (most, least) = (shares.iter().max(), shares.iter().min());
                return Err(format!(
                    "the fleet is not {condition} after {TIMEOUT:?}: {others} leases without a running owner, shares \
                     from {least:?} to {most:?}"
                )
                .into());
            }
            sleep(POLL_INTERVAL).await;
        }
        Ok(since.elapsed().as_secs_f64())
    }
}
