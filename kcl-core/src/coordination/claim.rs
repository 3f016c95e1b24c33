//! Tracks one claim, from the instruction to acquire a lease until this worker or another one holds it.

use super::backoff::RetryPolicy;
use super::call::{CallId, Failure, LeaseCall, LeaseTimer, Reply, TimerId};
use super::effects::Effects;
use crate::clock::Time;
use crate::lease::row::{Acquire, AcquireMode, Lease, LeaseKey, Owner, SessionNumber, WorkerId};
use crate::lease::{PreviousOwner, Row, Write, Written};
use crate::record::StreamIdentity;
use std::time::Duration;

/// A claim of one lease. A request may be applied long after its sender gave it up, so an attempt without an answer is
/// repeated until the lease's counter has moved, even if the assignment no longer names the lease
/// (docs/protocol/claiming.md).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) lease: LeaseKey,
    /// The lease's stream, for a row that does not name it.
    stream: StreamIdentity,
    owner: Option<Owner>,
    counter: u64,
    mode: AcquireMode,
    state: State,
    pub(crate) since: Time,
    /// Whether the assignment asked for it; else this worker's own reshard or pin did.
    pub(crate) planned: bool,
    /// The instant that LATEST or AT_TIMESTAMP mean, for a row that does not have it.
    start_ms: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Until the owner releases the lease, or there is room for another call.
    Waiting,
    /// For an answer. `unsettled`: an earlier attempt with this counter got none.
    Asked { unsettled: bool },
    /// Until the attempt is repeated; `unsettled` as above.
    Pausing { unsettled: bool },
}

/// The outcome of one step of a claim.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ClaimEvent {
    /// The claim goes on.
    Nothing,
    /// The claim may be sent when there is room.
    Ready,
    /// This worker holds the lease. Its row, and the previous owner.
    Held { lease: Box<Lease>, from: Option<Owner>, waited: Duration },
    /// The lease has another owner, is finished, or is gone.
    Dropped,
    /// An external writer changed the row without increasing its counter, so the claim is dropped.
    /// The leader must read the table: it knows the row as it was before.
    Edited,
}

impl Claim {
    pub(crate) fn new(take: &Acquire, stream: StreamIdentity, now: Time) -> Self {
        Claim {
            lease: take.lease.clone(),
            stream,
            owner: take.owner.clone(),
            counter: take.counter,
            mode: take.mode,
            state: State::Waiting,
            since: now,
            planned: true,
            start_ms: None,
        }
    }

    /// A claim of a lease that this worker already owns, to pin the instant that its sentinel means.
    pub(crate) fn pin(lease: &Lease, stream: StreamIdentity, start_ms: i64, now: Time) -> Self {
        Claim {
            lease: lease.key.clone(),
            stream,
            owner: lease.owner.clone(),
            counter: lease.counter,
            mode: AcquireMode::Now,
            state: State::Waiting,
            since: now,
            planned: false,
            start_ms: Some(start_ms),
        }
    }

    /// A claim of a child by the worker that finished its last parent.
    pub(crate) fn of_child(lease: LeaseKey, stream: StreamIdentity, now: Time) -> Self {
        let take = Acquire { lease, owner: None, counter: 0, mode: AcquireMode::Now };
        Claim { planned: false, ..Claim::new(&take, stream, now) }
    }

    /// Whether the claim waits for the owner to release the lease.
    pub(crate) fn awaits_owner(&self) -> bool {
        self.state == State::Waiting && self.mode == AcquireMode::After && self.owner.is_some()
    }

    /// Whether the claim may be sent now, for the first time.
    pub(crate) fn is_ready(&self) -> bool {
        self.state == State::Waiting && !self.awaits_owner()
    }

    /// Whether the claim may be sent again.
    pub(crate) fn is_pausing(&self) -> bool {
        matches!(self.state, State::Pausing { .. })
    }

    /// Whether the assignment may still change the claim: no attempt was sent that could be applied later.
    pub(crate) fn is_settled(&self) -> bool {
        matches!(self.state, State::Waiting | State::Pausing { unsettled: false })
    }

    pub(crate) fn is_in_flight(&self) -> bool {
        matches!(self.state, State::Asked { .. })
    }

