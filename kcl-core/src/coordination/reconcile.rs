//! Each tick: are the leases held, the consumers alive, and is every shard moving? What is not so is put right.

use super::coordinator::Coordinator;
use super::effects::{Answer, Op, Part};
use super::held::Why;
use super::watchdog::{self, Stage, Step};
use crate::clock::Time;
use crate::error::{Code, Error};
use crate::lease::Consistency;
use crate::lease::row::{LeaseKey, RowKey};
use crate::telemetry::event::coordination::Happening;
use std::time::Duration;

/// Between two looks.
pub(super) const EVERY: Duration = Duration::from_secs(1);
/// Between two comparisons of what is held with the rows.
const VERIFY_EVERY: Duration = Duration::from_secs(60);
/// The part of the stream's retention after which parked records are alarmed about.
const ALARM_AT: f64 = 0.8;
/// A consumer whose delivery is closed should be gone after this; one that is not is told of as often.
const LINGERS: Duration = Duration::from_secs(30);
/// So many leases given up in a row, with no read answered in between: then it is this worker that cannot read.
const MOST_GIVEN_UP: u32 = 3;

impl Coordinator {
    pub(super) fn on_reconcile_timer(&mut self) {
        self.effects.remind(Part::Reconcile, self.effects.now + EVERY);
        let now = self.effects.now;
        self.refusals.retain(|_, until| now < *until);
        self.match_consumers(now);
        self.verify(now);
        self.look_at_parked(now);
        self.look_whether_replayed();
        let mut steps = Vec::new();
        for (lease, held) in self.held.iter_mut().filter(|(_, held)| held.is_working()) {
            for news in held.watch(now, &self.deadlines) {
                match news {
                    watchdog::News::Stalled { stage, stood, step } => {
                        self.effects.tell(Happening::ShardStalled { lease: lease.clone(), stage, stood, step });
                        steps.push((lease.clone(), stage, step));
                    }
                    watchdog::News::Over { stage, stood } => {
                        if stage == Stage::Fetch {
                            self.given_up_in_a_row = 0;
                            self.given_up_of.clear();
                        }
                        self.effects.tell(Happening::StallOver { lease: lease.clone(), stage, stood });
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
            self.effects.call(Part::Reconcile, Op::Read(keys, Consistency::Eventual));
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
                self.effects.forget(&Part::Held(lease.clone()));
                self.effects.tell(Happening::LeaseLost { lease, why: "its row was changed by another hand" });
                self.wake_planner();
            } else if let Some(row) = &row {
                held.notice(row);
            }
        }
    }

    /// What is parked must be dealt with before the stream's retention ends it.
    fn look_at_parked(&mut self, now: Time) {
        if now.since(self.parked_seen_at) < VERIFY_EVERY {
            return;
        }
        self.parked_seen_at = now;
        for (lease, held) in &self.held {
            let Some(served) = self.identity.streams.of(lease) else { continue };
            let (parked, service) = (held.delivery.parked(), held.delivery.service_ms());
            let Some((oldest, service)) = parked.iter().map(|key| key.arrived_at_ms).min().zip(service) else {
                continue;
            };
            let age = Duration::from_millis(u64::try_from(service.saturating_sub(oldest)).unwrap_or(0));
            let retention = served.retention;
            if age >= retention.mul_f64(ALARM_AT) {
                let (keys, left) = (parked.len(), retention.saturating_sub(age));
                self.effects.tell(Happening::ParkedAging { lease: lease.clone(), keys, left });
            }
        }
    }

    fn put_right(&mut self, lease: &LeaseKey, stage: Stage, step: Step) {
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
                let Some(served) = self.identity.streams.of(lease) else { return };
                if stage == Stage::Fetch {
                    self.given_up_in_a_row += 1;
                    self.given_up_of.insert(served.keys.id.clone());
                }
                // One of several that cannot be read stops nobody else's.
                let all = self.given_up_of.len() >= self.identity.streams.count();
                if self.given_up_in_a_row >= MOST_GIVEN_UP && all {
                    let message = format!(
                        "no read of stream `{}` was answered while {MOST_GIVEN_UP} leases in a row were given up for it, \
                         the last one `{lease}`: this worker cannot read",
                        served.keys.identity.arn
                    );
                    self.fail(Error::new(Code::CannotRead, message));
                }
            }
        }
    }

    /// Leases without a consumer, and consumers without a lease.
    fn match_consumers(&mut self, now: Time) {
        for (lease, held) in &mut self.held {
            if held.is_working() && !self.consumers.contains_key(lease) {
                self.effects.tell(Happening::Reconciled { lease: lease.clone(), what: "a lease without a consumer" });
                held.release_now(Why::ConsumerGaveUp, &mut self.effects);
            }
        }
        for (lease, delivery) in &self.consumers {
            let held =
                self.held.get(lease).is_some_and(|held| held.delivery.fencing_token() == delivery.fencing_token());
            if !held && !delivery.is_closed() {
                self.effects.tell(Happening::Reconciled { lease: lease.clone(), what: "a consumer without a lease" });
                delivery.close();
            }
            if !delivery.is_closed() {
                self.lingering.remove(lease);
                continue;
            }
            let since = self.lingering.entry(lease.clone()).or_insert(now);
            if now.since(*since) >= LINGERS {
                *since = now;
                self.effects.tell(Happening::ConsumerLingers { lease: lease.clone() });
            }
        }
        self.lingering.retain(|lease, _| self.consumers.contains_key(lease));
    }
}
