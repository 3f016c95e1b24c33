//! A replay ends by itself: whoever has nothing left to do looks whether all is done.

use super::coordinator::Coordinator;
use super::effects::{Answer, CallId, Op};
use crate::coordination::event::CoordinationEvent;
use crate::shard;

impl Coordinator {
    /// At a second's pace. One that held leases until now looks at once.
    pub(super) fn look_whether_replayed(&mut self) {
        if self.settings.until.is_none() || self.departure.is_some() {
            return;
        }
        let is_busy = !self.held.is_empty() || !self.claims.is_empty() || self.session.number().is_none();
        if self.replay_poll.begins(is_busy, self.effects.now) {
            self.effects.call(CallId::Replayed, Op::Scan);
        }
    }

    pub(super) fn on_replay_seen(&mut self, answer: Answer) {
        self.replay_poll.ended();
        let Answer::Table(table) = answer else { return };
        let filled = table.fleet.as_ref().is_some_and(|fleet| fleet.filled);
        // Of a row that cannot be read nobody knows whether it is done.
        if filled && table.damaged.is_empty() && shard::is_replayed(&table.leases) && self.departure.is_none() {
            self.effects.tell(CoordinationEvent::Replayed { shards: table.leases.len() });
            self.on_shutdown(self.settings.shutdown_deadline);
        }
    }
}
