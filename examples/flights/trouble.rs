//! `flights trouble`: failure policies at work, on embedded servers.
//!
//! Three kinds of failure, and the policy for each:
//!
//! - the database is down for two seconds: the batch is retried until the database is up again;
//! - a record is not JSON: it goes to a dead-letter file at once, because it will not decode the
//!   next time either;
//! - the database does not know one aircraft: after three attempts its partition key is
//!   quarantined. The other keys continue, and the aircraft's flights are processed later, in
//!   order.

use crate::Failure;
use crate::feed;
use crate::flight::Flight;
use crate::input;
use comfy_table::Table;
use comfy_table::presets::UTF8_BORDERS_ONLY;
use kcl_core::DecodeError;
use kcl_core::operator::quarantine;
use kcl_core::policy::JsonLinesFile;
use kcl_core::prelude::*;
use kcl_local::LocalAws;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

const STREAM: &str = "flights";
const APPLICATION: &str = "flights-trouble";
/// Number of flights taken from the file: putting them takes a few seconds.
const FLIGHTS: usize = 3_000;
/// One record that is not JSON per this many flights.
const BROKEN_EVERY: usize = 500;
const TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The dead-letter file: one line of JSON per record.
    #[arg(long, value_name = "FILE", default_value = "dead-letters.jsonl")]
    dead_letters: PathBuf,
}

/// A transient error: the database is down.
#[derive(Debug)]
struct DatabaseDown;

impl std::fmt::Display for DatabaseDown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the database is down")
    }
}

impl std::error::Error for DatabaseDown {}

/// A stand-in for the database that a consumer writes to, with faults that the example switches on
/// and off.
#[derive(Debug)]
struct Database {
    is_down: AtomicBool,
    /// The aircraft that it rejects while `knows_aircraft` is false.
    unknown_aircraft: String,
    knows_aircraft: AtomicBool,
    /// Number of writes that failed because the database was down.
    refused: AtomicU64,
    /// Sequence numbers of the stored flights of each aircraft, in the order in which they were
    /// stored.
    flights: Mutex<HashMap<String, Vec<String>>>,
}

impl Database {
    fn that_is_down(unknown_aircraft: String) -> Self {
        Database {
            is_down: AtomicBool::new(true),
            unknown_aircraft,
            knows_aircraft: AtomicBool::new(false),
            refused: AtomicU64::new(0),
            flights: Mutex::default(),
        }
    }

    fn store(&self, aircraft: String, sequence_number: String) -> Result<(), BoxError> {
        if self.is_down.load(Ordering::Relaxed) {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Err(DatabaseDown.into());
        }
        if aircraft == self.unknown_aircraft && !self.knows_aircraft.load(Ordering::Relaxed) {
            return Err(format!("unknown aircraft: {aircraft}").into());
        }
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        flights.entry(aircraft).or_default().push(sequence_number);
        Ok(())
    }

    fn count(&self) -> usize {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner).values().map(Vec::len).sum()
    }

    /// True if the flights of the aircraft were stored in the order of the stream.
    fn has_in_order(&self, aircraft: &str) -> bool {
        let flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        // Sequence numbers are decimal numbers without leading zeros: compare the lengths first.
        flights.get(aircraft).is_some_and(|numbers| numbers.is_sorted_by_key(|number| (number.len(), number.clone())))
    }
}

/// Stores the flights of one shard in the database.
#[derive(RecordProcessor)]
#[processor(json, handler = "departed")]
struct FlightStore {
    database: Arc<Database>,
}

impl FlightStore {
    async fn departed(&self, flight: Flight, meta: &RecordMeta) -> Result<(), BoxError> {
        self.database.store(flight.partition_key(), meta.sequence_number().to_string())
    }
}

fn error_policy() -> OnError {
    OnError::retry()
        .backoff(Duration::from_millis(50), Duration::from_secs(1))
        .max_attempts(3)
        .then(FinalAction::Quarantine)
        // Transient: retry without a limit.
        .when::<DatabaseDown>(OnError::retry().backoff(Duration::from_millis(100), Duration::from_secs(1)))
        .when::<DecodeError>(OnError::at_once(FinalAction::DeadLetter))
}

