//! Runs the workers of one fleet, and collects their messages in a journal.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use tokio::time::{Instant, sleep, timeout};

use crate::child::{Messages, Process};
use crate::feed::{Feed, RecordId};
use crate::journal::Journal;
use crate::role::Message;
use crate::server::Server;
use crate::{Error, target, worker};

/// Interval between two checks of the journal.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// A condition that does not hold within this time never will.
const TIMEOUT: Duration = Duration::from_secs(90);

/// The running workers, by id.
#[derive(Debug)]
pub(crate) struct Fleet<'a> {
    server: &'a Server,
    failover_time: Duration,
    workers: BTreeMap<String, Process>,
    started: usize,
    journal: Arc<Mutex<Journal>>,
}

impl<'a> Fleet<'a> {
    /// A fleet without workers.
    pub(crate) fn new(server: &'a Server, failover_time: Duration) -> Self {
        Fleet { server, failover_time, workers: BTreeMap::new(), started: 0, journal: Arc::default() }
    }

    /// Starts a feed and workers, waits until every worker has its share of the shards, and then
    /// for `settle`.
    pub(crate) async fn settled(
        server: &'a Server,
        failover_time: Duration,
        workers: usize,
        settle: Duration,
    ) -> Result<(Self, Feed), Error> {
        let feed = Feed::start(server, server.shards())?;
        let mut fleet = Fleet::new(server, failover_time);
        for _ in 0..workers {
            fleet.start()?;
        }
        fleet.balanced().await?;
        sleep(settle).await;
        Ok((fleet, feed))
    }

    /// Starts a worker and returns its id.
    pub(crate) fn start(&mut self) -> Result<String, Error> {
        self.started += 1;
        let id = format!("worker-{}", self.started);
        let (process, messages) = worker::reporting(self.server, self.failover_time, &id)?.into_parts();
        tokio::spawn(record(messages, id.clone(), Arc::clone(&self.journal)));
        self.workers.insert(id.clone(), process);
        Ok(id)
    }

    /// Kills a worker (SIGKILL).
    pub(crate) async fn kill(&mut self, id: &str) -> Result<(), Error> {
        self.take(id)?.kill().await
    }

    /// Shuts a worker down (SIGTERM) and waits for its end.
    pub(crate) async fn terminate(&mut self, id: &str) -> Result<(), Error> {
        self.take(id)?.terminate().await
    }

    fn take(&mut self, id: &str) -> Result<Process, Error> {
        Ok(self.workers.remove(id).ok_or_else(|| format!("there is no worker `{id}`"))?)
    }

    /// Returns the leader, and the other workers.
    pub(crate) async fn roles(&self) -> Result<(String, Vec<String>), Error> {
        let client = aws_sdk_dynamodb::Client::new(&target::sdk_config(self.server.endpoint()));
        let read = client.get_item().table_name(worker::APPLICATION).consistent_read(true);
        let read = read.key("leaseKey", AttributeValue::S("fleet".to_owned())).send();
        let row = timeout(TIMEOUT, read).await?.map_err(aws_sdk_dynamodb::Error::from)?.item.unwrap_or_default();
        let leader = row.get("leader").and_then(|value| value.as_s().ok()).ok_or("the fleet has no leader")?;
        let others = self.workers.keys().filter(|id| *id != leader).cloned().collect();
        Ok((leader.clone(), others))
    }

    /// The journal of the messages so far.
    pub(crate) fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `find` finds something in the journal, and returns it.
    pub(crate) async fn wait_until<T>(
        &self,
        condition: &str,
        find: impl Fn(&Journal) -> Option<T>,
    ) -> Result<T, Error> {
        let began = Instant::now();
        while began.elapsed() < TIMEOUT {
            let found = find(&self.journal());
            if let Some(found) = found {
                return Ok(found);
            }
            sleep(POLL_INTERVAL).await;
        }
        Err(format!("{condition}: not within {TIMEOUT:?}").into())
    }

    /// Waits until the running workers receive the records of all shards, and each has its share of
    /// the shards.
    pub(crate) async fn balanced(&self) -> Result<(), Error> {
        let shards = usize::try_from(self.server.shards())?;
        let share = shards / self.workers.len().max(1);
        let is_balanced = |journal: &Journal| {
            let counts = journal.shards_by_worker();
            let of_running = self.workers.keys().map(|id| counts.get(id).copied().unwrap_or(0));
            let (least, all) = of_running.fold((shards, 0), |(least, all), n| (least.min(n), all + n));
            (all == shards && least >= share).then_some(())
        };
        self.wait_until("an even share of the shards for every worker", is_balanced).await
    }

    /// Stops the feed and waits until all of its records are delivered.
    pub(crate) async fn drained(&self, feed: Feed) -> Result<(), Error> {
        let written: Vec<RecordId> = feed.stop().await?;
        let all_delivered = |journal: &Journal| (journal.missing(&written) == 0).then_some(());
        self.wait_until("the delivery of all records", all_delivered).await
    }
}

/// Adds a worker's messages to the journal until the worker ends. An unreadable line shows up later
/// as a missing record.
async fn record(mut messages: Messages, worker: String, journal: Arc<Mutex<Journal>>) {
    while let Ok(Some(message)) = messages.next().await {
        let mut journal = journal.lock().unwrap_or_else(PoisonError::into_inner);
        match message {
            Message::Delivered { shard, sequence, at } => {
                if let Ok(sequence) = sequence.parse() {
                    journal.add_delivery(&worker, shard, sequence, at);
                }
            }
            Message::Initialized { shard, at } => journal.add_initialization(&worker, shard, at),
            Message::Serving { .. } | Message::FirstRecord { .. } | Message::Drained(_) | Message::Latencies { .. } => {
            }
        }
    }
}
