//! Keeps a stopwatch for each stage of a shard's work: the consumer starts and stops them, the
//! owner's watchdog reads them.

use crate::clock::{Clock, Time};
use crate::retrieval::ReadOutage;
use crate::stopwatch::Stopwatch;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One stopwatch per stage.
#[derive(Debug)]
pub(crate) struct Stages {
    /// Runs from the start of a read call until a read call is answered.
    pub(crate) fetch: Arc<Stopwatch>,
    /// Whether read calls are refused or unanswered.
    pub(crate) outage: Arc<ReadOutage>,
    /// Runs while a callback of the user's is running.
    pub(crate) process: Callbacks,
    /// Runs while the first delivered record is not acknowledged. Restarts whenever the watermark
    /// moves.
    pub(crate) acknowledge: Stopwatch,
}

/// The running callbacks, at most one per lane.
#[derive(Debug)]
pub(crate) struct Callbacks {
    clock: Arc<dyn Clock>,
    since: Mutex<BTreeMap<usize, Time>>,
}

impl Callbacks {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<usize, Time>> {
        self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn begin(&self, lane: usize) {
        self.lock().insert(lane, self.clock.now());
    }

    pub(crate) fn end(&self, lane: usize) {
        self.lock().remove(&lane);
    }

    /// When the longest-running callback started.
    pub(crate) fn since(&self) -> Option<Time> {
        self.lock().values().min().copied()
    }
}

impl Stages {
    pub(crate) fn new(clock: &Arc<dyn Clock>) -> Self {
        let stopwatch = || Stopwatch::new(Arc::clone(clock));
        let process = Callbacks { clock: Arc::clone(clock), since: Mutex::default() };
        let outage = Arc::new(ReadOutage::new(Arc::clone(clock)));
        Stages { fetch: Arc::new(stopwatch()), outage, process, acknowledge: stopwatch() }
    }

    /// The stopwatches for the next consumer of the same claim. A fetch that has not succeeded goes
    /// on, so that restarting the consumer does not reset its deadline.
    pub(crate) fn for_next_consumer(&self, clock: &Arc<dyn Clock>) -> Self {
        let (fetch, outage) = (Arc::new(self.fetch.continued()), Arc::new(self.outage.continued()));
        Stages { fetch, outage, ..Stages::new(clock) }
    }
}
