//! Tells whether what a reader got is new, or what its shard's consumer has had before. Pure.
//!
//! A reader that replaces another one starts at the last record that was done, and gets that record again. If the read after it
//! fails each time, the shard makes no progress, however often the first read is answered: the watchdog must not begin anew.

use crate::record::{Record, SequenceNumber, StartingPosition};

/// See the module's documentation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Progress {
    /// Where reading started, until something beyond it has come.
    started_at: Option<SequenceNumber>,
}

impl Progress {
    pub(super) fn from(from: &StartingPosition) -> Self {
        let started_at = match from {
            StartingPosition::At(number) => Some(number.clone()),
            StartingPosition::After(position) => Some(position.sequence_number.clone()),
            StartingPosition::TrimHorizon | StartingPosition::AtTimestamp(_) => None,
        };
        Progress { started_at }
    }

    /// Whether an answer with these records shows that the shard is read: something beyond the start, or that there is nothing
    /// beyond it. `ended`: the answer is the end of the shard.
    pub(super) fn is_shown_by(&mut self, records: &[Record], millis_behind_latest: Option<u64>, ended: bool) -> bool {
        let Some(started_at) = &self.started_at else { return true };
        let beyond = records.last().is_some_and(|last| last.sequence_number > *started_at);
        let at_tip = records.is_empty() && millis_behind_latest == Some(0);
        if beyond {
            self.started_at = None;
        }
        beyond || at_tip || ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(number: u64) -> Record {
        Record::new(SequenceNumber::parse(number.to_string()).unwrap(), "x")
    }

    fn at(number: u64) -> StartingPosition {
        StartingPosition::At(record(number).sequence_number)
    }

    #[test]
    fn the_record_that_reading_started_at_is_no_progress_and_the_next_one_is() {
        for from in [at(7), StartingPosition::After(record(7).position())] {
            let mut progress = Progress::from(&from);
            assert!(!progress.is_shown_by(&[record(7)], Some(0), false));
            assert!(!progress.is_shown_by(&[], Some(5_000), false), "an empty answer before the tip");
            assert!(progress.is_shown_by(&[record(7), record(8)], Some(0), false));
            assert!(progress.is_shown_by(&[], Some(5_000), false), "from then on every answer is");
        }
    }

    #[test]
    fn the_tip_and_the_end_are_progress() {
        assert!(Progress::from(&at(7)).is_shown_by(&[], Some(0), false));
        assert!(Progress::from(&at(7)).is_shown_by(&[record(7)], Some(0), true));
    }

    #[test]
    fn of_a_shard_that_was_never_read_every_answer_is_progress() {
        assert!(Progress::from(&StartingPosition::TrimHorizon).is_shown_by(&[], Some(5_000), false));
        assert!(Progress::from(&StartingPosition::AtTimestamp(1)).is_shown_by(&[record(1)], None, false));
    }
}
