//! Asks the leader to read the table, by a counter in the fleet row. One write at a time; requests meanwhile are merged.

use super::backoff::RetryPolicy;
use super::call::{CallId, Reply, TimerId};
use super::effects::Effects;
use crate::lease::row::Fleet;
use crate::lease::{Row, Write, Written};

/// The state of one session's requests.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum LeaderWake {
    #[default]
    Idle,
    Writing,
    /// The leader may have read the table before the reason for this request, so another write follows.
    WritingAndAnother,
}

impl LeaderWake {
    pub(super) fn request(&mut self, effects: &mut Effects) {
        *self = match self {
            LeaderWake::Idle => {
                effects.write(CallId::Wake, Write::Wake);
                LeaderWake::Writing
            }
            LeaderWake::Writing | LeaderWake::WritingAndAnother => LeaderWake::WritingAndAnother,
        };
    }

    /// Returns the fleet row, if the answer shows it.
    pub(super) fn on_answer(&mut self, answer: Reply<Written>, effects: &mut Effects) -> Option<Fleet> {
        let Ok(written) = answer else {
            effects.retry(TimerId::Wake, RetryPolicy::CALL);
            return None;
        };
        let another = *self == LeaderWake::WritingAndAnother;
        *self = LeaderWake::Idle;
        if another {
            self.request(effects);
        }
        if let Written::Applied(Some(Row::Fleet(fleet))) = written { Some(fleet) } else { None }
    }

    pub(super) fn on_timer(effects: &mut Effects) {
        effects.write(CallId::Wake, Write::Wake);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_during_a_write_are_merged_into_one_more() {
        let (mut wake, mut effects) = (LeaderWake::default(), Effects::new(fastrand::Rng::with_seed(1)));
        for _ in 0..3 {
            wake.request(&mut effects);
        }
        assert_eq!(effects.take_calls().len(), 1);
        wake.on_answer(Ok(Written::Applied(None)), &mut effects);
        assert_eq!(effects.take_calls().len(), 1);
        wake.on_answer(Ok(Written::Applied(None)), &mut effects);
        assert_eq!((effects.take_calls().len(), wake), (0, LeaderWake::Idle));
    }
}
