//! The retention period of a stream, and its trim horizon.

use std::time::Duration;

use crate::kinesis::EngineTime;

/// A retention period. Records that arrived before the horizon are trimmed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retention {
    hours: i64,
    /// Length of an hour, which tests shorten.
    hour: Duration,
    /// The horizon is never before this time: the creation, or the horizon at the last change of
    /// the period. So a longer period does not restore trimmed records.
    floor: EngineTime,
}

impl Retention {
    pub(crate) const DEFAULT_HOURS: i64 = 24;
    pub(crate) const MAX_HOURS: i64 = 8760;

    pub(crate) fn new(hour: Duration, created: EngineTime) -> Self {
        Self { hours: Self::DEFAULT_HOURS, hour, floor: created }
    }

    pub(crate) fn hours(&self) -> i64 {
        self.hours
    }

    pub(crate) fn period(&self) -> Duration {
        self.hour.saturating_mul(u32::try_from(self.hours).unwrap_or(u32::MAX))
    }

    /// Records that arrived and shards that closed before this time are removed.
    pub(crate) fn horizon(&self, now: EngineTime) -> EngineTime {
        now.minus(self.period()).max(self.floor)
    }

    pub(crate) fn change(&mut self, hours: i64, now: EngineTime) {
        self.floor = self.horizon(now);
        self.hours = hours;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    fn at(hours: i64) -> EngineTime {
        EngineTime::from_millis(hours * HOUR)
    }

    #[test]
    fn the_horizon_starts_at_creation_and_follows_the_clock() {
        let retention = Retention::new(Duration::from_secs(3600), at(100));
        assert_eq!(retention.horizon(at(110)), at(100));
        assert_eq!(retention.horizon(at(130)), at(106));
    }

    #[test]
    fn a_longer_period_restores_nothing_and_a_shorter_one_trims_at_once() {
        let mut retention = Retention::new(Duration::from_secs(3600), at(0));
        retention.change(48, at(100));
        assert_eq!(retention.horizon(at(100)), at(76));
        assert_eq!(retention.horizon(at(130)), at(82));
        retention.change(24, at(130));
        assert_eq!(retention.horizon(at(130)), at(106));
    }
}
