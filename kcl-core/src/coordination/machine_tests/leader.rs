//! When the leader reads the whole table, and when it may act on what a read shows.

use super::*;
use crate::config::BalanceBy;
use crate::lease::row::SharedSettings;

#[test]
fn the_end_of_a_session_has_the_table_read_at_once() {
    let mut it = Machine::leading(1);
    let ben = it.join("ben", WorkerProfile::default());
    it.pass(secs(3));
    // A child that the dead worker had just created and claimed without a report.
    it.put(owned(7, ben));
    it.pass(secs(2));
    it.die("ben");
    it.pass(F + secs(3));
    assert!(it.holds(7), "{:?}", it.lease(7));
}

#[test]
fn a_failover_time_after_a_session_ended_the_table_is_read_once_more() {
    let mut it = Machine::leading(1);
    it.join("ben", WorkerProfile::default());
    it.pass(secs(3));
    it.die("ben");
    it.pass(F + secs(3));
    assert_eq!(it.session(&worker("ben")).state, SessionState::Fenced);
    // A row that the worker had sent before it died; no other event leads to it.
    it.put(unowned(7, &[]));
    it.pass(F + secs(2));
    assert!(it.holds(7), "{:?}", it.lease(7));
}

#[test]
fn a_wake_that_comes_during_a_full_read_has_the_table_read_again() {
    let mut it = Machine::leading(1);
    it.holds_back = |op| matches!(op, Op::Page { .. });
    it.wake();
    it.pass(secs(2));
    let read = it.take_held();
    let shown = it.carry_out(&read.call.op);
    // On a page that was read before.
    it.put(unowned(7, &[]));
    it.wake();
    it.pass(secs(1));
    it.holds_back = |_| false;
    it.answer(read, shown);
    it.pass(secs(3));
    assert!(it.holds(7), "{:?}", it.lease(7));
}

#[test]
fn a_child_that_a_read_shows_without_its_parents_waits_for_another_read() {
    let mut it = Machine::leading(1);
    it.holds_back = |op| matches!(op, Op::Page { .. });
    it.put(unowned(9, &[7, 8]));
    it.wake();
    it.pass(secs(2));
    let read = it.take_held();
    let shown = it.carry_out(&read.call.op);
    // Created behind the read: on pages that it had already passed.
    it.put(unowned(7, &[]));
    it.put(ended(8));
    it.holds_back = |_| false;
    it.answer(read, shown);
    it.pass(secs(5));
    assert!(it.holds(7), "the second read shows it");
    assert_eq!(it.lease(9).unwrap().owner, None, "its parent is not finished");
}

#[test]
fn a_child_whose_parents_are_gone_is_taken_after_the_second_read() {
    let mut it = Machine::leading(1);
    it.put(unowned(9, &[7, 8]));
    it.wake();
    it.pass(secs(4));
    assert!(it.holds(9), "{:?}", it.lease(9));
}

fn gone(id: &str) -> Owner {
    Owner { worker: worker(id), session: Some(5) }
}

/// The time at which the machine claimed the lease of an owner without a session.
fn orphan_taken_after(it: &mut Machine) -> Duration {
    it.put(owned(7, gone("nobody")));
    it.wake();
    let began = it.now();
    it.pass(secs(50));
    let claim = it.first(|write| matches!(write, Write::Claim { lease, .. } if *lease == key(7))).expect("a claim");
    claim.at.since(began)
}

#[test]
fn an_orphaned_lease_is_taken_once_it_was_stale_for_the_failover_time() {
    let after = orphan_taken_after(&mut Machine::leading(1));
    assert!(after >= F && after < F + secs(5), "{after:?}");
}

#[test]
fn an_orphaned_lease_may_be_of_the_worker_with_the_longest_failover_time() {
    let mut it = Machine::leading(1);
    let shared = SharedSettings { failover_time: secs(25), balance_by: BalanceBy::Leases };
    it.join("ben", WorkerProfile { settings: Some(shared), ..WorkerProfile::default() });
    it.pass(secs(3));
    let after = orphan_taken_after(&mut it);
    assert!(after >= secs(25) && after < secs(30), "{after:?}");
}

#[test]
fn silence_counts_from_the_receipt_of_the_answer_that_first_showed_a_heartbeat() {
    let mut it = Machine::leading(1);
    it.join("ben", WorkerProfile::default());
    it.pass(secs(3));
    it.die("ben");
    it.holds_back = |op| matches!(op, Op::ReadSome(..));
    it.pass(secs(2));
    // Its last heartbeat, in an answer that takes two seconds.
    it.heartbeat(&worker("ben"));
    let read = it.take_held();
    let shown = it.carry_out(&read.call.op);
    it.pass(secs(2));
    it.holds_back = |_| false;
    let received = it.now();
    it.answer(read, shown);
    it.pass(secs(20));
    let fence = it.first(|write| matches!(write, Write::Fence { .. })).expect("a fence");
    let after = fence.at.since(received);
    assert!(after >= F && after < F + secs(2), "{after:?}");
}
