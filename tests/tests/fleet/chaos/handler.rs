//! A handler that takes its time, fails now and then, and writes down every call of it.

use kcl_core::prelude::*;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

/// One record, as it was handed over.
#[derive(Clone, Debug)]
pub(super) struct Handed {
    pub(super) sequence: String,
    pub(super) key: String,
    pub(super) number: u32,
}

/// One call of a handler.
#[derive(Clone, Debug)]
pub(super) struct Called {
    pub(super) worker: String,
    pub(super) shard: String,
    pub(super) token: u64,
    pub(super) records: Vec<Handed>,
    pub(super) began: Instant,
    /// When it came back with success, if it did.
    pub(super) done: Option<Instant>,
}

/// All calls, in the order in which they began.
#[derive(Clone, Debug, Default)]
pub(super) struct Calls(Arc<Mutex<Vec<Called>>>);

impl Calls {
    pub(super) fn all(&self) -> Vec<Called> {
        self.0.lock().unwrap().clone()
    }

    fn begin(&self, called: Called) -> usize {
        let mut calls = self.0.lock().unwrap();
        calls.push(called);
        calls.len() - 1
    }

    fn done(&self, call: usize) {
        self.0.lock().unwrap()[call].done = Some(Instant::now());
    }
}

/// How handlers behave now.
#[derive(Debug, Default)]
pub(super) struct Mood {
    pub(super) fails: bool,
    pub(super) slow: bool,
}

pub(super) struct Handler {
    pub(super) worker: String,
    pub(super) calls: Calls,
    /// A process that was killed runs no handlers, whatever tasks it left.
    pub(super) alive: Arc<AtomicBool>,
    pub(super) mood: Arc<Mutex<Mood>>,
    pub(super) rng: fastrand::Rng,
}

impl RecordProcessor for Handler {
    async fn process_records(&mut self, batch: &Batch, shard: &ShardContext) -> Result<(), BoxError> {
        if !self.alive.load(Ordering::Relaxed) {
            return std::future::pending().await;
        }
        let records = batch
            .iter()
            .map(|record| {
                let number = std::str::from_utf8(&record.data)?.parse()?;
                let key = record.partition_key.clone().unwrap_or_default();
                Ok(Handed { sequence: record.sequence_number.to_string(), key, number })
            })
            .collect::<Result<_, BoxError>>()?;
        let call = self.calls.begin(Called {
            worker: self.worker.clone(),
            shard: shard.shard_id().to_string(),
            token: shard.fencing_token(),
            records,
            began: Instant::now(),
            done: None,
        });
        let (fails, takes) = {
            let mood = self.mood.lock().unwrap();
            let takes = if mood.slow { self.rng.u64(0..3_000) * self.rng.u64(0..2) } else { self.rng.u64(0..20) };
            (mood.fails && self.rng.u32(0..100) < 8, Duration::from_millis(takes))
        };
        tokio::time::sleep(takes).await;
        if !self.alive.load(Ordering::Relaxed) {
            return std::future::pending().await;
        }
        if fails {
            return Err("it failed, as it was told to".into());
        }
        self.calls.done(call);
        Ok(())
    }
}
