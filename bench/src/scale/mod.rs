//! `scale`: a fleet of 500 workers and 10,000 shards in one thread, under virtual time.

mod stopwatch;
mod stream;
mod table;
mod units;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use kcl_core::lease::WorkerId;
use kcl_core::prelude::*;
use kcl_core::{BalanceBy, TokioClock};
use tokio::time::{Instant, sleep};

use crate::figure::{Figure, largest, median};
use crate::{Error, Options};
use stopwatch::Stopwatch;
use wire::Wire;

const SHARDS: usize = 10_000;
const WORKERS: usize = 500;
/// So many join, and so many crash.
const OTHERS: usize = 50;
/// Steady state: from so long after the last event, for so long. Whole minutes, as some things are done once in one.
const SETTLE: Duration = Duration::from_secs(90);
const WINDOW: Duration = Duration::from_secs(120);
/// Between two looks at whether it is done.
const LOOK: Duration = Duration::from_millis(100);
/// What takes longer will not end.
const PATIENCE: Duration = Duration::from_secs(600);
/// Coordination is measured, not polling: shards without a record are read so often.
const IDLE_POLL: Duration = Duration::from_secs(2);

/// Handles nothing: there are no records.
struct Idle;

impl RecordProcessor for Idle {
    async fn process_records(&mut self, _: &Batch, _: &ShardContext) -> Result<(), BoxError> {
        Ok(())
    }
}

pub(crate) async fn run(options: &Options) -> Result<Vec<Figure>, Error> {
    let options = options.clone();
    // A thread of its own: its time is virtual, and its logs go to the stopwatch.
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
    // Spread over a heartbeat: a crash meets every phase of it.
    let start = fleet.add(WORKERS, fleet.settings.heartbeat_interval()).await?;
    fleet.until_balanced(start).await?;
    sleep(SETTLE).await;

    let (read, written) = fleet.units();
    sleep(WINDOW).await;
    let (read_later, written_later) = fleet.units();
    let a_second = |before: f64, after: f64| (after - before) / WINDOW.as_secs_f64();

    let joined = fleet.add(OTHERS, Duration::ZERO).await?;
    let join = fleet.until_balanced(joined).await?;
    eprintln!("scale: {OTHERS} workers more: balanced after {join:.2} s");
    sleep(SETTLE).await;

    let crashed = fleet.crash(OTHERS, Leader::Lives);
    let crash = fleet.until_read(crashed).await?;
    let even_again = fleet.until_balanced(crashed).await?;
    eprintln!("scale: {OTHERS} workers crashed: all read again after {crash:.2} s, balanced after {even_again:.2} s");
    sleep(SETTLE).await;

    let crashed = fleet.crash(OTHERS, Leader::DiesToo);
    let headless = fleet.until_read(crashed).await?;
    eprintln!("scale: {OTHERS} more, and the leader: all read again after {headless:.2} s");
    fleet.until_balanced(crashed).await?;
    sleep(SETTLE).await;

    let laps = stopwatch.take();
    let millis = |time: Duration| time.as_secs_f64() * 1_000.0;
    eprintln!("scale: {} planning cycles", laps.len());
    Ok(vec![
        Figure::new("scale.plan_ms", largest(laps.iter().map(|lap| millis(lap.real))), "ms").at_most(100.0),
        Figure::new("scale.plan_ms.median", median(laps.iter().map(|lap| millis(lap.real))), "ms"),
        Figure::new("scale.plan_cpu_ms", largest(laps.iter().map(|lap| millis(lap.processor))), "ms"),
        Figure::new("scale.units_read", a_second(read, read_later), "1/s"),
        Figure::new("scale.units_written", a_second(written, written_later), "1/s"),
        Figure::new("scale.join.seconds", join, "s"),
        Figure::new("scale.crash.seconds", crash, "s"),
        Figure::new("scale.crash.balanced.seconds", even_again, "s"),
        Figure::new("scale.crash_with_leader.seconds", headless, "s"),
    ])
}

/// Whether the leader is among those that crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leader {
    Lives,
    DiesToo,
}

