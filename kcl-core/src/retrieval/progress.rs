//! Decides whether a reader's response is new for the shard's consumer. Pure.
//!
//! A new reader starts at the last completed record and receives that record again. If each read
//! after it fails, the shard makes no progress although the first read succeeds every time, and
//! must not reset the watchdog.

use crate::record::{Record, SequenceNumber, StartingPosition};

/// See the module's documentation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Progress {
    /// The position where reading started, until a later record has arrived.
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

    /// True if a response shows that the shard can be read: it has a record beyond the start, or
    /// shows that there is none. `ended`: the response is the end of the shard.
    pub(super) fn is_new(&mut self, records: &[Record], millis_behind_latest: Option<u64>, ended: bool) -> bool {
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
    fn only_a_record_beyond_the_start_is_progress() {
        for from in [at(7), StartingPosition::After(record(7).position())] {
            let mut progress = Progress::from(&from);
            assert!(!progress.is_new(&[record(7)], Some(0), false));
            assert!(!progress.is_new(&[], Some(5_000), false), "an empty response before the tip");
            assert!(progress.is_new(&[record(7), record(8)], Some(0), false));
            assert!(progress.is_new(&[], Some(5_000), false), "after that every response is progress");
        }
    }

    #[test]
    fn the_tip_and_the_end_are_progress() {
        assert!(Progress::from(&at(7)).is_new(&[], Some(0), false));
        assert!(Progress::from(&at(7)).is_new(&[record(7)], Some(0), true));
    }

    #[test]
    fn every_response_is_progress_for_a_shard_that_was_never_read() {
        assert!(Progress::from(&StartingPosition::TrimHorizon).is_new(&[], Some(5_000), false));
        assert!(Progress::from(&StartingPosition::AtTimestamp(1)).is_new(&[record(1)], None, false));
    }
}
