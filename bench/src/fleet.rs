//! Workers that say every record, and the journal of what they said.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use tokio::time::{Instant, sleep, timeout};

use crate::child::{Process, Voice};
use crate::feed::{Feed, RecordId};
use crate::journal::Journal;
use crate::role::Said;
use crate::server::Server;
use crate::{Error, place, worker};

/// Between two looks at what was said.
const LOOK: Duration = Duration::from_millis(50);
/// Whatever is waited for is there by then, or never.
const PATIENCE: Duration = Duration::from_secs(90);

/// The workers that live, by their ids.
#[derive(Debug)]
pub(crate) struct Fleet<'a> {
    server: &'a Server,
    failover_time: Duration,
    workers: BTreeMap<String, Process>,
    started: usize,
    journal: Arc<Mutex<Journal>>,
}

impl<'a> Fleet<'a> {
    /// A fleet of nobody.
    pub(crate) fn new(server: &'a Server, failover_time: Duration) -> Self {
        Fleet { server, failover_time, workers: BTreeMap::new(), started: 0, journal: Arc::default() }
    }

    /// So many workers, each with its share of the shards, which a feed keeps busy; then a while to settle.
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

    /// Starts a worker and tells its id.
    pub(crate) fn start(&mut self) -> Result<String, Error> {
        self.started += 1;
        let id = format!("worker-{}", self.started);
        let (process, voice) = worker::reporting(self.server, self.failover_time, &id)?.into_parts();
        tokio::spawn(listen(voice, id.clone(), Arc::clone(&self.journal)));
        self.workers.insert(id.clone(), process);
        Ok(id)
    }

    /// SIGKILL.
    pub(crate) async fn kill(&mut self, id: &str) -> Result<(), Error> {
        self.take(id)?.kill().await
    }

    /// SIGTERM, and waits for the end.
    pub(crate) async fn terminate(&mut self, id: &str) -> Result<(), Error> {
        self.take(id)?.terminate().await
    }

    fn take(&mut self, id: &str) -> Result<Process, Error> {
        Ok(self.workers.remove(id).ok_or_else(|| format!("there is no worker `{id}`"))?)
    }

    /// The worker that plans, and the others.
    pub(crate) async fn roles(&self) -> Result<(String, Vec<String>), Error> {
        let client = aws_sdk_dynamodb::Client::new(&place::sdk_config(self.server.endpoint()));
        let read = client.get_item().table_name(worker::APPLICATION).consistent_read(true);
        let read = read.key("leaseKey", AttributeValue::S("fleet".to_owned())).send();
        let row = timeout(PATIENCE, read).await?.map_err(aws_sdk_dynamodb::Error::from)?.item.unwrap_or_default();
        let leader = row.get("leader").and_then(|value| value.as_s().ok()).ok_or("the fleet has no leader")?;
        let others = self.workers.keys().filter(|id| *id != leader).cloned().collect();
        Ok((leader.clone(), others))
    }

    /// What was said so far.
    pub(crate) fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until what was said has this in it.
    pub(crate) async fn wait_until<T>(&self, what: &str, look: impl Fn(&Journal) -> Option<T>) -> Result<T, Error> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            let found = look(&self.journal());
            if let Some(found) = found {
                return Ok(found);
            }
            sleep(LOOK).await;
        }
        Err(format!("{what}: not within {PATIENCE:?}").into())
    }

    /// Waits until the newest records of all shards are with the living, each having its share.
    pub(crate) async fn balanced(&self) -> Result<(), Error> {
        let shards = usize::try_from(self.server.shards())?;
        let share = shards / self.workers.len().max(1);
        let is_balanced = |journal: &Journal| {
            let counts = journal.shards_by_worker();
            let of_the_living = self.workers.keys().map(|id| counts.get(id).copied().unwrap_or(0));
            let (least, all) = of_the_living.fold((shards, 0), |(least, all), n| (least.min(n), all + n));
            (all == shards && least >= share).then_some(())
        };
        self.wait_until("an even share of the shards for every worker", is_balanced).await
    }

    /// Ends the feed and waits until all that it wrote was delivered.
    pub(crate) async fn drained(&self, feed: Feed) -> Result<(), Error> {
        let written: Vec<RecordId> = feed.stop().await?;
        let all_there = |journal: &Journal| (journal.missing(&written) == 0).then_some(());
        self.wait_until("the delivery of all records", all_there).await
    }
}

/// Until the worker has ended. A line that cannot be read is missed later, as the record of which it spoke.
async fn listen(mut voice: Voice, worker: String, journal: Arc<Mutex<Journal>>) {
    while let Ok(Some(said)) = voice.next().await {
        let mut journal = journal.lock().unwrap_or_else(PoisonError::into_inner);
        match said {
            Said::Delivered { shard, sequence, at } => {
                if let Ok(sequence) = sequence.parse() {
                    journal.delivered(&worker, shard, sequence, at);
                }
            }
            Said::Began { shard, at } => journal.began(&worker, shard, at),
            Said::Serving { .. } | Said::First { .. } | Said::Drained(_) | Said::Added { .. } => {}
        }
    }
}
