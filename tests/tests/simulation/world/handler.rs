//! A handler that records its calls, takes some time, and fails on request.

use super::database::Database;
use super::history::{Fact, Handed, History, Name};
use super::host::Host;
use super::manner::Manner;
use kcl_core::RecordHandle;
use kcl_core::prelude::*;
use kcl_core::testing::Spawn;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::sleep;

/// The handlers' behaviour. All processes of a world share one, unless a process has its own.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mood {
    /// The longest time of a batch; shorter times are equally likely.
    pub(crate) longest: Duration,
    /// In percent.
    pub(crate) fails: u32,
    /// In percent.
    pub(crate) panics: u32,
    /// The longest time of `lease_lost`.
    pub(crate) farewell: Duration,
    /// Batches never complete.
    pub(crate) stuck: bool,
    /// One record in this many fails every time; none if 0.
    pub(crate) poison: u32,
}

impl Mood {
    fn is_poison(&self, record: &Handed) -> bool {
        self.poison > 0 && record.number.is_multiple_of(self.poison)
    }
}

/// Behaviour that may change while handlers run.
pub(crate) type Moods = Arc<Mutex<Mood>>;

/// State that a process's handlers share.
#[derive(Clone, Debug)]
pub(crate) struct Seat {
    pub(crate) process: Name,
    pub(crate) worker: String,
    pub(crate) history: History,
    pub(crate) moods: Moods,
    pub(crate) batches: Arc<AtomicU64>,
    pub(crate) manner: Manner,
    pub(crate) host: Host,
    pub(crate) database: Database,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Handler {
    seat: Seat,
    /// The lease's key; with several streams, from the first call on.
    shard: Option<String>,
    /// The ARN of the stream that the processor was created for, with several streams.
    stream: Option<Arc<str>>,
    rng: fastrand::Rng,
}

impl Handler {
    pub(crate) fn new(seat: Seat, shard: &ShardId, rng: fastrand::Rng) -> Self {
        let mut handler = Handler { seat, shard: None, stream: None, rng };
        handler.is_of(shard.to_string());
        handler
    }

    /// Creates a processor for one of several streams; the first call says for which lease.
    pub(crate) fn of_stream(seat: Seat, stream: Arc<str>, rng: fastrand::Rng) -> Self {
        Handler { seat, shard: None, stream: Some(stream), rng }
    }

    fn is_of(&mut self, lease: String) {
        self.seat.history.add(Fact::ProcessorMade { process: self.seat.process.clone(), shard: lease.clone() });
        self.shard = Some(lease);
    }

    fn mood(&self) -> Mood {
        *self.seat.moods.lock().unwrap()
    }

    /// Tasks acknowledge the records later; some are not acknowledged.
    fn settle(&mut self, handles: Vec<RecordHandle>, mood: Mood) {
        for handle in handles {
            let record = handed(handle.record()).unwrap();
            let (history, process) = (self.seat.history.clone(), self.seat.process.clone());
            let (time, drawn) = (up_to(&mut self.rng, mood.longest), self.rng.u32(0..100));
            let task = async move {
                sleep(time).await;
                if drawn < mood.fails {
                    handle.fail("not this time");
                } else if drawn >= mood.fails + mood.panics {
                    history.add(Fact::Acknowledged { process, number: record.number });
                    handle.acknowledge();
                }
                // Or the handle is dropped.
            };
            self.seat.host.spawn(Box::pin(task));
        }
    }
}

fn up_to(rng: &mut fastrand::Rng, longest: Duration) -> Duration {
    let most = u64::try_from(longest.as_millis()).unwrap();
    Duration::from_millis(rng.u64(0..=most))
}

fn handed(record: &Record) -> Result<Handed, BoxError> {
    let key = record.partition_key.as_deref().unwrap_or_default().to_owned();
    Ok(Handed { number: std::str::from_utf8(&record.data)?.trim_end().parse()?, key })
}

impl RecordProcessor for Handler {
    async fn initialize(&mut self, shard: &ShardContext) -> Result<(), BoxError> {
        if self.shard.is_none() {
            self.is_of(shard.lease_key().to_owned());
        }
        let arn = shard.stream_identity().map(|identity| identity.arn.as_str());
        if let Some(of) = self.stream.as_deref().filter(|of| arn != Some(*of)) {
            let (process, of) = (self.seat.process.clone(), of.to_owned());
            self.seat.history.add(Fact::Strayed { process, shard: shard.lease_key().to_owned(), of });
        }
        Ok(())
    }

    async fn process_records(&mut self, batch: &Batch, shard: &ShardContext) -> Result<(), BoxError> {
        let number = self.seat.batches.fetch_add(1, Ordering::Relaxed);
        let records: Vec<Handed> = batch.iter().map(handed).collect::<Result<_, BoxError>>()?;
        let process = self.seat.process.clone();
        self.seat.history.add(Fact::Handed {
            process: process.clone(),
            worker: self.seat.worker.clone(),
            shard: shard.lease_key().to_owned(),
            token: shard.fencing_token(),
            batch: number,
            records: records.clone(),
        });
        let mood = self.mood();
        if mood.stuck {
            return std::future::pending().await;
        }
        if self.seat.manner == Manner::Handles {
            let handles = batch.take_handles();
            self.settle(handles, mood);
            return Ok(());
        }
        sleep(up_to(&mut self.rng, mood.longest)).await;
        let drawn = self.rng.u32(0..100);
        let poison: BTreeSet<u32> = records.iter().filter(|record| mood.is_poison(record)).map(|r| r.number).collect();
        if drawn < mood.fails + mood.panics || !poison.is_empty() {
            self.seat.history.add(Fact::Failed { process: process.clone(), batch: number });
            if (mood.fails..mood.fails + mood.panics).contains(&drawn) {
                // Like a panic, without its message on the terminal.
                std::panic::resume_unwind(Box::new("the handler panics, as it was told to"));
            }
            if drawn < mood.fails || !self.seat.manner.names_failures() {
                return Err("the handler fails, as it was told to".into());
            }
            let mut outcome = BatchOutcome::default();
            for (record, handed) in batch.iter().zip(&records) {
                if poison.contains(&handed.number) {
                    outcome.failed(record, "poison");
                } else {
                    self.seat.history.add(Fact::Acknowledged { process: process.clone(), number: handed.number });
                }
            }
            return outcome.into_result();
        }
        if let Manner::Database { sound } = self.seat.manner {
            let both: Vec<(Record, Handed)> = batch.iter().cloned().zip(records).collect();
            self.seat.database.apply(&process, shard.lease_key(), shard.fencing_token(), &both, sound)?;
            // The transaction may have been committed although the handler received no answer.
            if self.rng.u32(0..100) < mood.fails {
                self.seat.history.add(Fact::Failed { process, batch: number });
                return Err("no answer to the commit".into());
            }
        }
        self.seat.history.add(Fact::Handled { process, batch: number });
        Ok(())
    }

    async fn lease_lost(&mut self, shard: &ShardContext) {
        let (process, shard) = (self.seat.process.clone(), shard.lease_key().to_owned());
        self.seat.history.add(Fact::LeaseLost { process, shard });
        let longest = self.mood().farewell;
        sleep(up_to(&mut self.rng, longest)).await;
    }
}

impl Drop for Handler {
    fn drop(&mut self) {
        if let Some(shard) = self.shard.take() {
            self.seat.history.add(Fact::ProcessorDropped { process: self.seat.process.clone(), shard });
        }
    }
}