pub(crate) async fn run(arguments: &Arguments, file: Option<&Path>) -> Result<(), Failure> {
    let mut flights = input::read(file.unwrap_or(&input::bundled()))?;
    flights.truncate(FLIGHTS);
    let (unknown, flights_of_unknown) = busiest_aircraft(&flights).ok_or("the file has no flights")?;
    let aws = LocalAws::start().await?;
    feed::create(&aws.kinesis(), STREAM, 2).await?;

    let database = Arc::new(Database::that_is_down(unknown.clone()));
    let worker = Worker::builder(APPLICATION, STREAM)
        .sdk_config(&aws.sdk_config())
        // Records of different keys are processed in parallel, so that a failing key does not hold
        // up the others.
        .concurrency(Concurrency::PerKey(16))
        .checkpoint_interval(Duration::from_millis(500))
        .quarantine_retry(Duration::from_secs(2))
        .error_policy(error_policy())
        .dead_letters(JsonLinesFile::open(&arguments.dead_letters)?)
        .processor({
            let database = Arc::clone(&database);
            move |_: &ShardId| FlightStore { database: Arc::clone(&database) }
        })
        .build()
        .await?;
    let handle = worker.handle();
    let running = tokio::spawn(worker.run());

    let broken = feed::put_broken(&aws.kinesis(), STREAM, flights.len() / BROKEN_EVERY).await?;
    feed::put(&aws.kinesis(), STREAM, &flights, |_| {}).await?;
    eprintln!(
        "{} flights and {broken} records that are not JSON are in the stream; the database is down",
        flights.len()
    );
    sleep(Duration::from_secs(2)).await;

    database.is_down.store(false, Ordering::Relaxed);
    let began = Instant::now();
    let others = flights.len() - flights_of_unknown;
    until("the flights of all other aircraft are stored", || database.count() == others).await?;
    let seconds = began.elapsed().as_secs_f64();
    eprintln!("the database is up again: after {seconds:.1} s all flights but those of {unknown} are stored");

    let quarantined = until_quarantined(&aws, flights_of_unknown).await?;
    eprintln!("{quarantined} flights of {unknown} are in quarantine; the database now learns of the aircraft");
    database.knows_aircraft.store(true, Ordering::Relaxed);
    until("the quarantined flights are stored", || database.count() == flights.len()).await?;
    handle.shutdown(Duration::from_secs(25)).await;
    running.await??;
    aws.shutdown().await;

    let in_order = database.has_in_order(&unknown);
    let dead_letters = std::fs::read_to_string(&arguments.dead_letters)?.lines().count();
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY);
    for (label, count) in [
        ("flights stored", flights.len().to_string()),
        ("attempts while the database was down", database.refused.load(Ordering::Relaxed).to_string()),
        ("dead letters in the file", format!("{dead_letters} ({})", arguments.dead_letters.display())),
        ("flights that were in quarantine", quarantined.to_string()),
        ("of those, stored in order", if in_order { quarantined.to_string() } else { "not all".to_owned() }),
    ] {
        table.add_row([label, &count]);
    }
    println!("{table}");
    if in_order { Ok(()) } else { Err("the quarantined flights were stored out of order".into()) }
}

/// The aircraft with the most flights, and the number of its flights.
fn busiest_aircraft(flights: &[Flight]) -> Option<(String, usize)> {
    let mut flights_of: BTreeMap<String, usize> = BTreeMap::new();
    for flight in flights {
        *flights_of.entry(flight.partition_key()).or_default() += 1;
    }
    flights_of.into_iter().max_by_key(|(_, flights)| *flights)
}

/// Waits until the lease table lists this many quarantined records, as `kcl quarantine list` would
/// show them.
async fn until_quarantined(aws: &LocalAws, records: usize) -> Result<usize, Failure> {
    let store = kcl_core::aws::DynamoDbStore::new(aws.dynamodb(), APPLICATION.to_owned());
    let reached = async {
        loop {
            let leases = quarantine::list(&store).await?;
            let listed: usize = leases.iter().flat_map(|lease| &lease.keys).map(|key| key.records.len()).sum();
            if listed == records {
                return Ok(listed);
            }
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(TIMEOUT, reached).await.map_err(|_| "the lease table does not list the quarantined records")?
}

async fn until(condition: &str, holds: impl Fn() -> bool) -> Result<(), Failure> {
    let reached = async {
        while !holds() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    Ok(timeout(TIMEOUT, reached).await.map_err(|_| format!("not within {TIMEOUT:?}: {condition}"))?)
}
