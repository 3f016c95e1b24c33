//! The coordinator's half that concerns leases: obeying the plan, claims, what consumers report, reshards.

use super::LATEST_MARGIN_MS;
use super::claim::{self, Claim};
use super::coordinator::Coordinator;
use super::effects::{Answer, CallId, Op};
use super::held_lease::{self, HeldLease, Why};
use super::start::of_range;
use crate::config::Start;
use crate::coordination::event::CoordinationEvent;
use crate::error::{Code, Error};
use crate::lease::row::{AcquireMode, Assignment, Damaged, Lease, LeaseKey, Owner, RowKey};
use crate::lease::{Consistency, Row, Write};
use crate::processor::{ClaimSnapshot, Report, ReportKind, ShardDelivery};
use crate::record::{Checkpoint, StartingPosition, StreamId, unix_millis};
use crate::shard::{ListWhich, Shard};
use std::time::Duration;

/// A plan row that cannot be read is told no more often.
const DAMAGED_AGAIN: Duration = Duration::from_secs(60);

impl Coordinator {
    // --- the plan

    pub(super) fn read_plan(&mut self, shown: (u64, u64)) {
        self.reading_plan = Some(shown);
        let keys = vec![RowKey::Assignment(self.identity.me.clone())];
        self.effects.call(CallId::AssignmentRow, Op::Read(keys, Consistency::Strong));
    }

    pub(super) fn on_assignment_row(&mut self, answer: Answer) {
        let asked = self.reading_plan.take();
        // Without an answer the next look at the fleet row asks again.
        let (Answer::Rows(rows), Some(asked)) = (answer, asked) else { return };
        let Some(fleet) = self.watch.fleet() else { return };
        let shown = (fleet.term, fleet.assignment_version);
        match rows.into_iter().next().flatten() {
            Some(Row::Assignment(mut plan)) if mutated!(ObeysAnyPlan) => {
                plan.acquires.iter_mut().for_each(|take| take.mode = AcquireMode::Now);
                self.plan_seen = asked;
                self.obey(&plan);
            }
            Some(Row::Assignment(plan)) if plan.term == shown.0 && plan.version <= shown.1 => {
                self.plan_seen = asked;
                self.obey(&plan);
            }
            // Written, but not shown yet: the fleet row will say so.
            Some(Row::Assignment(plan)) if (plan.term, plan.version) > shown => {}
            Some(Row::Damaged(damaged)) => {
                self.plan_seen = asked;
                self.on_damaged_plan(&damaged);
            }
            Some(_) | None => self.plan_seen = asked,
        }
    }

    /// The leader writes it anew once it has read the table. Asked for and told at most once a minute.
    fn on_damaged_plan(&mut self, damaged: &Damaged) {
        let now = self.effects.now;
        if self.damaged_assignment_reported.is_some_and(|at| now.since(at) < DAMAGED_AGAIN) {
            return;
        }
        self.damaged_assignment_reported = Some(now);
        self.effects.tell(CoordinationEvent::damaged(damaged));
        self.wake_leader();
    }

    fn obey(&mut self, plan: &Assignment) {
        let now = self.effects.now;
        let handoff = now + self.settings.handoff_timeout;
        let deadline = self.departure.as_ref().map_or(handoff, |departure| handoff.min(departure.deadline()));
        for give in &plan.yields {
            if let Some(held) = self.held.get_mut(&give.lease).filter(|held| held.is_meant_by(give)) {
                held.drain(Why::Planned, deadline, &mut self.effects);
                if let Some(departure) = &mut self.departure {
                    departure.told(now);
                }
            }
        }
        if self.departure.is_some() {
            return self.shard_sync.follow(&[], &mut self.effects);
        }
        self.shard_sync.follow(&plan.lists, &mut self.effects);
        self.claims.follow(&plan.acquires, &mut self.effects);
        for take in &plan.acquires {
            let refused = self.refusals.contains_key(&take.lease);
            // Of a stream that is not served: the plan will know.
            let Some(served) = self.identity.streams.of(&take.lease) else { continue };
            if !refused && !self.held.contains_key(&take.lease) && !self.claims.contains(&take.lease) {
                let stream = served.keys.identity.clone();
                self.claims.begin(Claim::new(take, stream, now), &mut self.effects);
            }
        }
    }

    // --- claims

    pub(super) fn on_claim_answer(&mut self, lease: &LeaseKey, answer: Answer) {
        let Some(number) = self.session.number() else { return };
        match self.claims.on_answer(lease, answer, number, &mut self.effects) {
            claim::ClaimEvent::Held { lease, from, waited } => self.hold(*lease, from, waited),
            claim::ClaimEvent::Nothing | claim::ClaimEvent::Ready | claim::ClaimEvent::Dropped => {}
        }
    }

