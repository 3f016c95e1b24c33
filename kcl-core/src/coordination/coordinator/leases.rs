//! Connects leases with assignments, claims, consumers and reshards.

use super::Coordinator;
use crate::coordination::assignment_reader::AssignmentEvent;
use crate::coordination::backoff::RetryPolicy;
use crate::coordination::call::{CallId, LeaseCall, LeaseTimer, Op, Reply, Rows, TimerId};
use crate::coordination::claim::{Claim, ClaimEvent};
use crate::coordination::event::CoordinationEvent;
use crate::coordination::held_lease::{HeldLease, HeldLeaseEvent, Why};
use crate::coordination::start::of_range;
use crate::coordination::start_pins::StartPins;
use crate::error::{Code, Error};
use crate::lease::row::{Assignment, Lease, LeaseKey, Owner, RowKey};
use crate::lease::{Consistency, Write, Written};
use crate::processor::{ClaimSnapshot, Report, ReportKind};
use crate::record::{Checkpoint, StartingPosition, StreamId};
use crate::shard::{Listing, Shard};
use std::time::Duration;

impl Coordinator {
    // --- assignments

    pub(super) fn on_assignment_row(&mut self, answer: Reply<Rows>) {
        match self.per_session.assignment.on_row(answer, self.fleet_poll.fleet(), self.effects.now) {
            AssignmentEvent::Nothing => {}
            AssignmentEvent::Obey(assignment) => self.obey(&assignment),
            AssignmentEvent::Damaged(damaged) => {
                self.effects.emit(CoordinationEvent::damaged(&damaged));
                self.wake_leader();
            }
        }
    }

    fn obey(&mut self, assignment: &Assignment) {
        let now = self.effects.now;
        let handoff = now + self.settings.handoff_timeout;
        let deadline = self.shutdown.departure().map_or(handoff, |departure| handoff.min(departure.deadline()));
        for release in &assignment.yields {
            let held = self.per_session.held.get_mut(&release.lease);
            if let Some(held) = held.filter(|held| held.is_meant_by(release)) {
                held.drain(Why::Planned, deadline, &mut self.effects);
                if let Some(departure) = self.shutdown.departure_mut() {
                    departure.leader_moves_lease(now);
                }
            }
        }
        if self.shutdown.is_requested() {
            return self.per_session.shard_sync.follow(&[], &mut self.effects);
        }
        self.per_session.shard_sync.follow(&assignment.lists, &mut self.effects);
        self.per_session.claims.follow(&assignment.acquires, &mut self.effects);
        for acquire in &assignment.acquires {
            // The leader learns from the session's row which streams this worker serves.
            let Some(served) = self.identity.streams.of(&acquire.lease) else { continue };
            if !self.watchdog.refuses(&acquire.lease) && !self.has(&acquire.lease) {
                let stream = served.keys.identity.clone();
                self.per_session.claims.begin(Claim::new(acquire, stream, now), &mut self.effects);
            }
        }
    }

    /// Whether the lease is held or claimed.
    fn has(&self, lease: &LeaseKey) -> bool {
        self.per_session.held.contains_key(lease) || self.per_session.claims.contains(lease)
    }

    // --- claims

    /// Sends the claims that there is room for.
    pub(super) fn send_claims(&mut self) {
        if let Some(number) = self.session.number() {
            let (consumers, effects) = (&self.consumers, &mut self.effects);
            let overlap = mutated!(ConsumersOverlap);
            self.per_session.claims.send(number, |lease| consumers.contains(lease) && !overlap, effects);
        }
    }

    pub(super) fn on_claim_answer(&mut self, lease: &LeaseKey, answer: Reply<Written>) {
        let Some(number) = self.session.number() else { return };
        match self.per_session.claims.on_answer(lease, answer, number, &mut self.effects) {
            ClaimEvent::Held { lease, from, waited } => self.on_claimed(*lease, from, waited),
            ClaimEvent::Edited => self.wake_leader(),
            ClaimEvent::Nothing | ClaimEvent::Ready | ClaimEvent::Dropped => {}
        }
    }

