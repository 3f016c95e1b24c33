use super::super::call::Op;
use super::*;
use crate::checkpoint::Positions;
use crate::clock::TokioClock;
use crate::lease::row::{HashKeyRange, Owner, Yield};
use crate::processor::{ClaimSnapshot, DeliveryGate};
use crate::record::{Position, SequenceNumber, StartingPosition};
use tokio::sync::mpsc;

const INTERVAL: Duration = Duration::from_secs(5);

fn me() -> (WorkerId, SessionNumber) {
    (WorkerId::parse("me").unwrap(), 4)
}

fn at(n: u64) -> Position {
    Position { sequence_number: SequenceNumber::parse(n.to_string()).unwrap(), sub_sequence_number: 0 }
}

fn held() -> (HeldLease, Effects) {
    let shard = ShardId::from("shardId-000000000000");
    let owner = Owner { worker: me().0, session: Some(me().1) };
    let lease = Lease { owner: Some(owner), counter: 7, ..Lease::unowned(shard.clone(), Checkpoint::At(at(100))) };
    let mut effects = Effects::new(fastrand::Rng::with_seed(1));
    let gate = DeliveryGate::new(Arc::new(TokioClock::new()));
    let (reports, _) = mpsc::unbounded_channel();
    let hold = ClaimSnapshot::of(lease.key.clone(), shard, 7, StartingPosition::After(at(100)));
    let delivery = ShardDelivery::new(hold, gate, reports);
    let held = HeldLease::new(lease, delivery, me(), INTERVAL, false, &mut effects);
    (held, effects)
}

/// Delivers one more record and acknowledges it.
fn acknowledge(held: &HeldLease, n: u64) {
    let number = held.delivery.add_read(Positions::List(Box::new([at(n)])));
    held.delivery.acknowledge(number..number + 1);
}

fn writes(effects: &mut Effects) -> Vec<Write> {
    let ops = effects.take_calls().into_iter().map(|call| call.op);
    ops.filter_map(|op| if let Op::Write(write) = op { Some(write) } else { None }).collect()
}

/// Applies the first write to the row, as the table would.
fn table(row: &mut Lease, writes: Vec<Write>) -> Reply<Written> {
    let write = writes.into_iter().next().expect("a write");
    let written = write.apply(Some(&Row::Lease(row.clone())));
    if let Written::Applied(Some(Row::Lease(new))) = &written {
        *row = new.clone();
    }
    Ok(written)
}

#[test]
fn no_checkpoint_is_written_without_an_acknowledgement() {
    let (mut held, mut effects) = held();
    held.on_timer(&mut effects);
    assert_eq!(writes(&mut effects), []);
    assert!(effects.next_due().is_some(), "the next checkpoint is scheduled");
}

#[test]
fn acknowledgements_are_coalesced_into_one_checkpoint() {
    let (mut held, mut effects) = held();
    for n in 101..200 {
        acknowledge(&held, n);
    }
    held.on_timer(&mut effects);
    let checkpoint = Checkpoint::At(at(199));
    assert_eq!(
        writes(&mut effects),
        [Write::Checkpoint {
            lease: held.key(),
            me: me(),
            counter: 7,
            checkpoint,
            extras: CheckpointExtras::default()
        }]
    );
}

#[test]
fn a_checkpoint_whose_answer_was_lost_is_settled_by_the_row() {
    let (mut held, mut effects) = held();
    let mut row = held.lease.clone();
    acknowledge(&held, 150);
    held.on_timer(&mut effects);
    let _ = table(&mut row, writes(&mut effects));
    assert_eq!(held.on_answer(Err(Failure::Unanswered), &mut effects), HeldLeaseEvent::Nothing);
    held.on_timer(&mut effects);
    let answer = table(&mut row, writes(&mut effects));
    assert!(matches!(answer, Ok(Written::Refused(_))));
    assert_eq!(held.on_answer(answer, &mut effects), HeldLeaseEvent::Checkpointed);
    assert_eq!((held.lease.counter, &held.lease.checkpoint), (8, &Checkpoint::At(at(150))));
}

#[test]
fn a_drained_consumer_checkpoints_and_releases_in_one_write() {
    let (mut held, mut effects) = held();
    let mut row = held.lease.clone();
    held.drain(Why::Planned, effects.now + Duration::from_secs(30), &mut effects);
    assert!(held.delivery.is_draining());
    acknowledge(&held, 120);
    held.on_drained(&mut effects);
    let answer = table(&mut row, writes(&mut effects));
    assert_eq!(held.on_answer(answer, &mut effects), HeldLeaseEvent::Released { why: Why::Planned });
    assert_eq!((row.owner, row.checkpoint), (None, Checkpoint::At(at(120))));
}