    /// The lease is ours: start its consumer.
    fn hold(&mut self, lease: Lease, from: Option<Owner>, waited: Duration) {
        let Some(number) = self.session.number() else { return };
        let key = lease.key.clone();
        if let Some(served) = self.identity.streams.of(&key)
            && let Err(error) = of_range(&self.identity.table, &lease, served.keys.until_ms)
        {
            // Made by a fleet that began at the same instant as this one: nothing of it is read here.
            self.fail(error);
        }
        let streams = &self.identity.streams;
        // One of another Region, made in the same second under the same name, has the same keys.
        let served = streams.of(&key).is_some_and(|served| {
            !streams.are_several() || lease.stream.as_ref().is_none_or(|stream| *stream == served.keys.identity)
        });
        let pinned = lease.start_ms.is_some() || !needs_pin(&lease);
        if !pinned && served && self.departure.is_none() {
            return self.pin(lease);
        }
        let fencing_token = lease.counter;
        self.effects.tell(CoordinationEvent::LeaseAcquired { lease: key.clone(), from, fencing_token, waited });
        let hold = ClaimSnapshot::of(key.clone(), lease.shard.clone(), fencing_token, starting_position(&lease));
        let hold = hold.with_extras(&lease, self.settings.max_quarantined, self.settings.store_completed_ranges);
        let delivery = ShardDelivery::new(hold, self.gate.clone(), self.reports.clone());
        let me = (self.identity.me.clone(), number);
        let interval = self.settings.checkpoint_interval;
        let mut held =
            HeldLease::new(lease, delivery.clone(), me, interval, self.identity.elsewhere, &mut self.effects);
        if self.departure.is_some() || !served {
            // Claimed by a request that outlived the wish.
            let why = if served { Why::Shutdown } else { Why::StreamStopped };
            held.release_now(why, &mut self.effects);
        } else {
            self.consumers.insert(key.clone(), delivery.clone());
            self.start.push(delivery);
        }
        self.held.insert(key, held);
        self.tell_leases_held();
    }

    /// How many leases are held, of each stream.
    fn tell_leases_held(&mut self) {
        let (streams, held) = (&self.identity.streams, &self.held);
        let of = |stream: &StreamId| held.keys().filter(|lease| lease.stream().as_ref() == Some(stream)).count();
        let counts: Vec<(Option<StreamId>, usize)> = match streams.ids() {
            None => vec![(None, held.len())],
            Some(ids) => ids.into_iter().map(|id| (Some(id.clone()), of(&id))).collect(),
        };
        for (stream, count) in counts {
            self.effects.tell(CoordinationEvent::LeasesHeld { stream, count });
        }
    }

    // --- what LATEST and AT_TIMESTAMP mean on a row that another hand created

    fn pin(&mut self, lease: Lease) {
        let Some(served) = self.identity.streams.of(&lease.key) else { return };
        match (&lease.checkpoint, served.start) {
            (Checkpoint::AtTimestamp, Start::AtTimestamp(time)) => self.pin_at(&lease, unix_millis(time)),
            (Checkpoint::AtTimestamp, Start::TrimHorizon | Start::Latest) => {
                // Java keeps the instant in its configuration only. Unknown here, so nothing is skipped.
                self.pin_at(&lease, 0);
            }
            _ => {
                self.pins.insert(lease.key.clone(), lease.clone());
                self.ask_for_pin(&lease.key);
            }
        }
    }

    fn pin_at(&mut self, lease: &Lease, start_ms: i64) {
        let Some(served) = self.identity.streams.of(&lease.key) else { return };
        let claim = Claim::pin(lease, served.keys.identity.clone(), start_ms, self.effects.now);
        self.claims.begin(claim, &mut self.effects);
    }

    pub(super) fn ask_for_pin(&mut self, lease: &LeaseKey) {
        if let Some(served) = self.identity.streams.of(lease) {
            let list = Op::List(served.keys.id.clone(), ListWhich::AtLatest);
            self.effects.call(CallId::Pin(lease.clone()), list);
        }
    }

    pub(super) fn on_pin_answer(&mut self, lease: &LeaseKey, answer: Answer) {
        let answered_at = if let Answer::Listing(listing) = answer { listing.answered_at_ms } else { None };
        match answered_at {
            Some(now_ms) => {
                if let Some(row) = self.pins.remove(lease) {
                    self.pin_at(&row, now_ms - LATEST_MARGIN_MS);
                }
            }
            None => self.effects.repeat(CallId::Pin(lease.clone())),
        }
    }

