//! A process's own clock: it has an origin of its own, drifts, and jumps ahead where the machine was suspended.

use kcl_core::{Clock, Time};
use std::sync::Mutex;
use std::time::Duration;
use tokio::time::Instant;

/// From `since` on (true time) the clock shows `shown`, and moves `rate` times as fast as true time.
#[derive(Clone, Copy, Debug)]
struct Segment {
    since: Duration,
    shown: Duration,
    rate: f64,
}

/// See the module's documentation. True time is the time since the world began.
#[derive(Debug)]
pub(crate) struct ProcessClock {
    began: Instant,
    segments: Mutex<Vec<Segment>>,
}

impl ProcessClock {
    /// A clock of a world that began at `began`; now it shows `origin`.
    pub(crate) fn new(began: Instant, origin: Duration, rate: f64) -> Self {
        let first = Segment { since: began.elapsed(), shown: origin, rate };
        ProcessClock { began, segments: Mutex::new(vec![first]) }
    }

    /// What it shows, or showed, at that true time.
    pub(crate) fn at(&self, time: Duration) -> Duration {
        let segments = self.segments.lock().unwrap();
        let segment = segments.iter().rev().find(|segment| segment.since <= time).unwrap_or(&segments[0]);
        segment.shown + time.saturating_sub(segment.since).mul_f64(segment.rate)
    }

    /// From now on it shows so much more.
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
