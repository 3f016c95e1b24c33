//! Decides when a worker of a replay reads the table, and whether the replay is complete.
//!
//! See docs/protocol/replay.md.

use super::call::{CallId, Reply};
use super::effects::Effects;
use super::intervals;
use crate::clock::Time;
use crate::lease::Table;
use crate::shard;

/// The state of one session's reads.
#[derive(Debug, Default)]
pub(super) struct ReplayCheck {
    next: Time,
    reading: bool,
}

impl ReplayCheck {
    /// Reads the table if the worker has nothing to do: at once after it had, and then every few seconds.
    pub(super) fn on_tick(&mut self, has_leases: bool, effects: &mut Effects) {
        if self.reading {
            return;
        }
        if has_leases {
            self.next = Time::ZERO;
        } else if effects.now >= self.next {
            *self = ReplayCheck { next: effects.now + intervals::REPLAY_READ, reading: true };
            effects.read_table(CallId::Replay);
        }
    }

    /// Returns the number of shards, if all are read to the end of the range.
    pub(super) fn on_table(&mut self, answer: Reply<Table>) -> Option<usize> {
        self.reading = false;
        let table = answer.ok()?;
        let filled = table.fleet.as_ref().is_some_and(|fleet| fleet.filled);
        // A row that cannot be read may be a lease that is not finished.
        let complete = filled && table.damaged.is_empty() && shard::is_replayed(&table.leases);
        complete.then_some(table.leases.len())
    }
}

#[cfg(test)]
mod tests {
    use super::super::call::Failure;
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_worker_without_leases_reads_at_once_and_then_every_five_seconds() {
        let (mut check, mut effects) = (ReplayCheck::default(), Effects::new(fastrand::Rng::with_seed(1)));
        let mut reads_at = |second, has_leases| {
            effects.now = Time::from_origin(Duration::from_secs(second));
            check.on_tick(has_leases, &mut effects);
            let reads = !effects.take_calls().is_empty();
            let second_tick = {
                check.on_tick(false, &mut effects);
                effects.take_calls().len()
            };
            if reads {
                assert_eq!(second_tick, 0, "one read at a time");
                check.on_table(Err(Failure::Unanswered));
            }
            reads
        };
        assert!(reads_at(101, false));
        assert!(!reads_at(105, false));
        assert!(reads_at(106, false));
    }
}