    /// This session owns the lease: its consumer is started.
    fn on_claimed(&mut self, lease: Lease, from: Option<Owner>, waited: Duration) {
        let Some(number) = self.session.number() else { return };
        let key = lease.key.clone();
        if let Some(served) = self.identity.streams.of(&key)
            && let Err(error) = of_range(&self.identity.table, &lease, served.keys.until_ms)
        {
            // Another fleet that began at the same instant created it, for another range. No record of it is read here.
            self.fail(error);
        }
        let streams = &self.identity.streams;
        // A stream in another Region that was created in the same second under the same name has the same lease keys.
        let served = streams.of(&key).is_some_and(|served| {
            !streams.are_several() || lease.stream.as_ref().is_none_or(|stream| *stream == served.keys.identity)
        });
        if StartPins::needs_pin(&lease) && served && !self.shutdown.is_requested() {
            return self.pin(lease);
        }
        let fencing_token = lease.counter;
        self.effects.emit(CoordinationEvent::LeaseAcquired { lease: key.clone(), from, fencing_token, waited });
        let claim = ClaimSnapshot::of(key.clone(), lease.shard.clone(), fencing_token, starting_position(&lease));
        let claim = claim.with_extras(&lease, self.settings.max_quarantined, self.settings.store_completed_ranges);
        let delivery = self.consumers.delivery_of(claim);
        let me = (self.identity.me.clone(), number);
        let interval = self.settings.checkpoint_interval;
        let mut held =
            HeldLease::new(lease, delivery.clone(), me, interval, self.identity.elsewhere, &mut self.effects);
        if self.shutdown.is_requested() || !served {
            // A late claim succeeded after this worker no longer wanted the lease.
            let why = if served { Why::Shutdown } else { Why::StreamStopped };
            held.release_now(why, &mut self.effects);
        } else {
            self.consumers.start(key.clone(), delivery);
        }
        self.per_session.held.insert(key, held);
        self.emit_leases_held();
    }

    /// Emits the number of leases held of each stream.
    fn emit_leases_held(&mut self) {
        let (streams, held) = (&self.identity.streams, &self.per_session.held);
        let of = |stream: &StreamId| held.keys().filter(|lease| lease.stream().as_ref() == Some(stream)).count();
        let counts: Vec<(Option<StreamId>, usize)> = match streams.ids() {
            None => vec![(None, held.len())],
            Some(ids) => ids.into_iter().map(|id| (Some(id.clone()), of(&id))).collect(),
        };
        for (stream, count) in counts {
            self.effects.emit(CoordinationEvent::LeasesHeld { stream, count });
        }
    }

    // --- the start of a lease that an external writer created

    fn pin(&mut self, lease: Lease) {
        let Some(served) = self.identity.streams.of(&lease.key) else { return };
        if let Some(start_ms) = self.per_session.start_pins.instant_of(lease.clone(), served, &mut self.effects) {
            self.pin_at(&lease, start_ms);
        }
    }

    fn pin_at(&mut self, lease: &Lease, start_ms: i64) {
        let Some(served) = self.identity.streams.of(&lease.key) else { return };
        let claim = Claim::pin(lease, served.keys.identity.clone(), start_ms, self.effects.now);
        self.per_session.claims.begin(claim, &mut self.effects);
    }

    pub(super) fn ask_start_time(&mut self, lease: LeaseKey) {
        if let Some(served) = self.identity.streams.of(&lease) {
            StartPins::ask(lease, served, &mut self.effects);
        }
    }

    pub(super) fn on_start_time(&mut self, lease: &LeaseKey, answer: Reply<Listing>) {
        if let Some((lease, start_ms)) = self.per_session.start_pins.on_listing(lease, answer, &mut self.effects) {
            self.pin_at(&lease, start_ms);
        }
    }

    // --- consumers