    /// Follows a new version of the assignment.
    pub(crate) fn follow(&mut self, take: &Acquire) {
        // This worker may have read the owner's release before the leader did. In all other cases the assignment is
        // newer, also where its counter is lower: then an external writer restored an old row.
        let released = self.owner.is_none() && take.owner.is_some() && take.counter < self.counter;
        if self.is_settled() && !released {
            self.owner = take.owner.clone();
            self.counter = take.counter;
            self.mode = take.mode;
            // Not `Pausing`: the new instruction may be to wait for an owner's release.
            self.state = State::Waiting;
        }
    }

    /// A read showed the lease's row while its owner has yet to release it.
    pub(crate) fn on_row(&mut self, row: Option<&Row>) -> ClaimEvent {
        if !self.awaits_owner() {
            return ClaimEvent::Nothing;
        }
        match row {
            None => ClaimEvent::Dropped,
            Some(Row::Lease(lease)) if lease.checkpoint.is_shard_end() => ClaimEvent::Dropped,
            Some(Row::Lease(lease)) if lease.counter < self.counter => ClaimEvent::Nothing,
            Some(Row::Lease(lease)) if lease.owner.is_none() => {
                self.owner = None;
                self.counter = lease.counter;
                ClaimEvent::Ready
            }
            Some(Row::Lease(lease)) if lease.owner == self.owner => {
                self.counter = lease.counter;
                ClaimEvent::Nothing
            }
            Some(_) => ClaimEvent::Dropped,
        }
    }

    /// Sends the attempt.
    pub(crate) fn send(&mut self, me: &WorkerId, session: SessionNumber, effects: &mut Effects) {
        let unsettled = matches!(self.state, State::Pausing { unsettled: true });
        self.state = State::Asked { unsettled };
        let write = Write::Claim {
            lease: self.lease.clone(),
            counter: self.counter,
            from: PreviousOwner::from(self.owner.clone()),
            me: (me.clone(), session),
            stream: self.stream.clone(),
            start_ms: self.start_ms,
        };
        effects.write(CallId::Lease(self.lease.clone(), LeaseCall::Claim), write);
    }

    fn timer(&self) -> TimerId {
        TimerId::Lease(self.lease.clone(), LeaseTimer::Claim)
    }

    pub(crate) fn on_answer(
        &mut self,
        answer: Reply<Written>,
        me: &WorkerId,
        session: SessionNumber,
        effects: &mut Effects,
    ) -> ClaimEvent {
        let State::Asked { unsettled } = self.state else { return ClaimEvent::Nothing };
        let written = match answer {
            Ok(written) => written,
            Err(Failure::Unanswered) if mutated!(ForgetsClaims) => return ClaimEvent::Dropped,
            Err(failure) => {
                self.state = State::Pausing { unsettled: unsettled || failure != Failure::Throttled };
                effects.retry(self.timer(), RetryPolicy::CLAIM);
                return ClaimEvent::Nothing;
            }
        };
        let (Written::Applied(row) | Written::Refused(row)) = &written;
        let Some(lease) = row.as_ref().and_then(Row::as_lease) else { return ClaimEvent::Dropped };
        if lease.counter < self.counter {
            // The answer to a write is never stale, so an external writer restored an old row. Should an attempt be
            // applied after all, the leader repeats the assignment to the owner that the row names.
            return ClaimEvent::Edited;
        }
        let mine = lease.is_held_by(me, session);
        if mine && matches!(written, Written::Refused(_)) && mutated!(ForgetsClaims) {
            return ClaimEvent::Dropped;
        }
        if mine && (matches!(written, Written::Applied(_)) || !self.is_pin()) {
            let waited = effects.now.since(self.since);
            return ClaimEvent::Held { lease: Box::new(lease.clone()), from: self.owner.clone(), waited };
        }
        if mine && lease.start_ms.is_some() {
            // An earlier attempt of the pin was applied, and only its answer was lost.
            return ClaimEvent::Held { lease: Box::new(lease.clone()), from: None, waited: Duration::ZERO };
        }
        self.retry(lease, effects)
    }

    fn is_pin(&self) -> bool {
        self.start_ms.is_some()
    }

    fn retry(&mut self, lease: &Lease, effects: &mut Effects) -> ClaimEvent {
        if lease.checkpoint.is_shard_end() {
            return ClaimEvent::Dropped;
        }
        if lease.counter == self.counter {
            return ClaimEvent::Edited;
        }
        if lease.owner.is_none() {
            self.owner = None;
        } else if lease.owner != self.owner || self.mode == AcquireMode::After || lease.was_written_externally() {
            // A lease of an external writer is claimed only while it is stale, and its counter has just moved.
            return ClaimEvent::Dropped;
        }
        self.counter = lease.counter;
        self.state = State::Pausing { unsettled: false };
        effects.set_timer(self.timer(), effects.now);
        ClaimEvent::Nothing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Checkpoint, ShardId};

