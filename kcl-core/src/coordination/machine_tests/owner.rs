//! What an owner of leases does at the end of a shard, of its session, and at its shutdown.

use super::*;

/// Ends the shard in a merge, with all its records acknowledged.
fn end_in_merge(it: &mut Machine, n: u32, child: Shard) {
    let delivery = it.consumer(n);
    it.report(&delivery, ReportKind::Ended(vec![child]));
    it.settle();
    delivery.close();
    it.settle();
}

/// A worker that reads shard 0, with the lease of shard 1 in this state. Both merge into shard 2.
fn merging(other: Option<Lease>) -> Machine {
    let mut it = Machine::leading(1);
    it.join("ben", WorkerProfile::default());
    other.into_iter().for_each(|lease| it.put(lease));
    it.pass(secs(3));
    end_in_merge(&mut it, 0, shard(2, &[0, 1]));
    it.pass(secs(5));
    assert!(it.lease(0).unwrap().checkpoint.is_shard_end());
    it
}

#[test]
fn the_child_of_a_merge_is_created_once_both_parents_have_rows() {
    assert_eq!(merging(None).lease(2), None, "its other parent would pass for one that is finished and gone");
    let mut it = Machine::leading(1);
    let ben = it.join("ben", WorkerProfile::default());
    it.put(owned(1, ben));
    it.pass(secs(3));
    end_in_merge(&mut it, 0, shard(2, &[0, 1]));
    assert_eq!(it.lease(2).unwrap().parents, [shard_id(0), shard_id(1)]);
}

#[test]
fn the_child_of_a_merge_is_claimed_once_both_parents_are_finished() {
    let mut it = Machine::leading(1);
    let ben = it.join("ben", WorkerProfile::default());
    it.put(owned(1, ben));
    it.pass(secs(3));
    end_in_merge(&mut it, 0, shard(2, &[0, 1]));
    it.pass(secs(5));
    assert_eq!(it.lease(2).unwrap().owner, None, "the other parent is being read");
    assert!(it.first(|write| matches!(write, Write::Claim { lease, .. } if *lease == key(2))).is_none());
    assert!(merging(Some(ended(1))).holds(2));
}

#[test]
fn a_session_that_was_fenced_delivers_nothing_and_registers_anew_when_its_consumers_are_gone() {
    let mut it = Machine::leading(2);
    it.busy.insert(key(1));
    let (me, before) = (worker("me"), it.consumers.clone());
    let session = it.session(&me);
    it.table.put(Row::Session(Session { state: SessionState::Fenced, ..session.clone() }));
    it.pass(secs(3));
    assert!(before.iter().all(|delivery| delivery.is_closed() && !delivery.is_open()));
    assert!(!it.coordinator.may_deliver());
    assert_eq!(it.session(&me).number, session.number, "a handler still runs");
    it.busy.clear();
    it.pass(secs(5));
    assert!(it.session(&me).number > session.number);
    assert!(it.holds(0) && it.holds(1));
}

#[test]
fn an_idle_lease_whose_row_an_external_writer_removed_is_dropped_within_a_minute_or_two() {
    let mut it = Machine::leading(2);
    it.pass(secs(65));
    let delivery = it.consumer(1);
    // Shard sync must not create it again before the owner notices.
    it.shards.truncate(1);
    it.table.remove(&RowKey::Lease(key(1)));
    it.pass(secs(61));
    assert!(delivery.is_closed());
    assert!(it.holds(0));
    let reconciled = |event: &CoordinationEvent| matches!(event, CoordinationEvent::Reconciled { .. });
    assert!(!it.events.iter().any(reconciled), "lease and consumer end together");
    assert!(
        it.events.iter().any(|event| matches!(event, CoordinationEvent::LeaseLost { lease, .. } if *lease == key(1)))
    );
}

#[test]
fn an_idle_lease_that_an_external_writer_gave_away_is_dropped_and_no_other_one() {
    let mut it = Machine::leading(2);
    let ben = it.join("ben", WorkerProfile::default());
    it.pass(secs(65));
    let (kept, lost) = (it.consumer(0), it.consumer(1));
    let row = it.lease(1).unwrap();
    it.put(Lease { owner: Some(ben), ..row });
    it.pass(secs(61));
    assert!(lost.is_closed() && !kept.is_closed());
}

#[test]
fn a_worker_leaves_its_session_when_nothing_is_delivered_any_more() {
    for release_fails in [false, true] {
        let mut it = Machine::leading(2);
        it.busy.insert(key(1));
        if release_fails {
            it.holds_back = |op| matches!(op, Op::Write(Write::Release { .. }));
        }
        it.step(Event::Shutdown { within: secs(5) });
        it.pass(secs(20));
        assert!(it.finished);
        let left = it.first(|write| matches!(write, Write::EndSession { .. })).expect("it ends its session");
        assert_eq!(left.open, 0);
        assert!(left.at.since(Time::ZERO) >= secs(4 + 5), "a handler had its time");
    }
}

#[test]
fn a_worker_that_was_frozen_past_its_deadline_closes_its_deliveries_before_it_leaves() {
    let mut it = Machine::leading(1);
    it.busy.insert(key(0));
    it.step(Event::Shutdown { within: secs(1) });
    it.settle();
    it.jump(secs(4));
    it.pass(secs(1));
    let left = it.first(|write| matches!(write, Write::EndSession { .. })).expect("it ends its session");
    assert_eq!(left.open, 0);
}

#[test]
fn a_claim_that_comes_through_after_the_worker_was_told_to_stop_is_released() {
    let mut it = Machine::leading(1);
    it.put(unowned(7, &[]));
    it.holds_back = |op| matches!(op, Op::Write(Write::Claim { .. }));
    it.wake();
    it.pass(secs(2));
    it.step(Event::Shutdown { within: secs(25) });
    it.settle();
    let claim = it.take_held();
    let answer = it.carry_out(&claim.call.op);
    it.answer(claim, answer);
    it.pass(secs(5));
    assert_eq!(it.lease(7).unwrap().owner, None);
    assert!(it.consumers.iter().all(|delivery| delivery.claim.lease != key(7)), "nothing of it is read");
    assert!(it.finished);
}