    pub(super) fn on_report(&mut self, report: Report) {
        let Report { lease, fencing_token, kind } = report;
        let held = self.per_session.held.get_mut(&lease);
        let held = held.filter(|held| held.delivery.fencing_token() == fencing_token);
        let effects = &mut self.effects;
        match kind {
            ReportKind::Drained => {
                if let Some(held) = held {
                    held.on_drained(effects);
                }
            }
            ReportKind::Ended(children) => {
                if let Some(held) = held {
                    for row in held.on_ended(children, effects) {
                        self.create_child(&lease, row.key);
                    }
                }
            }
            ReportKind::Write(asked) => {
                // Otherwise the request is dropped, and the handler that waits sees that its lease is lost.
                if let Some(held) = held {
                    held.write_now(asked, effects);
                }
            }
            ReportKind::GaveUp { reason, stops_with } => {
                if let Some(held) = held {
                    held.release_now(Why::ConsumerGaveUp, effects);
                }
                effects.emit(CoordinationEvent::ConsumerGaveUp { lease: lease.clone(), reason: reason.clone() });
                self.on_consumer_gave_up(&lease, reason, stops_with);
            }
            ReportKind::Gone => {
                if let Some(next) = held.and_then(|held| held.on_gone(effects)) {
                    self.consumers.start(lease, next);
                } else {
                    self.consumers.on_gone(&lease, fencing_token);
                }
                self.on_consumer_gone();
            }
        }
    }

    fn on_consumer_gave_up(&mut self, lease: &LeaseKey, reason: String, stops_with: Option<Code>) {
        // The consumers of a stream, of several, that no longer exists do not stop the worker.
        let Some(code) = stops_with.filter(|_| self.identity.streams.of(lease).is_some()) else { return };
        let message = if matches!(code, Code::StoppedByPolicy | Code::CannotRead) {
            format!("the error policy stopped the worker at shard `{lease}`: {reason}")
        } else {
            reason
        };
        self.fail(Error::new(code, message));
    }

    fn on_consumer_gone(&mut self) {
        let has_session = self.session.number().is_some();
        let waited_for = !has_session && !self.startup.is_under_way() && self.session.is_over();
        if waited_for && self.consumers.is_empty() && !self.shutdown.is_requested() {
            self.begin_session();
        }
        if has_session && self.shutdown.is_requested() {
            self.continue_departure();
        }
    }

    // --- held leases

    pub(super) fn on_held_answer(&mut self, lease: &LeaseKey, answer: Reply<Written>) {
        let Some(held) = self.per_session.held.get_mut(lease) else { return };
        let event = held.on_answer(answer, &mut self.effects);
        let (lasted, parked) = (self.effects.now.since(held.since), held.delivery.quarantined_keys());
        match event {
            HeldLeaseEvent::Nothing => return,
            HeldLeaseEvent::Checkpointed => {
                return self.effects.emit(CoordinationEvent::Checkpointed { lease: lease.clone() });
            }
            HeldLeaseEvent::Released { why } => {
                self.effects.emit(CoordinationEvent::LeaseReleased { lease: lease.clone(), why: why.as_str(), lasted });
                if !parked.is_empty() {
                    let (keys, records) = (parked.len(), parked.iter().map(|key| key.positions.len()).sum());
                    self.effects.emit(CoordinationEvent::ParkedAtRelease { lease: lease.clone(), keys, records });
                }
                if matches!(why, Why::ConsumerGaveUp | Why::Stalled | Why::Unreadable) {
                    // The leader does not know about this release yet.
                    self.wake_leader();
                }
            }
            HeldLeaseEvent::Lost { why } => {
                self.effects.emit(CoordinationEvent::LeaseLost { lease: lease.clone(), why });
            }
            HeldLeaseEvent::Ended { children } => {
                self.effects.emit(CoordinationEvent::ShardEnded { lease: lease.clone(), children: children.len() });
                self.claim_children(lease, children);
                self.wake_leader();
            }
        }
        self.per_session.held.remove(lease);
        self.effects.clear_timer(&TimerId::Lease(lease.clone(), LeaseTimer::Write));
        self.emit_leases_held();
        if self.shutdown.is_requested() && self.per_session.held.is_empty() {
            self.continue_departure();
        }
    }

