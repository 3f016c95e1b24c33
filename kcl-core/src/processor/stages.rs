//! How long a shard's consumer has been at what: told by the consumer, looked at by the owner's watchdog.

use crate::clock::{Clock, Time};
use crate::retrieval::ReadOutage;
use crate::stopwatch::Stopwatch;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One stopwatch a stage.
#[derive(Debug)]
pub(crate) struct Stages {
    /// A read call is under way, or the last one failed: ends with the next one that is answered.
    pub(crate) fetch: Arc<Stopwatch>,
    /// Read calls are refused, or have not been answered for long.
    pub(crate) outage: Arc<ReadOutage>,
    /// A callback of the user's is running.
    pub(crate) process: Callbacks,
    /// Records were handed over and are not acknowledged, whatever was tried: runs anew for those behind each that is.
    pub(crate) acknowledge: Stopwatch,
}

/// The callbacks that run, one a lane.
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

    /// Since when the one runs that has run longest.
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

    /// Those of the next consumer of the same hold: what the last one could not fetch, this one has to.
    pub(crate) fn of_next(&self, clock: &Arc<dyn Clock>) -> Self {
        let (fetch, outage) = (Arc::new(self.fetch.continued()), Arc::new(self.outage.continued()));
        Stages { fetch, outage, ..Stages::new(clock) }
    }
}
