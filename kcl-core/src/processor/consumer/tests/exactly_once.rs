//! Tests handlers whose effects, position and dead letters change in one transaction: whatever
//! fails or crashes, each record is in the database, or with the dead-letter sink, or still to be
//! delivered.

use super::stage::*;
use crate::processor::{
    Batch, BatchOutcome, BoxError, CheckpointStore, ClaimedLease, DeadLetter, FinalAction, OnError, RecordProcessor,
    ShardContext,
};
use crate::record::{Position, Record, ShardId, StartingPosition};
use crate::retrieval::{Chunk, Readers, ShardReader};
use crate::stopwatch::Stopwatch;
use async_trait::async_trait;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::sleep;

/// The number of records in the shard.
const RECORDS: u64 = 40;

/// What a handler does with records that it cannot handle.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// It writes them to a dead-letter table, in the same transaction.
    Table,
    /// It names them, and commits the position before the first of them.
    Outcome,
    /// It names them, and commits nothing.
    RollsBackAndNames,
    /// It returns an error without naming them, and commits nothing.
    RollsBack,
}

#[derive(Clone, Debug, Default)]
struct Tables {
    position: Option<u64>,
    effects: Vec<u64>,
    letters: Vec<u64>,
}

/// The database, the sink, and which faults occur. Clones share one state.
#[derive(Clone, Debug)]
struct World {
    tables: Arc<Mutex<Tables>>,
    sunk: Arc<Mutex<BTreeSet<u64>>>,
    rng: Arc<Mutex<fastrand::Rng>>,
    /// No faults occur any more.
    calm: Arc<Mutex<bool>>,
    way: Way,
    /// Every how many records one cannot be handled.
    poison: u64,
}

fn number_of(record: &Record) -> u64 {
    record.sequence_number.as_str().parse().unwrap()
}

impl World {
    /// A random number from 0 to 9; always 9 when no faults occur any more.
    fn luck(&self) -> u8 {
        if *self.calm.lock().unwrap() { 9 } else { self.rng.lock().unwrap().u8(0..10) }
    }

    fn commit<'a>(&self, records: impl Iterator<Item = &'a Record>) {
        let mut tables = self.tables.lock().unwrap();
        for number in records.map(number_of) {
            if tables.position.is_some_and(|at| number <= at) {
                continue;
            }
            tables.position = Some(number);
            if number % self.poison == 0 { tables.letters.push(number) } else { tables.effects.push(number) }
        }
    }

    /// The records that no owner will deliver again and that are neither in the database nor with
    /// the sink, given the lease's row.
    fn lost(&self, row: Option<u64>) -> Vec<u64> {
        let (tables, sunk) = (self.tables.lock().unwrap(), self.sunk.lock().unwrap());
        let passed = tables.position.max(row).unwrap_or(0);
        let is_kept = |n: &u64| tables.effects.contains(n) || tables.letters.contains(n) || sunk.contains(n);
        (1..=passed).filter(|n| !is_kept(n)).collect()
    }
}

#[async_trait]
impl CheckpointStore for World {
    async fn begin(&self, _: &ClaimedLease) -> Result<Option<Position>, BoxError> {
        if self.luck() == 0 {
            return Err("database is down".into());
        }
        Ok(self.tables.lock().unwrap().position.map(|at| record(at).position()))
    }
}

impl RecordProcessor for World {
    async fn process_records(&mut self, batch: &Batch, _: &ShardContext) -> Result<(), BoxError> {
        let luck = self.luck();
        if luck == 0 {
            return Err("no connection".into());
        }
        let mut outcome = BatchOutcome::default();
        for bad in batch.iter().filter(|record| number_of(record).is_multiple_of(self.poison)) {
            outcome.failed(bad, "does not parse");
        }
        match self.way {
            Way::Table => self.commit(batch.iter()),
            Way::Outcome => self.commit(batch.iter().take_while(|record| !outcome.has_failed(record))),
            Way::RollsBackAndNames if !outcome.is_success() => return outcome.into_result(),
            Way::RollsBack if !outcome.is_success() => return Err("the record does not parse".into()),
            Way::RollsBackAndNames | Way::RollsBack => self.commit(batch.iter()),
        }
        match luck {
            1 => Err("the commit got no answer".into()),
            // The handler hangs until the process crashes.
            2 => pending().await,
            _ if matches!(self.way, Way::Outcome) => outcome.into_result(),
            _ => Ok(()),
        }
    }
}

/// The shard's reader, from any starting position.
struct Shard(Arc<Mutex<fastrand::Rng>>);

