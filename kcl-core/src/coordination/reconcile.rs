//! Each tick: are the leases held, the consumers alive, and is every shard moving? What is not so is put right.

use super::coordinator::Coordinator;
use super::effects::{Answer, CallId, Op};
use super::held_lease::Why;
use super::leases::starting_position;
use super::watchdog::{self, Stage, Step};
use crate::clock::Time;
use crate::coordination::event::CoordinationEvent;
use crate::lease::row::{LeaseKey, RowKey};
use crate::lease::{Consistency, Row};
use std::time::Duration;

/// Between two comparisons of what is held with the rows.
const VERIFY_EVERY: Duration = Duration::from_secs(60);
/// A consumer whose delivery is closed should be gone after this; one that is not is told of as often.
const LINGERS: Duration = Duration::from_secs(30);

impl Coordinator {
    pub(super) fn on_reconcile_timer(&mut self) {
        self.effects.remind(CallId::Reconcile, self.effects.now + watchdog::EVERY);
        let now = self.effects.now;
        self.refusals.retain(|_, until| now < *until);
        self.match_consumers(now);
        self.verify(now);
        self.export_signals();
        self.look_whether_replayed();
        self.look_at_unreadable(now);
        let mut steps = Vec::new();
        for (lease, held) in self.held.iter_mut().filter(|(_, held)| held.is_working()) {
            for news in held.watch(now, &self.deadlines) {
                match news {
                    watchdog::WatchdogEvent::Stalled { stage, stood, step } => {
                        self.effects.tell(CoordinationEvent::ShardStalled { lease: lease.clone(), stage, stood, step });
                        steps.push((lease.clone(), stage, step));
                    }
                    watchdog::WatchdogEvent::Over { stage, stood } => {
                        self.effects.tell(CoordinationEvent::StallOver { lease: lease.clone(), stage, stood });
                    }
                }
            }
        }
        for (lease, stage, step) in steps {
            self.put_right(&lease, stage, step);
        }
    }

    /// A lease that is idle is not written, and a row that somebody changed by hand would never be noticed.
    fn verify(&mut self, now: Time) {
        if now.since(self.verified_at) < VERIFY_EVERY || !self.verifying.is_empty() {
            return;
        }
        self.verified_at = now;
        let idle = self.held.iter().filter(|(_, held)| held.is_idle() && now.since(held.since) >= VERIFY_EVERY);
        self.verifying = idle.map(|(lease, _)| lease.clone()).collect();
        if !self.verifying.is_empty() {
            let keys = self.verifying.iter().cloned().map(RowKey::Lease).collect();
            self.effects.call(CallId::Reconcile, Op::Read(keys, Consistency::Eventual));
        }
    }

    pub(super) fn on_verified(&mut self, answer: Answer) {
        let asked = std::mem::take(&mut self.verifying);
        let Answer::Rows(rows) = answer else { return };
        for (lease, row) in asked.into_iter().zip(rows) {
            let Some(held) = self.held.get_mut(&lease).filter(|held| held.is_idle()) else { continue };
            if !held.is_said_by(row.as_ref()) {
                held.delivery.close();
                self.held.remove(&lease);
                self.effects.forget(&CallId::Held(lease.clone()));
                self.effects.tell(CoordinationEvent::LeaseLost { lease, why: "its row was changed by another hand" });
                self.wake_leader();
            } else if let Some(row) = row.as_ref().and_then(Row::as_lease)
                && held.unreadable().is_some()
                // (A stale read shows an older counter.)
                && row.counter >= held.lease.counter
                && row.checkpoint != held.lease.checkpoint
            {
                self.effects
                    .tell(CoordinationEvent::PositionEdited { lease, checkpoint: row.checkpoint.as_str().to_owned() });
                held.adopt(row, starting_position(row));
            } else if let Some(row) = &row {
                held.notice(row);
            }
        }
    }

    fn put_right(&mut self, lease: &LeaseKey, stage: Stage, step: Step) {
        if (stage, step) == (Stage::Fetch, Step::GiveUp) {
            // Where the lease is kept, the reader may be what is wrong.
            if !self.give_up_unreadable(lease) {
                self.restart_fetch(lease);
            }
            return;
        }
        let Some(held) = self.held.get_mut(lease) else { return };
        match step {
            Step::Alarm => {}
            Step::RestartFetch => held.delivery.restart_fetch(),
            Step::RestartConsumer => held.restart(),
            Step::GiveUp => {
                held.release_now(Why::Stalled, &mut self.effects);
                // Not straight back to where it did not move.
                let until = self.effects.now + self.settings.failover_time * 2;
                self.refusals.insert(lease.clone(), until);
            }
        }
    }

    /// Leases without a consumer, and consumers without a lease.
    fn match_consumers(&mut self, now: Time) {
        for (lease, held) in &mut self.held {
            if held.is_working() && !self.consumers.contains_key(lease) {
                self.effects
                    .tell(CoordinationEvent::Reconciled { lease: lease.clone(), what: "a lease without a consumer" });
                held.release_now(Why::ConsumerGaveUp, &mut self.effects);
            }
        }
        for (lease, delivery) in &self.consumers {
            let held =
                self.held.get(lease).is_some_and(|held| held.delivery.fencing_token() == delivery.fencing_token());
            if !held && !delivery.is_closed() {
                self.effects
                    .tell(CoordinationEvent::Reconciled { lease: lease.clone(), what: "a consumer without a lease" });
                delivery.close();
            }
            if !delivery.is_closed() {
                self.lingering.remove(lease);
                continue;
            }
            let since = self.lingering.entry(lease.clone()).or_insert(now);
            if now.since(*since) >= LINGERS {
                *since = now;
                self.effects.tell(CoordinationEvent::ConsumerLingers { lease: lease.clone() });
            }
        }
        self.lingering.retain(|lease, _| self.consumers.contains_key(lease));
    }
}
