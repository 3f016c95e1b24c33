//! A handler that writes down what it is given, takes its time, and fails when it is told to.

use super::history::{Fact, Handed, History, Name};
use kcl_core::prelude::*;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::sleep;

/// How handlers behave. Shared by all of a world, unless a process has one of its own.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mood {
    /// The longest a batch takes; shorter times are as likely.
    pub(crate) longest: Duration,
    /// In hundredths.
    pub(crate) fails: u32,
    /// In hundredths.
    pub(crate) panics: u32,
    /// The longest that `lease_lost` takes.
    pub(crate) farewell: Duration,
    /// Batches never come back.
    pub(crate) stuck: bool,
}

/// A mood that may change while handlers run.
pub(crate) type Moods = Arc<Mutex<Mood>>;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Handler {
    process: Name,
    worker: String,
    shard: String,
    history: History,
    moods: Moods,
    batches: Arc<AtomicU64>,
    rng: fastrand::Rng,
}

impl Handler {
    pub(crate) fn new(
        process: Name,
        worker: String,
        shard: &ShardId,
        history: History,
        moods: Moods,
        batches: Arc<AtomicU64>,
        rng: fastrand::Rng,
    ) -> Self {
        let shard = shard.to_string();
        history.add(Fact::ProcessorMade { process: process.clone(), shard: shard.clone() });
        Handler { process, worker, shard, history, moods, batches, rng }
    }

    fn mood(&self) -> Mood {
        *self.moods.lock().unwrap()
    }
}

fn up_to(rng: &mut fastrand::Rng, longest: Duration) -> Duration {
    let most = u64::try_from(longest.as_millis()).unwrap();
    Duration::from_millis(rng.u64(0..=most))
}

impl RecordProcessor for Handler {
    async fn process_records(&mut self, batch: &Batch, shard: &ShardContext) -> Result<(), BoxError> {
        let number = self.batches.fetch_add(1, Ordering::Relaxed);
        let records = batch
            .iter()
            .map(|record| {
                let key = record.partition_key.clone().unwrap_or_default();
                Ok(Handed { number: std::str::from_utf8(&record.data)?.parse()?, key })
            })
            .collect::<Result<_, BoxError>>()?;
        let process = self.process.clone();
        self.history.add(Fact::Handed {
            process: process.clone(),
            worker: self.worker.clone(),
            shard: self.shard.clone(),
            token: shard.fencing_token(),
            batch: number,
            records,
        });
        let mood = self.mood();
        if mood.stuck {
            return std::future::pending().await;
        }
        sleep(up_to(&mut self.rng, mood.longest)).await;
        let drawn = self.rng.u32(0..100);
        if drawn < mood.fails + mood.panics {
            self.history.add(Fact::Failed { process, batch: number });
            if drawn >= mood.fails {
                // As a panic does, without its message on the terminal.
                std::panic::resume_unwind(Box::new("the handler panics, as it was told to"));
            }
            return Err("the handler fails, as it was told to".into());
        }
        self.history.add(Fact::Handled { process, batch: number });
        Ok(())
    }

    async fn lease_lost(&mut self, _: &ShardContext) {
        self.history.add(Fact::LeaseLost { process: self.process.clone(), shard: self.shard.clone() });
        let longest = self.mood().farewell;
        sleep(up_to(&mut self.rng, longest)).await;
    }
}

impl Drop for Handler {
    fn drop(&mut self) {
        self.history.add(Fact::ProcessorDropped { process: self.process.clone(), shard: self.shard.clone() });
    }
}
