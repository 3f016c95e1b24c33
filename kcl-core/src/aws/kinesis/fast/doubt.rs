//! Decides which parser reads the next answer: ours, or the SDK's for a while after an answer that ours does not understand.

use crate::telemetry::event::parser::ParserSuspended;
use aws_smithy_schema::serde::SerdeError;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// One garbled answer costs little; each trial of ours that fails costs a call, which is made again.
const FIRST_PAUSE: Duration = Duration::from_secs(60);
const LONGEST_PAUSE: Duration = Duration::from_secs(60 * 60);

/// Shared by all answers that one protocol reads.
#[derive(Clone, Debug, Default)]
pub(super) struct Doubt(Arc<Mutex<Trust>>);

impl Doubt {
    /// True while the SDK's parser is to be used.
    pub(super) fn is_raised(&self) -> bool {
        self.trust().is_suspended(Instant::now())
    }

    /// Notes that ours did not understand an answer, and says so once for each pause.
    pub(super) fn raise(&self, error: SerdeError) -> SerdeError {
        let pause = self.trust().suspend(Instant::now());
        if let Some(pause) = pause {
            ParserSuspended { error: &error, pause }.emit();
        }
        error
    }

    fn trust(&self) -> MutexGuard<'_, Trust> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When ours may be used, without a clock.
#[derive(Debug, Default)]
struct Trust(Option<Pause>);

#[derive(Clone, Copy, Debug)]
struct Pause {
    until: Instant,
    length: Duration,
}

impl Trust {
    fn is_suspended(&self, now: Instant) -> bool {
        self.0.is_some_and(|pause| now < pause.until)
    }

    /// Returns the length of the pause that begins; none if one is under way already, as answers are read concurrently.
    ///
    /// Where ours fails again sooner than the last pause was long, the next is twice as long.
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
    fn ours_is_tried_again_after_pauses_that_grow_while_it_fails_and_no_further() {
        let (mut trust, mut now) = (Trust::default(), Instant::now());
        assert!(!trust.is_suspended(now));
        let mut pauses = Vec::new();
        for _ in 0..8 {
            let pause = trust.suspend(now).unwrap();
            assert!(trust.is_suspended(now + pause - Duration::from_millis(1)));
            assert_eq!(trust.suspend(now + pause / 2), None, "one pause at a time");
            now += pause;
            assert!(!trust.is_suspended(now));
            pauses.push(pause.as_secs() / 60);
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
    }

    #[test]
    fn a_rare_failure_costs_a_short_pause_each_time() {
        let (mut trust, now) = (Trust::default(), Instant::now());
        assert_eq!(trust.suspend(now), Some(FIRST_PAUSE));
        assert_eq!(trust.suspend(now + 2 * FIRST_PAUSE), Some(FIRST_PAUSE));
        assert_eq!(trust.suspend(now + 4 * FIRST_PAUSE - Duration::from_millis(1)), Some(2 * FIRST_PAUSE));
    }
}