    // --- consumers

    pub(super) fn on_report(&mut self, report: Report) {
        let Report { lease, fencing_token, kind } = report;
        let held = self.held.get_mut(&lease).filter(|held| held.delivery.fencing_token() == fencing_token);
        match kind {
            ReportKind::Drained => {
                if let Some(held) = held {
                    held.on_drained(&mut self.effects);
                }
            }
            ReportKind::Ended(children) => {
                if let Some(held) = held {
                    for row in held.on_ended(children, &mut self.effects) {
                        self.create_child(&lease, &row.key);
                    }
                }
            }
            ReportKind::Write(asked) => {
                // Where it is not held any more the question is dropped with the answer.
                if let Some(held) = held {
                    held.write_now(asked, &mut self.effects);
                }
            }
            ReportKind::GaveUp { reason, stops_with } => {
                if let Some(held) = held {
                    held.release_now(Why::ConsumerGaveUp, &mut self.effects);
                }
                self.effects.tell(CoordinationEvent::ConsumerGaveUp { lease: lease.clone(), reason: reason.clone() });
                // One of several streams that vanished stops nobody.
                if let Some(code) = stops_with
                    && self.identity.streams.of(&lease).is_some()
                {
                    let message = if matches!(code, Code::StoppedByPolicy | Code::CannotRead) {
                        format!("the error policy stopped the worker at shard `{lease}`: {reason}")
                    } else {
                        reason
                    };
                    self.fail(Error::new(code, message));
                }
            }
            ReportKind::Gone => {
                let next = held.and_then(|held| held.on_gone(&mut self.effects));
                if self.consumers.get(&lease).is_some_and(|delivery| delivery.fencing_token() == fencing_token) {
                    self.consumers.remove(&lease);
                }
                if let Some(next) = next {
                    self.consumers.insert(lease.clone(), next.clone());
                    self.start.push(next);
                }
                let out_of_session = self.session.number().is_none() && self.starting.is_none();
                if out_of_session && self.consumers.is_empty() && self.session.is_over() && self.departure.is_none() {
                    self.begin_session();
                }
                if self.departure.is_some() && self.session.number().is_some() {
                    self.effects.remind(CallId::Departure, self.effects.now);
                }
            }
        }
    }

    pub(super) fn on_held_answer(&mut self, lease: &LeaseKey, answer: Answer) {
        let Some(held) = self.held.get_mut(lease) else { return };
        let news = held.on_answer(answer, &mut self.effects);
        let (lasted, parked) = (self.effects.now.since(held.since), held.delivery.quarantined_keys());
        match news {
            held_lease::HeldLeaseEvent::Nothing => return,
            held_lease::HeldLeaseEvent::Checkpointed => {
                return self.effects.tell(CoordinationEvent::Checkpointed { lease: lease.clone() });
            }
            held_lease::HeldLeaseEvent::Released { why } => {
                self.effects.tell(CoordinationEvent::LeaseReleased { lease: lease.clone(), why: why.as_str(), lasted });
                if !parked.is_empty() {
                    let (keys, records) = (parked.len(), parked.iter().map(|key| key.positions.len()).sum());
                    self.effects.tell(CoordinationEvent::ParkedAtRelease { lease: lease.clone(), keys, records });
                }
                if matches!(why, Why::ConsumerGaveUp | Why::Stalled | Why::Unreadable) {
                    // Nobody expects it.
                    self.wake_leader();
                }
            }
            held_lease::HeldLeaseEvent::Lost { why } => {
                self.effects.tell(CoordinationEvent::LeaseLost { lease: lease.clone(), why })
            }
            held_lease::HeldLeaseEvent::Ended { children } => {
                self.effects.tell(CoordinationEvent::ShardEnded { lease: lease.clone(), children: children.len() });
                self.take_up(lease, children);
                self.wake_leader();
            }
        }
        self.held.remove(lease);
        self.effects.forget(&CallId::Held(lease.clone()));
        self.tell_leases_held();
        if self.departure.is_some() && self.held.is_empty() {
            self.effects.remind(CallId::Departure, self.effects.now);
        }
    }

    // --- reshards

