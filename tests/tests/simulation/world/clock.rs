//! A process's own clock. It has its own origin, drifts, and jumps ahead when the machine was
//! suspended.

use kcl_core::testing::{Clock, Time};
use std::sync::Mutex;
use std::time::Duration;
use tokio::time::Instant;

/// From true time `since` on, the clock shows `shown` and advances at `rate` times true time.
#[derive(Clone, Copy, Debug)]
struct Segment {
    since: Duration,
    shown: Duration,
    rate: f64,
}

/// See the module's documentation. True time is the time since the world's start.
#[derive(Debug)]
pub(crate) struct ProcessClock {
    began: Instant,
    segments: Mutex<Vec<Segment>>,
}

impl ProcessClock {
    /// Creates a clock in a world that started at `began`; it shows `origin` now.
    pub(crate) fn new(began: Instant, origin: Duration, rate: f64) -> Self {
        let first = Segment { since: began.elapsed(), shown: origin, rate };
        ProcessClock { began, segments: Mutex::new(vec![first]) }
    }

    /// The clock's reading at the given true time.
    pub(crate) fn at(&self, time: Duration) -> Duration {
        let segments = self.segments.lock().unwrap();
        let segment = segments.iter().rev().find(|segment| segment.since <= time).unwrap_or(&segments[0]);
        segment.shown + time.saturating_sub(segment.since).mul_f64(segment.rate)
    }

    /// Adds this to the clock's reading from now on.
    pub(crate) fn jump(&self, ahead: Duration) {
        let now = self.began.elapsed();
        let shown = self.at(now) + ahead;
        let mut segments = self.segments.lock().unwrap();
        let rate = segments.last().map_or(1.0, |last| last.rate);
        segments.push(Segment { since: now, shown, rate });
    }
}

impl Clock for ProcessClock {
    fn now(&self) -> Time {
        Time::from_origin(self.at(self.began.elapsed()))
    }
}
