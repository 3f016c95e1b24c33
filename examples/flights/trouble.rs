//! `flights trouble`: what becomes of records that cannot be handled. A database that is down for a moment, records that
//! are no JSON, an aeroplane that nobody knows: tried again, given to a file of dead letters, parked until it is known.

use crate::Failure;
use crate::feed;
use crate::flight::Flight;
use crate::input;
use comfy_table::Table;
use comfy_table::presets::UTF8_BORDERS_ONLY;
use kcl_core::prelude::*;
use kcl_core::{DecodeError, JsonLinesFile, parked};
use kcl_local::LocalAws;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

const STREAM: &str = "flights";
const APPLICATION: &str = "flights-trouble";
/// Of the file, as many flights as are put in a few seconds.
const FLIGHTS: usize = 3_000;
/// Every so many records one is no JSON.
const BROKEN_EVERY: usize = 500;
const PATIENCE: Duration = Duration::from_secs(60);

/// Where the letters go.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The file of dead letters, one line of JSON each.
    #[arg(long, value_name = "FILE", default_value = "dead-letters.jsonl")]
    dead_letters: PathBuf,
}

/// The database is down: that passes.
#[derive(Debug)]
struct Down;

impl std::fmt::Display for Down {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the database is down")
    }
}

impl std::error::Error for Down {}

/// What is wrong with the world, and what was done in it.
#[derive(Debug, Default)]
struct World {
    down: AtomicBool,
    knows_the_aeroplane: AtomicBool,
    refused: AtomicU64,
    /// The numbers of each aeroplane's flights, as they were handled.
    handled: Mutex<HashMap<String, Vec<String>>>,
}

impl World {
    fn count(&self) -> usize {
        self.handled.lock().unwrap_or_else(PoisonError::into_inner).values().map(Vec::len).sum()
    }
}

#[derive(RecordProcessor)]
#[processor(json, handler = "departed")]
struct Store {
    world: Arc<World>,
    unknown: String,
}

impl Store {
    async fn departed(&self, flight: Flight, meta: &RecordMeta) -> Result<(), BoxError> {
        if self.world.down.load(Ordering::Relaxed) {
            self.world.refused.fetch_add(1, Ordering::Relaxed);
            return Err(Down.into());
        }
        let aeroplane = flight.partition_key();
        if aeroplane == self.unknown && !self.world.knows_the_aeroplane.load(Ordering::Relaxed) {
            return Err(format!("no such aeroplane: {aeroplane}").into());
        }
        let mut handled = self.world.handled.lock().unwrap_or_else(PoisonError::into_inner);
        handled.entry(aeroplane).or_default().push(meta.sequence_number().to_string());
        Ok(())
    }
}

pub(crate) async fn run(arguments: &Arguments, file: Option<&Path>) -> Result<(), Failure> {
    let mut flights = input::read(file.unwrap_or(&input::bundled()))?;
    flights.truncate(FLIGHTS);
    // The aeroplane with the most flights.
    let mut aeroplanes: BTreeMap<String, usize> = BTreeMap::new();
    for flight in &flights {
        *aeroplanes.entry(flight.partition_key()).or_default() += 1;
    }
    let most = aeroplanes.into_iter().max_by_key(|(_, flights)| *flights);
    let (unknown, of_unknown) = most.ok_or("the file has no flights")?;
    let aws = LocalAws::start().await?;
    feed::create(&aws.kinesis(), STREAM, 2).await?;

    let world = Arc::new(World::default());
    world.down.store(true, Ordering::Relaxed);
    // What passes is tried again for ever, what is no flight is given up at once, and what else fails parks its aeroplane.
    let policy = OnError::retry()
        .backoff(Duration::from_millis(50), Duration::from_secs(1))
        .max_attempts(3)
        .then(FinalAction::Quarantine)
        .when::<Down>(OnError::retry().backoff(Duration::from_millis(100), Duration::from_secs(1)))
        .when::<DecodeError>(OnError::at_once(FinalAction::DeadLetter));
    let (its_world, its_unknown) = (Arc::clone(&world), unknown.clone());
    let worker = Worker::builder(APPLICATION, STREAM)
        .sdk_config(&aws.sdk_config())
        .concurrency(Concurrency::PerKey(16))
        .checkpoint_interval(Duration::from_millis(500))
        .quarantine_retry(Duration::from_secs(2))
        .error_policy(policy)
        .dead_letters(JsonLinesFile::open(&arguments.dead_letters)?)
        .processor(move |_: &ShardId| Store { world: Arc::clone(&its_world), unknown: its_unknown.clone() })
        .build()
        .await?;
    let handle = worker.handle();
    let running = tokio::spawn(worker.run());

    let broken = feed::put_broken(&aws.kinesis(), STREAM, flights.len() / BROKEN_EVERY).await?;
    feed::put(&aws.kinesis(), STREAM, &flights, |_| {}).await?;
    eprintln!("{} flights and {broken} records that are none are in the stream; the database is down", flights.len());
    sleep(Duration::from_secs(2)).await;
    world.down.store(false, Ordering::Relaxed);
    let began = Instant::now();
    until("all but one aeroplane are handled", || world.count() == flights.len() - of_unknown).await?;
    eprintln!(
        "it is up again: all flights but those of {unknown} are handled, after {:.1} s",
        began.elapsed().as_secs_f64()
    );
    let store = kcl_core::aws::DynamoDbStore::new(aws.dynamodb(), APPLICATION.to_owned());
    let waiting = async {
        loop {
            let leases = parked(&store).await?;
            let records: usize = leases.iter().flat_map(|lease| &lease.keys).map(|key| key.positions.len()).sum();
            if records == of_unknown {
                return Ok::<_, Failure>(records);
            }
            sleep(Duration::from_millis(100)).await;
        }
    };
    let quarantined =
        timeout(PATIENCE, waiting).await.map_err(|_| "the parked records do not stand in the lease's row")??;
    eprintln!("{quarantined} flights of {unknown} are in quarantine; now somebody makes it known");
    world.knows_the_aeroplane.store(true, Ordering::Relaxed);
    until("the parked flights are handled", || world.count() == flights.len()).await?;
    handle.shutdown(Duration::from_secs(25)).await;
    running.await??;
    aws.shutdown().await;

    let handled = world.handled.lock().unwrap_or_else(PoisonError::into_inner);
    let in_order =
        handled.get(&unknown).is_some_and(|numbers| numbers.is_sorted_by_key(|number| (number.len(), number.clone())));
    let letters = std::fs::read_to_string(&arguments.dead_letters)?.lines().count();
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY);
    for (what, count) in [
        ("flights handled", flights.len().to_string()),
        ("attempts while the database was down", world.refused.load(Ordering::Relaxed).to_string()),
        ("dead letters in the file", format!("{letters} ({})", arguments.dead_letters.display())),
        ("flights that were in quarantine", quarantined.to_string()),
        ("of those, handled in their order", if in_order { quarantined.to_string() } else { "not all".to_owned() }),
    ] {
        table.add_row([what, &count]);
    }
    println!("{table}");
    if in_order { Ok(()) } else { Err("the parked flights came out of order".into()) }
}

async fn until(what: &str, is_so: impl Fn() -> bool) -> Result<(), Failure> {
    let waiting = async {
        while !is_so() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    Ok(timeout(PATIENCE, waiting).await.map_err(|_| format!("not within {PATIENCE:?}: {what}"))?)
}
