//! How long a shard's consumer has been at what: told by the consumer, looked at by the owner's watchdog.

use crate::clock::Clock;
use crate::stopwatch::Stopwatch;
use std::sync::Arc;

/// One stopwatch a stage.
#[derive(Debug)]
pub(crate) struct Stages {
    /// A read call is under way, or the last one failed: ends with the next one that is answered.
    pub(crate) fetch: Arc<Stopwatch>,
    /// A callback of the user's is running.
    pub(crate) process: Stopwatch,
    /// Records were handed over and are not acknowledged, whatever was tried.
    pub(crate) acknowledge: Stopwatch,
}

impl Stages {
    pub(crate) fn new(clock: &Arc<dyn Clock>) -> Self {
        let stopwatch = || Stopwatch::new(Arc::clone(clock));
        Stages { fetch: Arc::new(stopwatch()), process: stopwatch(), acknowledge: stopwatch() }
    }

    /// Those of the next consumer of the same hold: what the last one could not fetch, this one has to.
    pub(crate) fn of_next(&self, clock: &Arc<dyn Clock>) -> Self {
        Stages { fetch: Arc::new(self.fetch.going_on()), ..Stages::new(clock) }
    }
}
