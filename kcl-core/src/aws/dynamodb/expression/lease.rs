//! Builds the writes of lease rows. Each increments `leaseCounter` and copies it to `kclCounter`,
//! which shows that this library wrote the row last.

use super::attributes::{
    checkpoint_text, completed_bytes, number, pending_checkpoint, quarantined_list, stream_text, text, text_set,
    unreadable_list,
};
use super::{Expression, Request, name};
use crate::lease::{CheckpointExtras, LeaseKey, PreviousOwner, QuarantinedKey, RowKey, SessionNumber, WorkerId, next};
use crate::record::{Checkpoint, ShardId, StreamIdentity};

type Me = (WorkerId, SessionNumber);

/// The lease has this counter and is not finished; the write increments the counter.
fn unfinished_at(counter: u64) -> Expression {
    Expression::default()
        .equals(name::COUNTER, number(counter))
        .differs(name::CHECKPOINT, checkpoint_text(&Checkpoint::ShardEnd))
        .set(name::COUNTER, number(next(counter)))
        .set(name::KCL_COUNTER, number(next(counter)))
}

/// The same, and `me` owns it; the write sets the checkpoint and the data stored with it.
fn checkpoints(me: &Me, counter: u64, checkpoint: &Checkpoint, extras: &CheckpointExtras) -> Expression {
    let [pending, pending_sub, pending_state] = pending_checkpoint(extras);
    unfinished_at(counter)
        .equals(name::OWNER, text(me.0.as_str()))
        .equals(name::KCL_SESSION, number(me.1))
        .set(name::CHECKPOINT, checkpoint_text(checkpoint))
        .set(name::CHECKPOINT_SUB, number(checkpoint.sub_sequence_number()))
        .set(name::OWNER_SWITCHES, number(0))
        .set_or_remove(name::PENDING, pending)
        .set_or_remove(name::PENDING_SUB, pending_sub)
        .set_or_remove(name::PENDING_STATE, pending_state)
        .set_or_remove(name::KCL_COMPLETED, completed_bytes(extras))
        .set_or_remove(name::KCL_QUARANTINED, quarantined_list(&extras.parked))
        .set_or_remove(name::KCL_UNREADABLE_BY, unreadable_list(extras))
}

fn row(lease: &LeaseKey) -> RowKey {
    RowKey::Lease(lease.clone())
}

pub(super) fn claim(
    lease: &LeaseKey,
    counter: u64,
    from: &PreviousOwner,
    me: &Me,
    stream: &StreamIdentity,
    start_ms: Option<i64>,
) -> Request {
    let expression = match from {
        // A session without an owner remains if Java KCL evicted the owner; it has no meaning.
        PreviousOwner::Unowned => unfinished_at(counter).absent(name::OWNER),
        PreviousOwner::Owned(owner) => unfinished_at(counter)
            .equals(name::OWNER, text(owner.worker.as_str()))
            .equals_or_absent(name::KCL_SESSION, owner.session.map(number)),
    };
    let expression = expression
        .set(name::OWNER, text(me.0.as_str()))
        .set(name::KCL_SESSION, number(me.1))
        .set_if_absent(name::KCL_STREAM, stream_text(stream))
        .add_one(name::OWNER_SWITCHES)
        // Java KCL 3 sets it during a graceful handoff to the owner that may still checkpoint.
        .remove(name::CHECKPOINT_OWNER);
    match start_ms {
        Some(start_ms) => expression.set(name::KCL_START, number(start_ms)),
        None => expression,
    }
    .update(&row(lease))
}

pub(super) fn checkpoint(
    lease: &LeaseKey,
    me: &Me,
    counter: u64,
    checkpoint: &Checkpoint,
    extras: &CheckpointExtras,
) -> Request {
    checkpoints(me, counter, checkpoint, extras).update(&row(lease))
}

pub(super) fn release(
    lease: &LeaseKey,
    me: &Me,
    counter: u64,
    checkpoint: &Checkpoint,
    extras: &CheckpointExtras,
) -> Request {
    checkpoints(me, counter, checkpoint, extras).remove(name::OWNER).remove(name::KCL_SESSION).update(&row(lease))
}

pub(super) fn shard_end(lease: &LeaseKey, me: &Me, counter: u64, children: &[ShardId]) -> Request {
    let end = &Checkpoint::ShardEnd;
    let expression =
        checkpoints(me, counter, end, &CheckpointExtras::default()).remove(name::OWNER).remove(name::KCL_SESSION);
    expression.set_or_remove(name::CHILDREN, text_set(children)).update(&row(lease))
}

pub(super) fn quarantine_request(lease: &LeaseKey, counter: u64, parked: &[QuarantinedKey]) -> Request {
    unfinished_at(counter).set_or_remove(name::KCL_QUARANTINED, quarantined_list(parked)).update(&row(lease))
}

pub(super) fn clear_owner(lease: &LeaseKey, counter: u64, from: &Me) -> Request {
    unfinished_at(counter)
        .equals(name::OWNER, text(from.0.as_str()))
        .equals(name::KCL_SESSION, number(from.1))
        .remove(name::OWNER)
        .remove(name::KCL_SESSION)
        .update(&row(lease))
}

pub(super) fn delete(lease: &LeaseKey, counter: u64) -> Request {
    Expression::default()
        .equals(name::COUNTER, number(counter))
        .equals(name::CHECKPOINT, checkpoint_text(&Checkpoint::ShardEnd))
        .delete(&row(lease))
}

pub(super) fn delete_unread(lease: &LeaseKey, counter: u64, checkpoint: &Checkpoint, start_ms: Option<i64>) -> Request {
    Expression::default()
        .equals(name::COUNTER, number(counter))
        .equals(name::CHECKPOINT, checkpoint_text(checkpoint))
        .equals(name::CHECKPOINT_SUB, number(checkpoint.sub_sequence_number()))
        .equals_or_absent(name::KCL_START, start_ms.map(number))
        .delete(&row(lease))
}