    const SESSION: SessionNumber = 4;

    fn me() -> WorkerId {
        WorkerId::parse("me").unwrap()
    }

    fn stream() -> StreamIdentity {
        StreamIdentity { arn: "arn:aws:kinesis:us-east-1:000000000000:stream/s".into(), created_at: 1 }
    }

    fn other(session: SessionNumber) -> Owner {
        Owner { worker: WorkerId::parse("other").unwrap(), session: Some(session) }
    }

    fn lease(owner: Option<Owner>, counter: u64) -> Lease {
        let kcl_counter = owner.as_ref().is_none_or(|owner| owner.session.is_some()).then_some(counter);
        let unowned = Lease::unowned(ShardId::from("shardId-000000000000"), Checkpoint::TrimHorizon);
        Lease { owner, counter, kcl_counter, ..unowned }
    }

    fn take(owner: Option<Owner>, counter: u64, mode: AcquireMode) -> Claim {
        let lease = LeaseKey::new("shardId-000000000000");
        Claim::new(&Acquire { lease, owner, counter, mode }, stream(), Time::ZERO)
    }

    fn asked(mut claim: Claim) -> (Claim, Effects) {
        let mut effects = Effects::new(fastrand::Rng::with_seed(1));
        claim.send(&me(), SESSION, &mut effects);
        (claim, effects)
    }

    fn refused(lease: Lease) -> Reply<Written> {
        Ok(Written::Refused(Some(Row::Lease(lease))))
    }

    fn counter_asked(effects: &mut Effects) -> Option<u64> {
        effects.take_calls().into_iter().find_map(|call| {
            let super::super::call::Op::Write(Write::Claim { counter, .. }) = call.op else { return None };
            Some(counter)
        })
    }

    #[test]
    fn an_attempt_whose_answer_was_lost_holds_the_lease() {
        let (mut claim, mut effects) = asked(take(None, 3, AcquireMode::Now));
        assert_eq!(claim.on_answer(Err(Failure::Unanswered), &me(), SESSION, &mut effects), ClaimEvent::Nothing);
        assert!(!claim.is_settled(), "it may still be applied");
        claim.send(&me(), SESSION, &mut effects);
        let mine = lease(Some(Owner { worker: me(), session: Some(SESSION) }), 4);
        let event = claim.on_answer(refused(mine.clone()), &me(), SESSION, &mut effects);
        assert!(matches!(event, ClaimEvent::Held { lease, .. } if *lease == mine));
    }

    #[test]
    fn a_throttled_attempt_is_settled_and_repeated() {
        let (mut claim, mut effects) = asked(take(None, 3, AcquireMode::Now));
        claim.on_answer(Err(Failure::Throttled), &me(), SESSION, &mut effects);
        assert!(claim.is_settled());
    }

    #[test]
    fn a_late_checkpoint_of_an_ended_owner_only_increments_the_counter() {
        let (mut claim, mut effects) = asked(take(Some(other(2)), 3, AcquireMode::Now));
        effects.take_calls();
        assert_eq!(
            claim.on_answer(refused(lease(Some(other(2)), 5)), &me(), SESSION, &mut effects),
            ClaimEvent::Nothing
        );
        claim.send(&me(), SESSION, &mut effects);
        assert_eq!(counter_asked(&mut effects), Some(5));
    }

    #[test]
    fn a_claim_follows_the_assignment_to_the_owner_of_a_restored_row() {
        let mut claim = take(Some(other(9)), 3, AcquireMode::After);
        let lease = LeaseKey::new("shardId-000000000000");
        claim.follow(&Acquire { lease, owner: Some(other(2)), counter: 1, mode: AcquireMode::Now });
        assert!(claim.is_ready());
    }

    #[test]
    fn a_claim_follows_the_assignment_when_the_owner_of_a_restored_row_has_ended() {
        let mut claim = take(Some(other(2)), 9, AcquireMode::After);
        let lease = LeaseKey::new("shardId-000000000000");
        claim.follow(&Acquire { lease, owner: Some(other(2)), counter: 3, mode: AcquireMode::Now });
        assert!(claim.is_ready());
    }