    /// Creates a child's row; where it has another parent, only if that one has a row.
    pub(super) fn create_child(&mut self, parent: &LeaseKey, child: &LeaseKey) {
        let Some(row) = self.held.get(parent).and_then(|held| held.missing_child(child)) else { return };
        let part = CallId::Child(parent.clone(), child.clone());
        if row.parents.len() < 2 || mutated!(MergesAlone) {
            return self.effects.write(part, Write::CreateLease(Box::new(row)));
        }
        let parents = row.parents.iter().map(|id| RowKey::Lease(row.sibling(id))).collect();
        self.effects.call(part, Op::Read(parents, Consistency::Strong));
    }

    pub(super) fn on_child_answer(&mut self, parent: &LeaseKey, child: &LeaseKey, answer: &Answer) {
        let Some(held) = self.held.get_mut(parent) else { return };
        let part = CallId::Child(parent.clone(), child.clone());
        match answer {
            Answer::Written(_) => held.on_child(child, &mut self.effects),
            Answer::Rows(rows) if rows.iter().all(Option::is_some) => {
                if let Some(row) = held.missing_child(child) {
                    self.effects.write(part, Write::CreateLease(Box::new(row)));
                }
            }
            // The other parent's own parent is not finished yet: a child seen without it would be read too early.
            // Whoever finishes the other parent creates the child, or the list of every minute does.
            Answer::Rows(_) => held.on_child(child, &mut self.effects),
            Answer::Failed(_) | Answer::Table(_) | Answer::Page(_) | Answer::Listing(_) => {
                self.effects.repeat(part);
            }
        }
    }

    /// Claims the children of a finished shard whose parents are all done, without waiting for a plan.
    fn take_up(&mut self, finished: &LeaseKey, children: Vec<Shard>) {
        if self.departure.is_some() {
            return;
        }
        let (alone, of_two): (Vec<Shard>, Vec<Shard>) = children.into_iter().partition(|child| child.parents.len() < 2);
        for child in alone {
            self.claim_child(finished, &child);
        }
        if !of_two.is_empty() {
            self.orphaned.insert(finished.clone(), of_two);
            self.look_at_parents(finished);
        }
    }

    fn claim_child(&mut self, finished: &LeaseKey, child: &Shard) {
        let lease = self.identity.streams.sibling_key(finished, &child.id);
        let Some(served) = self.identity.streams.of(&lease) else { return };
        if !self.held.contains_key(&lease) && !self.claims.contains(&lease) {
            let claim = Claim::of_child(lease, served.keys.identity.clone(), self.effects.now);
            self.claims.begin(claim, &mut self.effects);
        }
    }

    pub(super) fn look_at_parents(&mut self, finished: &LeaseKey) {
        if let Some(children) = self.orphaned.get(finished) {
            let parents = children.iter().flat_map(|child| &child.parents);
            let keys = parents.map(|id| RowKey::Lease(self.identity.streams.sibling_key(finished, id)));
            let part = CallId::Parents(finished.clone());
            self.effects.call(part, Op::Read(keys.collect(), Consistency::Strong));
        }
    }

    pub(super) fn on_parents_answer(&mut self, finished: &LeaseKey, answer: Answer) {
        let Answer::Rows(rows) = answer else {
            return self.effects.repeat(CallId::Parents(finished.clone()));
        };
        let children = self.orphaned.remove(finished).unwrap_or_default();
        let done: Vec<_> = rows
            .into_iter()
            .flatten()
            .filter_map(|row| row.as_lease().filter(|lease| lease.checkpoint.is_shard_end()).map(|l| l.shard.clone()))
            .collect();
        // Of two finishers at least one reads the other's end; the other one's children are taken up there. A parent
        // without a row may be one to come: the leader knows.
        let all_done = |child: &&Shard| child.parents.iter().all(|parent| done.contains(parent));
        for child in children.iter().filter(|child| all_done(child) || mutated!(MergesAlone)) {
            self.claim_child(finished, child);
        }
    }
}

fn needs_pin(lease: &Lease) -> bool {
    matches!(lease.checkpoint, Checkpoint::Latest | Checkpoint::AtTimestamp)
}

/// Where a lease's consumer starts.
pub(super) fn starting_position(lease: &Lease) -> StartingPosition {
    match (&lease.checkpoint, lease.start_ms) {
        (Checkpoint::At(position), _) => StartingPosition::After(position.clone()),
        (Checkpoint::Latest | Checkpoint::AtTimestamp, Some(ms)) if ms > 0 => StartingPosition::AtTimestamp(ms),
        (Checkpoint::TrimHorizon | Checkpoint::Latest | Checkpoint::AtTimestamp | Checkpoint::ShardEnd, _) => {
            StartingPosition::TrimHorizon
        }
    }
}
