//! Defines the clock that all decisions use: tokio's in tests, the time since boot in production.

use std::fmt::Debug;
use std::time::Duration;

/// A point on a process's own clock, as the time since an arbitrary origin. Two machines' times
/// cannot be compared.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(Duration);

impl Time {
    /// The clock's origin.
    pub const ZERO: Time = Time(Duration::ZERO);

    /// The time `since_origin` after the clock's origin.
    #[must_use]
    pub const fn from_origin(since_origin: Duration) -> Self {
        Time(since_origin)
    }

    /// Returns the time that has passed since `earlier`, or zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Time) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// Returns the whole nanoseconds since the origin (584 years fit).
    #[must_use]
    pub fn nanos(self) -> u64 {
        u64::try_from(self.0.as_nanos()).unwrap_or(u64::MAX)
    }

    /// The time `nanos` nanoseconds after the origin.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Time(Duration::from_nanos(nanos))
    }
}

impl std::ops::Add<Duration> for Time {
    type Output = Time;
    fn add(self, after: Duration) -> Time {
        Time(self.0.saturating_add(after))
    }
}

impl Debug for Time {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.3}s", self.0.as_secs_f64())
    }
}

/// Returns the current time. Clones of one `Arc` share the origin.
pub trait Clock: Debug + Send + Sync + 'static {
    /// Returns the current time. It never goes back.
    fn now(&self) -> Time;
}

/// Tokio's clock. It is virtual while tokio's time is paused.
#[derive(Debug)]
pub struct TokioClock {
    origin: tokio::time::Instant,
}

impl TokioClock {
    /// A clock whose origin is now.
    #[must_use]
    #[allow(clippy::new_without_default, reason = "an origin is a moment, not a default")]
    pub fn new() -> Self {
        TokioClock { origin: tokio::time::Instant::now() }
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Time {
        Time(self.origin.elapsed())
    }
}

/// Time since boot, including the time in which the machine was suspended. A worker whose machine
/// was suspended must notice that its session may have been fenced; Linux's monotonic clock, which
/// `Instant` reads, does not advance during suspension.
#[derive(Debug, Default)]
pub struct BootClock;

impl Clock for BootClock {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn now(&self) -> Time {
        let t = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Time(Duration::new(u64::try_from(t.tv_sec).unwrap_or(0), u32::try_from(t.tv_nsec).unwrap_or(0)))
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn now(&self) -> Time {
        let t = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        Time(Duration::new(u64::try_from(t.tv_sec).unwrap_or(0), u32::try_from(t.tv_nsec).unwrap_or(0)))
    }
}
