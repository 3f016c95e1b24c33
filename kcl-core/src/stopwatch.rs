//! Measures how long something has been waiting. One thread writes it and another reads it, without
//! a lock.

use crate::clock::{Clock, Time};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Runs from `begin` to `end`. A second `begin` does not restart it.
#[derive(Debug)]
pub(crate) struct Stopwatch {
    clock: Arc<dyn Clock>,
    /// When it began; 0 while it is stopped.
    since_nanos: AtomicU64,
}

impl Stopwatch {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Stopwatch { clock, since_nanos: AtomicU64::new(0) }
    }

    /// Returns a new stopwatch that began when this one did.
    pub(crate) fn continued(&self) -> Self {
        let since_nanos = AtomicU64::new(self.since_nanos.load(Ordering::Relaxed));
        Stopwatch { clock: Arc::clone(&self.clock), since_nanos }
    }

    pub(crate) fn begin(&self) {
        if self.since_nanos.load(Ordering::Relaxed) == 0 {
            self.since_nanos.store(self.clock.now().nanos().max(1), Ordering::Relaxed);
        }
    }

    pub(crate) fn end(&self) {
        self.since_nanos.store(0, Ordering::Relaxed);
    }

    /// Returns how long it has been running, or zero if it is stopped.
    pub(crate) fn elapsed(&self) -> Duration {
        self.since().map_or(Duration::ZERO, |since| self.clock.now().since(since))
    }

    /// Returns when it began, or `None` if it is stopped.
    pub(crate) fn since(&self) -> Option<Time> {
        let nanos = self.since_nanos.load(Ordering::Relaxed);
        (nanos > 0).then(|| Time::from_nanos(nanos))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::TokioClock;

    #[tokio::test(start_paused = true)]
    async fn it_runs_from_the_first_begin_to_end() {
        let stopwatch = Stopwatch::new(Arc::new(TokioClock::new()));
        assert_eq!(stopwatch.since(), None);
        tokio::time::advance(Duration::from_secs(1)).await;
        stopwatch.begin();
        tokio::time::advance(Duration::from_secs(1)).await;
        stopwatch.begin();
        assert_eq!(stopwatch.since(), Some(Time::from_origin(Duration::from_secs(1))));
        assert_eq!(stopwatch.continued().since(), stopwatch.since());
        stopwatch.end();
        assert_eq!(stopwatch.since(), None);
    }
}
