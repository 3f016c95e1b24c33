//! All claims under way: a bounded number at once, the rest in order of their keys.

use super::claim::{Claim, ClaimEvent};
use super::effects::{Answer, CallId, Effects, Op};
use crate::lease::Consistency;
use crate::lease::Row;
use crate::lease::row::{Acquire, LeaseKey, RowKey, SessionNumber, WorkerId};
use crate::record::StreamId;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Between two looks at the leases that are awaited.
const LOOK_EVERY: Duration = Duration::from_millis(200);

#[derive(Debug)]
pub(crate) struct Claims {
    me: WorkerId,
    most_in_flight: usize,
    open: BTreeMap<LeaseKey, Claim>,
    ready: BTreeSet<LeaseKey>,
    in_flight: usize,
    /// The leases that the look under way asks for, in its order.
    looking: Option<Vec<LeaseKey>>,
}

impl Claims {
    pub(crate) fn new(me: WorkerId, most_in_flight: usize) -> Self {
        let (open, ready) = (BTreeMap::new(), BTreeSet::new());
        Claims { me, most_in_flight, open, ready, in_flight: 0, looking: None }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    pub(crate) fn contains(&self, lease: &LeaseKey) -> bool {
        self.open.contains_key(lease)
    }

    pub(crate) fn begin(&mut self, claim: Claim, effects: &mut Effects) {
        if claim.awaits_owner() {
            self.look_soon(effects);
        } else {
            self.ready.insert(claim.lease.clone());
        }
        self.open.insert(claim.lease.clone(), claim);
    }

    /// The plan, as it is now: what it does not name any more is dropped, unless it may be applied yet.
    pub(crate) fn follow(&mut self, acquires: &[Acquire], effects: &mut Effects) {
        let named: BTreeMap<&LeaseKey, &Acquire> = acquires.iter().map(|take| (&take.lease, take)).collect();
        let mut look = false;
        self.open.retain(|lease, claim| {
            if let Some(take) = named.get(lease) {
                claim.follow(take);
                if claim.is_ready() {
                    self.ready.insert(lease.clone());
                }
                look |= claim.awaits_owner();
                return true;
            }
            !(claim.planned && claim.is_settled())
        });
        self.ready.retain(|lease| self.open.contains_key(lease));
        if look {
            self.look_soon(effects);
        }
    }

    /// Drops whatever cannot be applied any more: this worker acquires nothing more.
    pub(crate) fn give_up(&mut self) {
        self.open.retain(|_, claim| !claim.is_settled());
        self.ready.retain(|lease| self.open.contains_key(lease));
    }

    /// Drops whatever cannot be applied any more of a stream that is not served any more.
    pub(crate) fn give_up_stream(&mut self, stream: &StreamId) {
        self.open.retain(|lease, claim| !claim.is_settled() || lease.stream().as_ref() != Some(stream));
        self.ready.retain(|lease| self.open.contains_key(lease));
    }

    /// Whether there are claims of a stream's leases.
    pub(crate) fn has_any_of(&self, stream: &StreamId) -> bool {
        self.open.keys().any(|lease| lease.stream().as_ref() == Some(stream))
    }

    pub(crate) fn clear(&mut self) {
        self.open.clear();
        self.ready.clear();
        self.in_flight = 0;
        self.looking = None;
    }

    /// Sends what there is room for, except for leases whose old consumer is not gone yet.
    pub(crate) fn send(&mut self, session: SessionNumber, old: impl Fn(&LeaseKey) -> bool, effects: &mut Effects) {
        while self.in_flight < self.most_in_flight {
            let Some(lease) = self.ready.iter().find(|lease| !old(lease)).cloned() else { return };
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
        answer: Answer,
        session: SessionNumber,
        effects: &mut Effects,
    ) -> ClaimEvent {
        let Some(claim) = self.open.get_mut(lease).filter(|claim| claim.is_in_flight()) else {
            return ClaimEvent::Nothing;
        };
        self.in_flight = self.in_flight.saturating_sub(1);
        let news = claim.on_answer(answer, &self.me, session, effects);
        if matches!(news, ClaimEvent::Held { .. } | ClaimEvent::Dropped) {
            self.open.remove(lease);
        }
        news
    }

    fn look_soon(&self, effects: &mut Effects) {
        if self.looking.is_none() {
            effects.remind(CallId::Awaited, effects.now);
        }
    }

    pub(crate) fn on_look_timer(&mut self, effects: &mut Effects) {
        let awaited: Vec<LeaseKey> =
            self.open.values().filter(|claim| claim.awaits_owner()).map(|claim| claim.lease.clone()).collect();
        if awaited.is_empty() {
            return;
        }
        let keys = awaited.iter().cloned().map(RowKey::Lease).collect();
        self.looking = Some(awaited);
        effects.call(CallId::Awaited, Op::Read(keys, Consistency::Eventual));
    }

    pub(crate) fn on_look(&mut self, answer: Answer, effects: &mut Effects) {
        let looked = self.looking.take().unwrap_or_default();
        let Answer::Rows(rows) = answer else { return effects.repeat(CallId::Awaited) };
        effects.remind(CallId::Awaited, effects.now + LOOK_EVERY);
        for (lease, row) in looked.iter().zip(&rows) {
            self.on_look_at(lease, row.as_ref());
        }
    }

    fn on_look_at(&mut self, lease: &LeaseKey, row: Option<&Row>) {
        let Some(claim) = self.open.get_mut(lease) else { return };
        match claim.look(row) {
            ClaimEvent::Ready => {
                self.ready.insert(lease.clone());
            }
            ClaimEvent::Dropped => {
                self.open.remove(lease);
            }
            ClaimEvent::Nothing | ClaimEvent::Held { .. } => {}
        }
    }
}