struct Reading(u64, Arc<Mutex<fastrand::Rng>>);

impl Readers for Shard {
    fn open(&self, _: &ShardId, from: StartingPosition, _: Arc<Stopwatch>) -> Box<dyn ShardReader> {
        let next = match from {
            StartingPosition::TrimHorizon => 1,
            StartingPosition::At(number) => number.as_str().parse().unwrap(),
            other @ (StartingPosition::AtTimestamp(_) | StartingPosition::After(_)) => {
                panic!("unexpected starting position {other:?}")
            }
        };
        Box::new(Reading(next, Arc::clone(&self.0)))
    }
}

#[async_trait]
impl ShardReader for Reading {
    async fn next(&mut self) -> Fed {
        if self.0 > RECORDS {
            return pending().await;
        }
        let end = RECORDS.min(self.0 + self.1.lock().unwrap().u64(0..9));
        let records = (self.0..=end).map(record).collect();
        self.0 = end + 1;
        Ok(Chunk { records, ..Chunk::default() })
    }
}

fn policies() -> Vec<OnError> {
    let quick = || OnError::retry().backoff(Duration::from_millis(10), Duration::from_secs(1));
    vec![
        quick(),
        quick().split_after(2),
        quick().max_attempts(2).then(FinalAction::DeadLetter),
        OnError::at_once(FinalAction::DeadLetter),
    ]
}

fn start(world: &World, policy: &OnError, row: Option<u64>) -> Fixture {
    let sunk = world.clone();
    let sink = crate::policy::sink_fn(move |letter: DeadLetter| {
        let world = sunk.clone();
        async move {
            let luck = world.luck();
            if luck < 2 {
                return Err("the sink is down".into());
            }
            world.sunk.lock().unwrap().insert(number_of(&letter.record));
            if luck == 2 { pending().await } else { Ok(()) }
        }
    });
    let mut stage = Stage::policy(policy.clone()).sink(sink);
    stage.handling.store = Some(Arc::new(world.clone()));
    stage.from = row.map_or(StartingPosition::TrimHorizon, |at| StartingPosition::After(record(at).position()));
    let (feed, _) = mpsc::unbounded_channel();
    let mine = world.clone();
    stage.start_on(Log::new(), feed, Arc::new(Shard(Arc::clone(&world.rng))), move |_| mine.clone())
}

async fn play(seed: u64, way: Way, policy: &OnError, poison: u64) {
    let rng = Arc::new(Mutex::new(fastrand::Rng::with_seed(seed)));
    let world = World {
        tables: Arc::default(),
        sunk: Arc::default(),
        rng: Arc::clone(&rng),
        calm: Arc::default(),
        way,
        poison,
    };
    let mut row = None;
    for owner in 0..8 {
        let last = owner == 7;
        *world.calm.lock().unwrap() = last;
        let mut it = start(&world, policy, row);
        let time = rng.lock().unwrap().u64(0..4_000);
        let orderly = rng.lock().unwrap().bool();
        sleep(Duration::from_millis(if last { 600_000 } else { time })).await;
        if orderly || last {
            // The owner releases the lease with the acknowledged position, after a bounded time.
            it.delivery.drain();
            sleep(secs(60)).await;
            row = row.max(it.acknowledged());
        }
        // The owner crashes: nothing that it had in memory is written.
        it.delivery.close();
        it.reports().await;
        assert_eq!(world.lost(row), [0_u64; 0], "{way:?} under {policy:?} after owner {owner}: {world:?}");
    }
    let mut effects = world.tables.lock().unwrap().effects.clone();
    let all = effects.len();
    effects.dedup();
    assert_eq!(effects.len(), all, "each effect is there once, in order");
    let passes = matches!(way, Way::Table) || policy.may_pass();
    if passes {
        assert_eq!(
            world.tables.lock().unwrap().position.max(row),
            Some(RECORDS),
            "{way:?} under {policy:?}: {world:?}"
        );
    }
}

trait MayPass {
    /// Whether the policy gives up records that cannot be handled.
    fn may_pass(&self) -> bool;
}

impl MayPass for OnError {
    fn may_pass(&self) -> bool {
        crate::processor::ErrorPolicy::may_dead_letter(self)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn no_record_is_lost_or_repeated_whatever_fails_or_crashes(seed: u64, way in 0_usize..4, policy in 0_usize..4, poison in 3_u64..50) {
        let way = [Way::Table, Way::Outcome, Way::RollsBackAndNames, Way::RollsBack][way];
        let policy = &policies()[policy];
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(play(seed, way, policy, poison));
    }
}