/// Workers that live, each with its wire.
struct Fleet {
    table: Arc<table::Shared>,
    stream: Arc<stream::Shared>,
    settings: Settings,
    workers: Vec<(WorkerId, Wire)>,
    next: u64,
}

impl Fleet {
    fn new(options: &Options) -> Self {
        let settings = Settings::default()
            .failover_time(options.failover_time)
            .idle_poll_interval(IDLE_POLL)
            .balance_by(if options.by_bytes { BalanceBy::Bytes } else { BalanceBy::Leases });
        Fleet {
            table: table::Shared::new(options.latency.dynamodb()),
            stream: stream::Shared::new(SHARDS, options.latency.kinesis()),
            settings,
            workers: Vec::new(),
            next: 1,
        }
    }

    /// Starts workers, evenly within that time.
    async fn add(&mut self, workers: usize, within: Duration) -> Result<Instant, Error> {
        let now = Instant::now();
        let each = within / u32::try_from(workers)?;
        for n in 0..workers {
            let (name, wire) = (format!("worker-{:016x}", self.next), Wire::default());
            let store = table::Seat { table: Arc::clone(&self.table), wire: wire.clone() };
            let stream = stream::Seat { stream: Arc::clone(&self.stream), wire: wire.clone() };
            let builder = Worker::builder("scale", "scale")
                .settings(self.settings.clone())
                .worker_id(&name)
                .with_store_and_stream(Arc::new(store), Arc::new(stream))
                .with_clock(Arc::new(TokioClock::new()))
                .with_seed(self.next)
                .on_current_runtime()
                .processor(|_: &ShardId| Idle);
            let cut = wire.clone();
            let delay = each * u32::try_from(n)?;
            tokio::spawn(async move {
                sleep(delay).await;
                let ended = match builder.build().await {
                    Ok(worker) => worker.run().await,
                    Err(error) => Err(error),
                };
                // One that is cut off notices it in the end.
                if let Err(error) = ended
                    && !cut.is_cut()
                {
                    eprintln!("scale: a worker ended: {error}");
                }
            });
            self.workers.push((WorkerId::parse(name)?, wire));
            self.next += 1;
        }
        Ok(now)
    }

    /// Pulls the plugs of so many workers.
    fn crash(&mut self, workers: usize, leader: Leader) -> Instant {
        let plans = self.table.leader();
        let is_leader = |(worker, _): &(WorkerId, Wire)| Some(worker) == plans.as_ref();
        // Those who die come first.
        self.workers.sort_by_key(|worker| is_leader(worker) != (leader == Leader::DiesToo));
        for (_, wire) in self.workers.drain(..workers) {
            wire.cut();
        }
        Instant::now()
    }

    fn units(&self) -> (f64, f64) {
        let books = self.table.books();
        (books.read, books.written)
    }

    /// Seconds until every lease has a live owner, and owners' shares differ by one at most.
    async fn until_balanced(&self, since: Instant) -> Result<f64, Error> {
        let workers: Vec<WorkerId> = self.workers.iter().map(|(worker, _)| worker.clone()).collect();
        self.until(since, "balanced", || {
            let (shares, others) = self.table.books().shares(&workers);
            let all = shares.iter().sum::<usize>() == SHARDS && others == 0;
            all && shares.iter().max().zip(shares.iter().min()).is_some_and(|(most, least)| most - least <= 1)
        })
        .await
    }

    /// Seconds until every shard was read since.
    async fn until_read(&self, since: Instant) -> Result<f64, Error> {
        self.until(since, "all read again", || self.stream.unread_since(since) == 0).await
    }

    async fn until(&self, since: Instant, what: &str, done: impl Fn() -> bool) -> Result<f64, Error> {
        while !done() {
            if since.elapsed() > PATIENCE {
                let workers: Vec<WorkerId> = self.workers.iter().map(|(worker, _)| worker.clone()).collect();
                let (shares, others) = self.table.books().shares(&workers);
                let (most, least) = (shares.iter().max(), shares.iter().min());
                return Err(format!(
                    "the fleet is not {what} after {PATIENCE:?}: {others} leases with nobody alive, shares from \
                     {least:?} to {most:?}"
                )
                .into());
            }
            sleep(LOOK).await;
        }
        Ok(since.elapsed().as_secs_f64())
    }
}
