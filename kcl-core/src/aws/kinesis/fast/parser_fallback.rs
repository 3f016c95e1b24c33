//! Decides which parser reads the next response: ours, or the SDK's for a while after one that ours
//! could not parse.

use crate::aws::event::ParserSuspended;
use aws_smithy_schema::serde::SerdeError;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// One invalid response costs little. Each retry of our parser that fails costs a call, so the
/// pauses grow.
const FIRST_PAUSE: Duration = Duration::from_secs(60);
const LONGEST_PAUSE: Duration = Duration::from_secs(60 * 60);

/// Shared by all responses of one protocol.
#[derive(Clone, Debug, Default)]
pub(super) struct ParserFallback(Arc<Mutex<Suspension>>);

impl ParserFallback {
    /// True while the SDK's parser is used.
    pub(super) fn is_active(&self) -> bool {
        self.suspension().is_suspended(Instant::now())
    }

    /// Records that our parser failed, and reports it once per pause.
    pub(super) fn activate(&self, error: SerdeError) -> SerdeError {
        let pause = self.suspension().suspend(Instant::now());
        if let Some(pause) = pause {
            ParserSuspended { error: &error, pause }.emit();
        }
        error
    }

    fn suspension(&self) -> MutexGuard<'_, Suspension> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When our parser may be used again. Pure.
#[derive(Debug, Default)]
struct Suspension(Option<Pause>);

#[derive(Clone, Copy, Debug)]
struct Pause {
    until: Instant,
    length: Duration,
}

impl Suspension {
    fn is_suspended(&self, now: Instant) -> bool {
        self.0.is_some_and(|pause| now < pause.until)
    }

    /// Returns the length of a new pause; `None` if one is in progress, because responses are
    /// parsed concurrently.
    ///
    /// If our parser fails again within the length of the last pause after its end, the next pause
    /// is twice as long.
    fn suspend(&mut self, now: Instant) -> Option<Duration> {
        let length = match self.0 {
            Some(pause) if now < pause.until => return None,
            Some(pause) if now < pause.until + pause.length => (pause.length * 2).min(LONGEST_PAUSE),
            Some(_) | None => FIRST_PAUSE,
        };
        self.0 = Some(Pause { until: now + length, length });
        Some(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_parser_is_retried_after_growing_pauses() {
        let (mut suspension, mut now) = (Suspension::default(), Instant::now());
        assert!(!suspension.is_suspended(now));
        let mut pauses = Vec::new();
        for _ in 0..8 {
            let pause = suspension.suspend(now).unwrap();
            assert!(suspension.is_suspended(now + pause - Duration::from_millis(1)));
            assert_eq!(suspension.suspend(now + pause / 2), None, "one pause at a time");
            now += pause;
            assert!(!suspension.is_suspended(now));
            pauses.push(pause.as_secs() / 60);
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
    }

    #[test]
    fn a_rare_failure_costs_a_short_pause_each_time() {
        let (mut suspension, now) = (Suspension::default(), Instant::now());
        assert_eq!(suspension.suspend(now), Some(FIRST_PAUSE));
        assert_eq!(suspension.suspend(now + 2 * FIRST_PAUSE), Some(FIRST_PAUSE));
        assert_eq!(suspension.suspend(now + 4 * FIRST_PAUSE - Duration::from_millis(1)), Some(2 * FIRST_PAUSE));
    }
}
