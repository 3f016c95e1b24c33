//! The clock of the services: tokio's time, added to a start date.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_smithy_async::time::TimeSource;
use tokio::time::Instant;

/// The start of virtual time: 2026-01-01T00:00:00Z. Fixed, so that two runs of a test see the same
/// times.
const VIRTUAL_EPOCH: Duration = Duration::from_secs(1_767_225_600);

/// A calendar clock that follows tokio's time. If tokio's time is paused, the clock stops and jumps
/// with it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    started: Instant,
    epoch: SystemTime,
}

impl Clock {
    /// Starts at a fixed date, independent of the wall clock.
    pub(crate) fn virtual_time() -> Self {
        Self { started: Instant::now(), epoch: UNIX_EPOCH + VIRTUAL_EPOCH }
    }

    /// Starts at the current time of the wall clock.
    #[allow(
        clippy::disallowed_methods,
        reason = "the only place that reads the wall clock, because real clients use the servers"
    )]
    pub(crate) fn wall_time() -> Self {
        Self { started: Instant::now(), epoch: SystemTime::now() }
    }

    pub(crate) fn now(&self) -> SystemTime {
        self.epoch + self.started.elapsed()
    }

    /// The instant at which [`since_unix_epoch`](Self::since_unix_epoch) has this value.
    pub(crate) fn instant(&self, since_unix_epoch: Duration) -> Instant {
        let epoch = self.epoch.duration_since(UNIX_EPOCH).unwrap_or_default();
        self.started + since_unix_epoch.saturating_sub(epoch)
    }

    pub(crate) fn since_unix_epoch(&self) -> Duration {
        self.now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }
}

impl TimeSource for Clock {
    fn now(&self) -> SystemTime {
        Self::now(self)
    }
}

impl dynoxide::storage_backend::Clock for Clock {
    fn now_unix_secs(&self) -> u64 {
        self.since_unix_epoch().as_secs()
    }

    fn now_unix_secs_f64(&self) -> f64 {
        self.since_unix_epoch().as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn virtual_time_starts_at_a_fixed_date_and_moves_with_tokio() {
        let clock = Clock::virtual_time();
        assert_eq!(clock.since_unix_epoch(), VIRTUAL_EPOCH);
        tokio::time::advance(Duration::from_millis(1500)).await;
        assert_eq!(clock.since_unix_epoch(), VIRTUAL_EPOCH + Duration::from_millis(1500));
        assert_eq!(clock.instant(clock.since_unix_epoch()), Instant::now());
    }
}
