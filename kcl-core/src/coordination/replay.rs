//! A replay ends by itself: whoever has nothing left to do looks whether all is done.

use super::coordinator::Coordinator;
use super::effects::{Answer, CallId, Op};
use crate::clock::Time;
use crate::shard;
use crate::telemetry::event::coordination::CoordinationEvent;
use std::time::Duration;

/// Between two looks of a worker that has nothing to do while others have.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// When a worker of a replay looks at the table.
#[derive(Debug, Default)]
pub(super) struct Looking {
    next: Time,
    under_way: bool,
}

impl Coordinator {
    /// At a second's pace. One that held leases until now looks at once.
    pub(super) fn look_whether_replayed(&mut self) {
        if self.settings.until.is_none() || self.departure.is_some() || self.looking.under_way {
            return;
        }
        if !self.held.is_empty() || !self.claims.is_empty() || self.session.number().is_none() {
            self.looking.next = Time::ZERO;
        } else if self.effects.now >= self.looking.next {
            self.looking = Looking { next: self.effects.now + LOOK_EVERY, under_way: true };
            self.effects.call(CallId::Replayed, Op::Scan);
        }
    }

    pub(super) fn on_replay_seen(&mut self, answer: Answer) {
        self.looking.under_way = false;
        let Answer::Table(table) = answer else { return };
        let filled = table.fleet.as_ref().is_some_and(|fleet| fleet.filled);
        // Of a row that cannot be read nobody knows whether it is done.
        if filled && table.damaged.is_empty() && shard::is_replayed(&table.leases) && self.departure.is_none() {
            self.effects.tell(CoordinationEvent::Replayed { shards: table.leases.len() });
            self.on_shutdown(self.settings.shutdown_deadline);
        }
    }
}