    #[test]
    fn a_claim_that_has_seen_the_release_does_not_go_back_to_waiting_for_it() {
        let mut claim = take(Some(other(2)), 3, AcquireMode::After);
        assert_eq!(claim.on_row(Some(&Row::Lease(lease(None, 4)))), ClaimEvent::Ready);
        let key = LeaseKey::new("shardId-000000000000");
        claim.follow(&Acquire { lease: key, owner: Some(other(2)), counter: 3, mode: AcquireMode::After });
        assert!(claim.is_ready());
    }

    #[test]
    fn a_claim_of_a_restored_row_is_dropped_even_if_an_attempt_is_unsettled() {
        let (mut claim, mut effects) = asked(take(None, 3, AcquireMode::Now));
        claim.on_answer(Err(Failure::Unanswered), &me(), SESSION, &mut effects);
        claim.send(&me(), SESSION, &mut effects);
        assert_eq!(
            claim.on_answer(refused(lease(Some(other(9)), 2)), &me(), SESSION, &mut effects),
            ClaimEvent::Edited
        );
    }

    #[test]
    fn a_claim_of_a_lease_that_was_freed_by_hand_has_the_table_read() {
        let (mut claim, mut effects) = asked(take(Some(other(2)), 3, AcquireMode::Now));
        assert_eq!(claim.on_answer(refused(lease(None, 3)), &me(), SESSION, &mut effects), ClaimEvent::Edited);
    }

    #[test]
    fn the_claim_of_a_lease_that_another_session_acquired_is_dropped() {
        let (mut claim, mut effects) = asked(take(Some(other(2)), 3, AcquireMode::Now));
        assert_eq!(
            claim.on_answer(refused(lease(Some(other(9)), 4)), &me(), SESSION, &mut effects),
            ClaimEvent::Dropped
        );
        let (mut claim, mut effects) = asked(take(None, 3, AcquireMode::Now));
        let done = Lease { checkpoint: Checkpoint::ShardEnd, ..lease(None, 9) };
        assert_eq!(claim.on_answer(refused(done), &me(), SESSION, &mut effects), ClaimEvent::Dropped);
    }

    #[test]
    fn a_claim_after_the_owner_waits_for_the_release() {
        let mut claim = take(Some(other(2)), 3, AcquireMode::After);
        assert!(claim.awaits_owner());
        assert_eq!(claim.on_row(Some(&Row::Lease(lease(Some(other(2)), 4)))), ClaimEvent::Nothing);
        assert_eq!(claim.on_row(Some(&Row::Lease(lease(None, 3)))), ClaimEvent::Nothing, "a stale read");
        assert_eq!(claim.on_row(Some(&Row::Lease(lease(None, 5)))), ClaimEvent::Ready);
        let mut effects = Effects::new(fastrand::Rng::with_seed(1));
        claim.send(&me(), SESSION, &mut effects);
        assert_eq!(counter_asked(&mut effects), Some(5));
    }

    #[test]
    fn no_lease_is_claimed_from_a_live_owner() {
        let mut claim = take(Some(other(2)), 3, AcquireMode::After);
        assert_eq!(claim.on_row(Some(&Row::Lease(lease(Some(other(7)), 6)))), ClaimEvent::Dropped);
    }

    #[test]
    fn a_claim_that_follows_the_assignment_to_a_live_owner_waits_for_the_release() {
        let (mut claim, mut effects) = asked(take(None, 3, AcquireMode::Now));
        claim.on_answer(Err(Failure::Throttled), &me(), SESSION, &mut effects);
        let lease = LeaseKey::new("shardId-000000000000");
        claim.follow(&Acquire { lease, owner: Some(other(7)), counter: 4, mode: AcquireMode::After });
        assert!(claim.awaits_owner() && !claim.is_ready() && !claim.is_pausing());
    }

    #[test]
    fn the_claim_of_an_external_writers_lease_is_dropped_when_the_writer_renews_it() {
        let java = Owner { worker: WorkerId::parse("java").unwrap(), session: None };
        let (mut claim, mut effects) = asked(take(Some(java.clone()), 3, AcquireMode::Now));
        let moved = lease(Some(java), 4);
        assert!(moved.was_written_externally());
        assert_eq!(claim.on_answer(refused(moved), &me(), SESSION, &mut effects), ClaimEvent::Dropped);
    }
}