    // --- reshards

    /// Creates a child's row. The row of a child with two parents is created only if both parents have rows.
    pub(super) fn create_child(&mut self, parent: &LeaseKey, child: LeaseKey) {
        let held = self.per_session.held.get(parent);
        let Some(row) = held.and_then(|held| held.missing_child(&child)) else { return };
        if row.parents.len() < 2 || mutated!(MergesAlone) {
            let id = CallId::Lease(parent.clone(), LeaseCall::CreateChild(child));
            return self.effects.write(id, Write::CreateLease(Box::new(row)));
        }
        let parents = row.parents.iter().map(|id| RowKey::Lease(row.sibling(id))).collect();
        let id = CallId::Lease(parent.clone(), LeaseCall::ParentsOf(child));
        self.effects.call(id, Op::Read(parents, Consistency::Strong));
    }

    pub(super) fn on_parents_of(&mut self, parent: &LeaseKey, child: LeaseKey, answer: Reply<Rows>) {
        let Some(held) = self.per_session.held.get_mut(parent) else { return };
        match answer {
            Ok(rows) if rows.iter().all(Option::is_some) => {
                if let Some(row) = held.missing_child(&child) {
                    let id = CallId::Lease(parent.clone(), LeaseCall::CreateChild(child));
                    self.effects.write(id, Write::CreateLease(Box::new(row)));
                }
            }
            // The other parent has no row yet, as its own parent is not finished: a child without that parent's row would
            // be read too early. The owner that finishes the other parent creates the child, or the shard sync does.
            Ok(_) => held.on_child(&child, &mut self.effects),
            Err(_) => self.retry_child(parent, child),
        }
    }

    pub(super) fn on_child_created(&mut self, parent: &LeaseKey, child: LeaseKey, answer: Reply<Written>) {
        let Some(held) = self.per_session.held.get_mut(parent) else { return };
        match answer {
            // Also if the write was refused: another worker has created the row.
            Ok(_) => held.on_child(&child, &mut self.effects),
            Err(_) => self.retry_child(parent, child),
        }
    }

    fn retry_child(&mut self, parent: &LeaseKey, child: LeaseKey) {
        let timer = TimerId::Lease(parent.clone(), LeaseTimer::CreateChild(child));
        self.effects.retry(timer, RetryPolicy::CALL);
    }

    /// Claims the children of an ended shard whose parents have all ended, without waiting for an assignment.
    fn claim_children(&mut self, ended: &LeaseKey, children: Vec<Shard>) {
        if self.shutdown.is_requested() {
            return;
        }
        let streams = &self.identity.streams;
        for child in self.per_session.reshards.on_ended(ended, children, streams, &mut self.effects) {
            self.claim_child(ended, &child);
        }
    }

    pub(super) fn on_childrens_parents(&mut self, ended: &LeaseKey, answer: Reply<Rows>) {
        for child in self.per_session.reshards.on_parents(ended, answer, &mut self.effects) {
            self.claim_child(ended, &child);
        }
    }

    fn claim_child(&mut self, ended: &LeaseKey, child: &Shard) {
        let lease = self.identity.streams.sibling_key(ended, &child.id);
        let Some(served) = self.identity.streams.of(&lease) else { return };
        if !self.has(&lease) {
            let claim = Claim::of_child(lease, served.keys.identity.clone(), self.effects.now);
            self.per_session.claims.begin(claim, &mut self.effects);
        }
    }
}

/// The position from which a lease's consumer starts.
pub(super) fn starting_position(lease: &Lease) -> StartingPosition {
    match (&lease.checkpoint, lease.start_ms) {
        (Checkpoint::At(position), _) => StartingPosition::After(position.clone()),
        (Checkpoint::Latest | Checkpoint::AtTimestamp, Some(ms)) if ms > 0 => StartingPosition::AtTimestamp(ms),
        (Checkpoint::TrimHorizon | Checkpoint::Latest | Checkpoint::AtTimestamp | Checkpoint::ShardEnd, _) => {
            StartingPosition::TrimHorizon
        }
    }
}
