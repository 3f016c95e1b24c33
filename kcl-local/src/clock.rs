//! The time the services live in: tokio's, counted from an instant of the calendar.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_smithy_async::time::TimeSource;
use tokio::time::Instant;

/// Where virtual time starts: 2026-01-01T00:00:00Z. Fixed, so that two runs of one test see the same times.
const VIRTUAL_EPOCH: Duration = Duration::from_secs(1_767_225_600);

/// A calendar that moves with tokio's time: it stands still, and jumps, where that is paused.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    started: Instant,
    epoch: SystemTime,
}

impl Clock {
    /// Starts at a fixed date. Under paused tokio time no wall clock is involved at all.
    pub(crate) fn virtual_time() -> Self {
        Self { started: Instant::now(), epoch: UNIX_EPOCH + VIRTUAL_EPOCH }
    }

    /// Starts at the wall clock's present.
    #[allow(
        clippy::disallowed_methods,
        reason = "the one place that reads the wall clock: servers that real clients talk to"
    )]
    pub(crate) fn wall_time() -> Self {
        Self { started: Instant::now(), epoch: SystemTime::now() }
    }

    pub(crate) fn now(&self) -> SystemTime {
        self.epoch + self.started.elapsed()
    }

    /// When [`since_unix_epoch`](Self::since_unix_epoch) is, or was, this.
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