#[test]
fn an_overdue_handoff_is_ended_by_the_owner() {
    let (mut held, mut effects) = held();
    let deadline = effects.now + Duration::from_secs(30);
    held.drain(Why::Planned, deadline, &mut effects);
    held.on_timer(&mut effects);
    assert!(!held.delivery.is_closed());
    effects.now = deadline;
    held.on_timer(&mut effects);
    assert!(held.delivery.is_closed());
    acknowledge(&held, 300);
    assert!(
        matches!(&writes(&mut effects)[..], [Write::Release { checkpoint, .. }] if *checkpoint == Checkpoint::At(at(100)))
    );
}

#[test]
fn a_release_whose_answer_was_lost_is_settled_by_the_row() {
    let (mut held, mut effects) = held();
    let mut row = held.lease.clone();
    held.release_now(Why::Shutdown, &mut effects);
    let _ = table(&mut row, writes(&mut effects));
    held.on_answer(Err(Failure::Unanswered), &mut effects);
    held.on_timer(&mut effects);
    let answer = table(&mut row, writes(&mut effects));
    assert_eq!(held.on_answer(answer, &mut effects), HeldLeaseEvent::Released { why: Why::Shutdown });
}

#[test]
fn an_owner_goes_on_with_a_restored_row() {
    let (mut held, mut effects) = held();
    let mut row = Lease { counter: 5, checkpoint: Checkpoint::At(at(50)), ..held.lease.clone() };
    acknowledge(&held, 150);
    held.on_timer(&mut effects);
    let refused = table(&mut row, writes(&mut effects));
    assert_eq!(held.on_answer(refused, &mut effects), HeldLeaseEvent::Nothing);
    let again = table(&mut row, writes(&mut effects));
    assert_eq!(held.on_answer(again, &mut effects), HeldLeaseEvent::Checkpointed);
    assert_eq!((row.counter, row.checkpoint), (6, Checkpoint::At(at(150))));
}

#[test]
fn a_checkpoint_that_the_row_has_passed_is_not_written() {
    let (mut held, mut effects) = held();
    // Somebody put the row further than this owner has come.
    let row = Lease { counter: 8, checkpoint: Checkpoint::At(at(500)), ..held.lease.clone() };
    held.notice(&Row::Lease(row));
    acknowledge(&held, 150);
    held.on_timer(&mut effects);
    assert_eq!(writes(&mut effects), []);
    acknowledge(&held, 501);
    held.on_timer(&mut effects);
    let checkpoint = Checkpoint::At(at(501));
    let extras = CheckpointExtras::default();
    assert_eq!(
        writes(&mut effects),
        [Write::Checkpoint { lease: held.key(), me: me(), counter: 8, checkpoint, extras }]
    );
}

#[test]
fn a_release_leaves_a_checkpoint_that_is_further_as_it_is() {
    let (mut held, mut effects) = held();
    let mut row = Lease { counter: 8, checkpoint: Checkpoint::At(at(500)), ..held.lease.clone() };
    held.notice(&Row::Lease(row.clone()));
    acknowledge(&held, 150);
    held.release_now(Why::Planned, &mut effects);
    let _ = table(&mut row, writes(&mut effects));
    assert_eq!((row.owner, row.checkpoint), (None, Checkpoint::At(at(500))));
}

#[test]
fn a_release_is_meant_for_the_claim_that_the_leader_saw_and_for_no_later_one() {
    let (mut held, mut effects) = held();
    // Claimed at 7; every checkpoint since then has moved the counter.
    let release = |counter| Yield { lease: held.lease.key.clone(), counter };
    let (older, seen, newer) = (release(6), release(7), release(12));
    assert!(!held.is_meant_by(&older));
    assert!(held.is_meant_by(&seen) && held.is_meant_by(&newer));
    held.drain(Why::Planned, effects.now + Duration::from_secs(30), &mut effects);
    assert!(!held.is_meant_by(&seen), "it is being released");
}

#[test]
fn an_unanswered_write_proves_nothing_about_a_lease_that_another_worker_holds() {
    let (mut held, mut effects) = held();
    acknowledge(&held, 150);
    held.on_timer(&mut effects);
    held.on_answer(Err(Failure::Unanswered), &mut effects);
    held.on_timer(&mut effects);
    // Counter and checkpoint are those that the write would have set.
    let other = Owner { worker: WorkerId::parse("other").unwrap(), session: Some(9) };
    let row = Lease { owner: Some(other), counter: 8, checkpoint: Checkpoint::At(at(150)), ..held.lease.clone() };
    let event = held.on_answer(Ok(Written::Refused(Some(Row::Lease(row)))), &mut effects);
    assert_eq!(event, HeldLeaseEvent::Lost { why: "another owner holds it" });
    assert!(held.delivery.is_closed());
}

