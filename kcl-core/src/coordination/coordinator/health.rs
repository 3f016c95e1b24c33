//! Runs the periodic checks of leases and consumers, and handles the rows that operators or external writers changed.

use super::Coordinator;
use super::leases::starting_position;
use crate::coordination::call::{LeaseTimer, Reply, Rows, TimerId};
use crate::coordination::event::CoordinationEvent;
use crate::coordination::intervals;
use crate::lease::row::LeaseKey;
use crate::lease::{Row, Table};

impl Coordinator {
    pub(super) fn on_reconcile_timer(&mut self) {
        self.effects.set_timer(TimerId::Reconcile, self.effects.now + intervals::RECONCILE);
        let (held, effects) = (&mut self.per_session.held, &mut self.effects);
        self.watchdog.match_consumers(held, &self.consumers, effects);
        self.per_session.verifier.on_tick(held, effects);
        self.signals.export(held, &self.identity.streams, effects);
        self.check_replay();
        let (held, effects) = (&mut self.per_session.held, &mut self.effects);
        self.watchdog.check_reads(held, &self.settings, effects);
        self.watchdog.check_stalls(held, &self.settings, effects);
    }

    pub(super) fn on_verified_rows(&mut self, answer: Reply<Rows>) {
        for (lease, row) in self.per_session.verifier.on_rows(answer) {
            self.on_verified_row(lease, row.as_ref());
        }
    }

    fn on_verified_row(&mut self, lease: LeaseKey, row: Option<&Row>) {
        let Some(held) = self.per_session.held.get_mut(&lease).filter(|held| held.is_idle()) else { return };
        if !held.is_owner_in(row) {
            held.delivery.close();
            self.per_session.held.remove(&lease);
            self.effects.clear_timer(&TimerId::Lease(lease.clone(), LeaseTimer::Write));
            let why = "an external writer changed its row";
            self.effects.emit(CoordinationEvent::LeaseLost { lease, why });
            self.wake_leader();
        } else if let Some(row) = row.and_then(Row::as_lease)
            && held.unreadable().is_some()
            // A stale read shows an older counter.
            && row.counter >= held.lease.counter
            && row.checkpoint != held.lease.checkpoint
        {
            let checkpoint = row.checkpoint.as_str().to_owned();
            self.effects.emit(CoordinationEvent::PositionEdited { lease, checkpoint });
            held.adopt(row, starting_position(row));
        } else if let Some(row) = row {
            held.notice(row);
        }
    }

    /// Reads the table, if a worker of a replay has nothing left to do.
    fn check_replay(&mut self) {
        if self.settings.until_ms().is_some() && !self.shutdown.is_requested() {
            let has_leases = self.per_session.has_leases() || self.session.number().is_none();
            self.per_session.replay.on_tick(has_leases, &mut self.effects);
        }
    }

    /// Shuts the worker down if the replay is complete.
    pub(super) fn on_replay_table(&mut self, answer: Reply<Table>) {
        if let Some(shards) = self.per_session.replay.on_table(answer)
            && !self.shutdown.is_requested()
        {
            self.effects.emit(CoordinationEvent::Replayed { shards });
            self.on_shutdown(self.settings.shutdown_deadline);
        }
    }
}
