//! Sends all claims of this worker: a bounded number at once, in the order of their keys.

use super::backoff::RetryPolicy;
use super::call::{CallId, Op, Reply, Rows, TimerId};
use super::claim::{Claim, ClaimEvent};
use super::effects::Effects;
use super::intervals;
use crate::lease::Consistency;
use crate::lease::row::{Acquire, LeaseKey, RowKey, SessionNumber, WorkerId};
use crate::lease::{Row, Written};
use crate::record::StreamId;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug)]
pub(crate) struct Claims {
    me: WorkerId,
    most_in_flight: usize,
    open: BTreeMap<LeaseKey, Claim>,
    ready: BTreeSet<LeaseKey>,
    in_flight: usize,
    /// The awaited leases that the call under way reads, in its order.
    reading: Option<Vec<LeaseKey>>,
}

impl Claims {
    pub(crate) fn new(me: WorkerId, most_in_flight: usize) -> Self {
        let (open, ready) = (BTreeMap::new(), BTreeSet::new());
        Claims { me, most_in_flight, open, ready, in_flight: 0, reading: None }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    pub(crate) fn contains(&self, lease: &LeaseKey) -> bool {
        self.open.contains_key(lease)
    }

    pub(crate) fn begin(&mut self, claim: Claim, effects: &mut Effects) {
        if claim.awaits_owner() {
            self.read_soon(effects);
        } else {
            self.ready.insert(claim.lease.clone());
        }
        self.open.insert(claim.lease.clone(), claim);
    }

    /// Follows a new version of the assignment. Claims that it no longer names are dropped, unless an attempt may still
    /// be applied.
    pub(crate) fn follow(&mut self, acquires: &[Acquire], effects: &mut Effects) {
        let named: BTreeMap<&LeaseKey, &Acquire> = acquires.iter().map(|take| (&take.lease, take)).collect();
        let mut awaits = false;
        self.open.retain(|lease, claim| {
            if let Some(take) = named.get(lease) {
                claim.follow(take);
                if claim.is_ready() {
                    self.ready.insert(lease.clone());
                }
                awaits |= claim.awaits_owner();
                return true;
            }
            !(claim.planned && claim.is_settled())
        });
        self.ready.retain(|lease| self.open.contains_key(lease));
        if awaits {
            self.read_soon(effects);
        }
    }

    /// Drops all claims of which no attempt can still be applied: this worker shuts down.
    pub(crate) fn cancel(&mut self) {
        self.open.retain(|_, claim| !claim.is_settled());
        self.ready.retain(|lease| self.open.contains_key(lease));
    }

    /// Does the same for the leases of one stream, which this worker no longer serves.
    pub(crate) fn cancel_stream(&mut self, stream: &StreamId) {
        self.open.retain(|lease, claim| !claim.is_settled() || lease.stream().as_ref() != Some(stream));
        self.ready.retain(|lease| self.open.contains_key(lease));
    }

    /// Whether there are claims of a stream's leases.
    pub(crate) fn has_any_of(&self, stream: &StreamId) -> bool {
        self.open.keys().any(|lease| lease.stream().as_ref() == Some(stream))
    }

    /// Sends the claims that there is room for, except for leases whose former consumer still runs in this process.
    pub(crate) fn send(&mut self, session: SessionNumber, runs: impl Fn(&LeaseKey) -> bool, effects: &mut Effects) {
        while self.in_flight < self.most_in_flight {
            let Some(lease) = self.ready.iter().find(|lease| !runs(lease)).cloned() else { return };
            self.ready.remove(&lease);
            if let Some(claim) = self.open.get_mut(&lease).filter(|claim| claim.is_ready() || claim.is_pausing()) {
                claim.send(&self.me, session, effects);
                self.in_flight += 1;
            }
        }
    }

    pub(crate) fn on_timer(&mut self, lease: &LeaseKey) {
        if self.open.get(lease).is_some_and(Claim::is_pausing) {
            self.ready.insert(lease.clone());
        }
    }

    pub(crate) fn on_answer(
        &mut self,
        lease: &LeaseKey,
        answer: Reply<Written>,
        session: SessionNumber,
        effects: &mut Effects,
    ) -> ClaimEvent {
        let Some(claim) = self.open.get_mut(lease).filter(|claim| claim.is_in_flight()) else {
            return ClaimEvent::Nothing;
        };
        self.in_flight = self.in_flight.saturating_sub(1);
        let event = claim.on_answer(answer, &self.me, session, effects);
        if matches!(event, ClaimEvent::Held { .. } | ClaimEvent::Dropped | ClaimEvent::Edited) {
            self.open.remove(lease);
        }
        event
    }

    fn read_soon(&self, effects: &mut Effects) {
        if self.reading.is_none() {
            effects.set_timer(TimerId::AwaitedLeases, effects.now);
        }
    }

    /// Reads the leases whose owners are to release them.
    pub(crate) fn on_read_timer(&mut self, effects: &mut Effects) {
        let awaited: Vec<LeaseKey> =
            self.open.values().filter(|claim| claim.awaits_owner()).map(|claim| claim.lease.clone()).collect();
        if awaited.is_empty() {
            return;
        }
        let keys = awaited.iter().cloned().map(RowKey::Lease).collect();
        self.reading = Some(awaited);
        // A stale read costs one more round at most: the claim itself is conditional.
        effects.call(CallId::AwaitedLeases, Op::Read(keys, Consistency::Eventual));
    }

    pub(crate) fn on_read(&mut self, answer: Reply<Rows>, effects: &mut Effects) {
        let leases = self.reading.take().unwrap_or_default();
        let Ok(rows) = answer else { return effects.retry(TimerId::AwaitedLeases, RetryPolicy::CALL) };
        effects.set_timer(TimerId::AwaitedLeases, effects.now + intervals::AWAITED_LEASES);
        for (lease, row) in leases.iter().zip(&rows) {
            self.on_row(lease, row.as_ref());
        }
    }

    fn on_row(&mut self, lease: &LeaseKey, row: Option<&Row>) {
        let Some(claim) = self.open.get_mut(lease) else { return };
        match claim.on_row(row) {
            ClaimEvent::Ready => {
                self.ready.insert(lease.clone());
            }
            ClaimEvent::Dropped | ClaimEvent::Edited => {
                self.open.remove(lease);
            }
            ClaimEvent::Nothing | ClaimEvent::Held { .. } => {}
        }
    }
}
