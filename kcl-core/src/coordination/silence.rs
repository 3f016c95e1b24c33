//! How long a value that only grows has stood still, by one's own clock.

use crate::clock::Time;
use std::time::Duration;

/// Times silence from the *receipt* of the answer that first showed a value: what was written may be older than the
/// answer, never younger. Time in which no answer came proves nothing, so a gap starts the count again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Silence<V> {
    value: V,
    first_shown: Time,
    last_shown: Time,
}

impl<V: Ord + Clone> Silence<V> {
    pub(crate) fn new(value: V, received: Time) -> Self {
        Silence { value, first_shown: received, last_shown: received }
    }

    /// A value that is known to have been shown since then.
    pub(crate) fn since(value: V, first_shown: Time, received: Time) -> Self {
        Silence { value, first_shown, last_shown: received }
    }

    /// An answer showed `value`. An older value than the newest seen comes from a stale read and says nothing.
    pub(crate) fn look(&mut self, value: &V, received: Time, longest_gap: Duration) {
        if *value < self.value {
            return;
        }
        if *value > self.value || received.since(self.last_shown) > longest_gap {
            self.value = value.clone();
            self.first_shown = received;
        }
        self.last_shown = received;
    }

    pub(crate) fn value(&self) -> &V {
        &self.value
    }

    /// How long the value is known to have stood still.
    pub(crate) fn lasted(&self) -> Duration {
        self.last_shown.since(self.first_shown)
    }

    /// When an answer that still shows the value would prove that it stood still for `long`.
    pub(crate) fn proves_at(&self, long: Duration) -> Time {
        self.first_shown + long
    }

    pub(crate) fn first_shown(&self) -> Time {
        self.first_shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GAP: Duration = Duration::from_secs(3);

    fn t(seconds: u64) -> Time {
        Time::from_origin(Duration::from_secs(seconds))
    }

    #[test]
    fn it_is_timed_from_the_receipt_that_first_showed_the_value() {
        let mut silence = Silence::new(7, t(10));
        for at in [12, 14, 16] {
            silence.look(&7, t(at), GAP);
        }
        assert_eq!(silence.lasted(), Duration::from_secs(6));
        assert_eq!(silence.proves_at(Duration::from_secs(10)), t(20));
        silence.look(&8, t(17), GAP);
        assert_eq!(silence.lasted(), Duration::ZERO);
    }

    #[test]
    fn a_stale_read_neither_ends_nor_prolongs_it() {
        let mut silence = Silence::new(7, t(10));
        silence.look(&6, t(12), GAP);
        assert_eq!((silence.value(), silence.lasted()), (&7, Duration::ZERO));
    }

    #[test]
    fn time_in_which_nobody_could_look_does_not_count() {
        let mut silence = Silence::new(7, t(10));
        silence.look(&7, t(12), GAP);
        silence.look(&7, t(16), GAP);
        assert_eq!(silence.lasted(), Duration::ZERO);
    }
}
