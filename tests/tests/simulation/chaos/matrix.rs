//! Every operation, refused with every error, for seconds and for minutes, however shards are read: nobody ends, nothing is
//! lost, and every shard is read again within 5 s of the end of it.
//!
//! Each world has more workers than shards, so it has those that hold leases and those that hold none. One cell in so many is
//! played; with `SIM_MATRIX=all` every one.

use crate::invariant::{self, Facts};
use crate::world::history::Fact;
use crate::world::refusal::AwsError;
use crate::world::weather::{Call, Fate, Service};
use crate::world::{Making, Tier, World, run};
use kcl_core::{Retrieval, Settings};
use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const WORKERS: [&str; 3] = ["ann", "ben", "cat"];
const SHARDS: u32 = 2;

/// Within this of the end of an outage every shard is read again.
const HEALED: Duration = Duration::from_secs(5);

/// What is refused.
#[derive(Clone, Copy, Debug)]
enum Refused {
    /// One operation.
    Only(&'static str),
    /// Every call to a service.
    All(Service),
    /// Every call.
    Everything,
}

const TABLE: [Refused; 8] = [
    Refused::Only("Read"),
    Refused::Only("Scan"),
    Refused::Only("Heartbeat"),
    Refused::Only("Checkpoint"),
    Refused::Only("FleetHeartbeat"),
    Refused::Only("Assignment"),
    Refused::Only("Claim"),
    Refused::All(Service::Table),
];
const STREAM: [Refused; 8] = [
    Refused::Only("GetRecords"),
    Refused::Only("GetShardIterator"),
    Refused::Only("ListShards"),
    Refused::Only("DescribeStreamConsumer"),
    Refused::Only("SubscribeToShard"),
    Refused::Only("an event"),
    Refused::All(Service::Stream),
    Refused::Everything,
];
const TIMES: [Duration; 3] = [Duration::from_secs(2), Duration::from_secs(10), Duration::from_secs(300)];
const WAYS: [Retrieval; 3] = [Retrieval::Polling, Retrieval::FanOut, Retrieval::Auto];

/// One cell of the matrix.
#[derive(Clone, Copy, Debug)]
struct Cell {
    refused: Refused,
    error: AwsError,
    lasts: Duration,
    retrieval: Retrieval,
}

impl Refused {
    fn concerns(self, call: &Call<'_>) -> bool {
        match self {
            Refused::Only(operation) => call.operation == operation,
            Refused::All(service) => call.service == service,
            Refused::Everything => true,
        }
    }
}

fn cells(operations: &[Refused]) -> Vec<Cell> {
    let mut cells = Vec::new();
    for &refused in operations {
        for error in AwsError::ALL {
            for lasts in TIMES {
                cells.extend(WAYS.map(|retrieval| Cell { refused, error, lasts, retrieval }));
            }
        }
    }
    cells
}

#[test]
fn no_refusal_of_the_table_ends_a_worker_or_lasts_longer_than_its_cause() {
    every_cell(&cells(&TABLE));
}

#[test]
fn no_refusal_of_the_stream_ends_a_worker_or_lasts_longer_than_its_cause() {
    every_cell(&cells(&STREAM));
}

fn every_cell(cells: &[Cell]) {
    let all = std::env::var_os("SIM_MATRIX").is_some_and(|what| what == "all");
    // A step that shares no factor with the lengths of the lists comes by each of their elements.
    let step = if all { 1 } else { 41 };
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|threads| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            threads.spawn(|| {
                while let Some(cell) = cells.get(next.fetch_add(step, Ordering::Relaxed)) {
                    if let Err(why) = run(play(*cell)) {
                        failed.lock().unwrap().push(format!("{cell:?}: {why}"));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{} of {}:\n{}", failed.len(), cells.len() / step, failed.join("\n"));
}

/// A fleet, an outage with records before, in and after it, and an orderly end.
async fn play(cell: Cell) -> Result<(), String> {
    let settings = Settings::default().retrieval(cell.retrieval);
    let mut world = World::new(Making { settings, ..Making::new(7, SHARDS) });
    world.fleet(&WORKERS[..2]).await;
    world.start(WORKERS[2]);
    world.stream.put(30);
    world.until_handled(Duration::from_secs(30)).await;
    world.seconds(7).await;

    let (history, from) = (world.history.clone(), world.history.now());
    world.weather.rule(move |call| {
        let refused = history.now() - from < cell.lasts && cell.refused.concerns(call);
        refused.then_some(Fate::Refused(cell.error))
    });
    for _ in 0..10 {
        world.stream.put(3);
        world.pass(cell.lasts / 10).await;
    }
    world.stream.put(30);
    let healed = healed(&world).await;

    let mut why = String::new();
    for event in world.history.all() {
        if let Fact::Ended { process, error } = event.fact {
            write!(why, "{process} ended {:?} after it began: {error:?}; ", event.at - from).unwrap();
        }
    }
    if !healed {
        let left = world.unhandled().len();
        write!(why, "{left} records not handled {HEALED:?} after it ended, of {:?}; ", world.shares()).unwrap();
    }
    if !why.is_empty() {
        return Err(why);
    }
    // Whoever registered anew is known to everybody.
    world.seconds(30).await;
    for name in world.alive() {
        world.stop(&name, Duration::from_secs(25));
        world.until("ended", Duration::from_secs(40), |world| world.process(&name).has_ended()).await;
    }
    match invariant::check(&Facts { stopped: true, ..Facts::of(&world) }).first() {
        Some(broken) => Err(broken.to_string()),
        None => Ok(()),
    }
}

/// Answers that are empty look like a table without rows, where the service may leave them out: a worker then makes rows that do
/// not come to be. It must not do so in a tight loop.
#[test]
fn a_table_whose_answers_are_empty_is_not_asked_in_a_tight_loop() {
    const LASTS: Duration = Duration::from_secs(30);
    run(async {
        let mut world = World::new(Making { tier: Tier::Wire, ..Making::new(7, SHARDS) });
        world.fleet(&WORKERS[..2]).await;
        let (history, from, before) = (world.history.clone(), world.history.now(), world.weather.calls());
        world.weather.rule(move |call| {
            let empty = call.service == Service::Table && history.now() - from < LASTS;
            empty.then_some(Fate::Refused(AwsError::Empty))
        });
        world.stream.put(30);
        world.pass(LASTS).await;
        let calls = world.weather.calls() - before;
        // Two workers that poll the fleet row twice a second and read two shards; and what is repeated.
        assert!(calls < 30 * 2 * 8, "{calls} calls in {LASTS:?}");
        world.stream.put(30);
        assert!(healed(&world).await, "{} records are not handled", world.unhandled().len());
        assert_eq!(world.alive().len(), 2);
    });
}

/// Whether everything is handled in time.
async fn healed(world: &World) -> bool {
    let began = world.history.now();
    while !world.unhandled().is_empty() {
        if world.history.now() - began > HEALED {
            return false;
        }
        world.pass(Duration::from_millis(50)).await;
    }
    true
}