#[test]
fn an_unanswered_release_is_repeated_while_the_row_names_its_owner() {
    let (mut held, mut effects) = held();
    held.release_now(Why::Planned, &mut effects);
    held.on_answer(Err(Failure::Unanswered), &mut effects);
    held.on_timer(&mut effects);
    // Somebody else moved the counter: a key in quarantine is to be tried again.
    let mut row = Lease { counter: 8, ..held.lease.clone() };
    let refused = table(&mut row, writes(&mut effects));
    assert_eq!(held.on_answer(refused, &mut effects), HeldLeaseEvent::Nothing);
    let again = table(&mut row, writes(&mut effects));
    assert_eq!(held.on_answer(again, &mut effects), HeldLeaseEvent::Released { why: Why::Planned });
    assert_eq!((row.owner, row.counter), (None, 9));
}

#[test]
fn a_refusal_of_a_first_attempt_is_not_taken_for_its_success() {
    let (mut held, mut effects) = held();
    acknowledge(&held, 150);
    held.on_timer(&mut effects);
    // No earlier attempt can have made this row, so an external writer did, although it says the same.
    let row = Lease { counter: 8, checkpoint: Checkpoint::At(at(150)), ..held.lease.clone() };
    let refused = Ok(Written::Refused(Some(Row::Lease(row))));
    assert_eq!(held.on_answer(refused, &mut effects), HeldLeaseEvent::Nothing);
    assert_eq!(held.lease.counter, 8);
}

#[test]
fn a_lease_whose_row_is_gone_closes_delivery() {
    let (mut held, mut effects) = held();
    acknowledge(&held, 150);
    held.on_timer(&mut effects);
    let event = held.on_answer(Ok(Written::Refused(None)), &mut effects);
    assert_eq!(event, HeldLeaseEvent::Lost { why: "its row is gone" });
    assert!(held.delivery.is_closed());
}

#[test]
fn a_lease_with_another_owner_closes_delivery() {
    let (mut held, mut effects) = held();
    acknowledge(&held, 150);
    held.on_timer(&mut effects);
    let other = Owner { worker: WorkerId::parse("other").unwrap(), session: Some(9) };
    let row = Lease { owner: Some(other), counter: 8, ..held.lease.clone() };
    let news = held.on_answer(Ok(Written::Refused(Some(Row::Lease(row)))), &mut effects);
    assert!(matches!(news, HeldLeaseEvent::Lost { .. }));
    assert!(held.delivery.is_closed());
}

#[test]
fn the_shard_end_is_written_after_its_children() {
    let (mut held, mut effects) = held();
    let mut row = held.lease.clone();
    let child = |id: &str| Shard {
        id: ShardId::from(id),
        parents: vec![row.shard.clone()],
        hash_range: Some(HashKeyRange { start: 0, end: 1 }),
        starting_sequence_number: None,
        closed: false,
    };
    let children = vec![child("shardId-000000000001"), child("shardId-000000000002")];
    let rows = held.on_ended(children.clone(), &mut effects);
    assert_eq!(rows.len(), 2);
    assert!(rows.iter().all(|r| r.checkpoint == Checkpoint::TrimHorizon && r.parents == [held.lease.shard.clone()]));
    held.on_child(&rows[0].key, &mut effects);
    assert_eq!(writes(&mut effects), []);
    held.on_child(&rows[1].key, &mut effects);
    let answer = table(&mut row, writes(&mut effects));
    assert_eq!(held.on_answer(answer, &mut effects), HeldLeaseEvent::Ended { children });
    assert_eq!((row.owner, row.checkpoint, row.children.len()), (None, Checkpoint::ShardEnd, 2));
}

#[test]
fn throttled_checkpoints_are_delayed_longer_each_time() {
    let (mut held, mut effects) = held();
    acknowledge(&held, 150);
    let mut waits = Vec::new();
    for _ in 0..3 {
        held.on_timer(&mut effects);
        held.on_answer(Err(Failure::Throttled), &mut effects);
        let due = effects.next_due().unwrap();
        waits.push(due.since(effects.now));
        effects.now = due;
        effects.take_due();
    }
    assert!(waits[0] < waits[1] && waits[1] < waits[2], "{waits:?}");
}
