//! When a worker of a replay reads the table, to see whether the replay is done. Pure.

use crate::clock::Time;
use std::time::Duration;

/// Between two reads of a worker that has nothing to do while others have.
const READ_EVERY: Duration = Duration::from_secs(5);

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct ReplayPoll {
    next: Time,
    under_way: bool,
}

impl ReplayPoll {
    /// Whether the table is to be read now. A worker that held or claimed leases until now reads it at once.
    pub(super) fn begins(&mut self, is_busy: bool, now: Time) -> bool {
        if self.under_way {
            return false;
        }
        if is_busy {
            self.next = Time::ZERO;
            return false;
        }
        let due = now >= self.next;
        if due {
            *self = ReplayPoll { next: now + READ_EVERY, under_way: true };
        }
        due
    }

    /// The read was answered, or failed.
    pub(super) fn ended(&mut self) {
        self.under_way = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn t(seconds: u64) -> Time {
        Time::from_origin(Duration::from_secs(seconds))
    }

    #[test]
    fn a_worker_without_work_reads_at_once_and_then_every_five_seconds() {
        let mut poll = ReplayPoll::default();
        assert!(!poll.begins(true, t(100)));
        assert!(poll.begins(false, t(101)));
        assert!(!poll.begins(false, t(110)), "one read at a time");
        poll.ended();
        assert!(poll.begins(false, t(110)));
        poll.ended();
        assert!(!poll.begins(false, t(114)));
        assert!(!poll.begins(true, t(114)));
        assert!(poll.begins(false, t(115)));
    }
}
