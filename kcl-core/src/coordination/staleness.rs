//! Staleness: for how long a value that only grows has not changed, by this worker's own clock.

use crate::clock::Time;
use std::time::Duration;

/// When this worker last had an answer from the table, and since when answers have come without a long gap.
///
/// While the table is out of reach nobody can write to it, so an unchanged counter says nothing about its writer: after
/// an outage, a freeze or a suspended machine, every worker must get the whole time again to show that it lives. A slow
/// read is no such gap. Other calls are answered meanwhile, so its rows may be minutes apart and still count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Contact {
    longest_gap: Duration,
    last: Time,
    since: Time,
}

impl Contact {
    pub(crate) fn new(longest_gap: Duration) -> Self {
        Contact { longest_gap, last: Time::ZERO, since: Time::ZERO }
    }

    /// The table answered a call, with anything but a failure.
    pub(crate) fn answered(&mut self, now: Time) {
        if now.since(self.last) > self.longest_gap {
            self.since = now;
        }
        self.last = now;
    }

    /// Answers have come without a long gap since then. Evidence of staleness counts from here at the earliest.
    pub(crate) fn since(&self) -> Time {
        self.since
    }
}

/// Times staleness from the *receipt* of the answer that first showed a value: what was written may be older than the
/// answer, never younger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StalenessTimer<V> {
    value: V,
    first_shown: Time,
    last_shown: Time,
}

impl<V: Ord + Clone> StalenessTimer<V> {
    pub(crate) fn new(value: V, received: Time) -> Self {
        StalenessTimer { value, first_shown: received, last_shown: received }
    }

    /// A value that is known to have been shown since then.
    pub(crate) fn since(value: V, first_shown: Time, received: Time) -> Self {
        StalenessTimer { value, first_shown, last_shown: received }
    }

    /// An answer showed `value`. An older value than the newest seen comes from a stale read and says nothing.
    pub(crate) fn look(&mut self, value: &V, received: Time) {
        if *value < self.value {
            return;
        }
        if *value > self.value {
            self.value = value.clone();
            self.first_shown = received;
        }
        self.last_shown = received;
    }

    pub(crate) fn value(&self) -> &V {
        &self.value
    }

    /// How long the value is known not to have changed while the table could be reached.
    pub(crate) fn lasted(&self, contact: &Contact) -> Duration {
        self.last_shown.since(self.began(contact))
    }

    /// When an answer that still shows the value would prove that it did not change for `long`.
    pub(crate) fn proves_at(&self, long: Duration, contact: &Contact) -> Time {
        self.began(contact) + long
    }

    /// Since when the value counts as unchanged.
    pub(crate) fn began(&self, contact: &Contact) -> Time {
        self.first_shown.max(contact.since())
    }

    pub(crate) fn first_shown(&self) -> Time {
        self.first_shown
    }

    pub(crate) fn last_shown(&self) -> Time {
        self.last_shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GAP: Duration = Duration::from_secs(3);

    fn t(seconds: u64) -> Time {
        Time::from_origin(Duration::from_secs(seconds))
    }

    fn contact(answers: impl IntoIterator<Item = u64>) -> Contact {
        let mut contact = Contact::new(GAP);
        answers.into_iter().for_each(|at| contact.answered(t(at)));
        contact
    }

    #[test]
    fn it_is_timed_from_the_receipt_that_first_showed_the_value() {
        let contact = contact(8..=20);
        let mut staleness = StalenessTimer::new(7, t(10));
        for at in [12, 14, 16] {
            staleness.look(&7, t(at));
        }
        assert_eq!(staleness.lasted(&contact), Duration::from_secs(6));
        assert_eq!(staleness.proves_at(Duration::from_secs(10), &contact), t(20));
        staleness.look(&8, t(17));
        assert_eq!(staleness.lasted(&contact), Duration::ZERO);
    }

    #[test]
    fn a_stale_read_neither_ends_nor_prolongs_it() {
        let mut staleness = StalenessTimer::new(7, t(10));
        staleness.look(&6, t(12));
        assert_eq!((staleness.value(), staleness.lasted(&contact([]))), (&7, Duration::ZERO));
    }

    #[test]
    fn rows_that_are_read_far_apart_count_while_the_table_answers_other_calls() {
        let mut staleness = StalenessTimer::new(7, t(10));
        staleness.look(&7, t(110));
        assert_eq!(staleness.lasted(&contact(8..=110)), Duration::from_secs(100));
    }

    #[test]
    fn time_in_which_the_table_was_out_of_reach_does_not_count() {
        let mut contact = contact(8..=12);
        let mut staleness = StalenessTimer::new(7, t(10));
        staleness.look(&7, t(12));
        assert_eq!(staleness.lasted(&contact), Duration::from_secs(2));
        // Another call is answered first after the outage.
        contact.answered(t(16));
        assert_eq!(staleness.lasted(&contact), Duration::ZERO);
        contact.answered(t(18));
        staleness.look(&7, t(18));
        assert_eq!(staleness.lasted(&contact), Duration::from_secs(2));
        assert_eq!(staleness.proves_at(Duration::from_secs(10), &contact), t(26));
    }
}
