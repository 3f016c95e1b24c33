//! Writes of lease rows. Each moves `leaseCounter`, and says in `kclCounter` that it was we who did.

use super::attributes::{checkpoint_text, number, stream_text, text, text_set};
use super::{Expression, Request, name};
use crate::lease::{LeaseKey, Previous, RowKey, SessionNumber, WorkerId};
use crate::record::{Checkpoint, ShardId, StreamIdentity};

type Me = (WorkerId, SessionNumber);

/// The lease stands at this counter and is not finished; the write moves the counter.
fn moves(counter: u64) -> Expression {
    Expression::default()
        .equals(name::COUNTER, number(counter))
        .differs(name::CHECKPOINT, checkpoint_text(&Checkpoint::ShardEnd))
        .set(name::COUNTER, number(counter + 1))
        .set(name::KCL_COUNTER, number(counter + 1))
}

/// The same, and it is mine; the write sets the checkpoint. A prepared checkpoint of Java's goes: it was prepared for
/// a position that is passed now.
fn checkpoints(me: &Me, counter: u64, checkpoint: &Checkpoint) -> Expression {
    moves(counter)
        .equals(name::OWNER, text(me.0.as_str()))
        .equals(name::KCL_SESSION, number(me.1))
        .set(name::CHECKPOINT, checkpoint_text(checkpoint))
        .set(name::CHECKPOINT_SUB, number(checkpoint.sub_sequence_number()))
        .set(name::OWNER_SWITCHES, number(0))
        .remove(name::PENDING)
        .remove(name::PENDING_SUB)
        .remove(name::PENDING_STATE)
}

fn row(lease: &LeaseKey) -> RowKey {
    RowKey::Lease(lease.clone())
}

pub(super) fn claim(
    lease: &LeaseKey,
    counter: u64,
    from: &Previous,
    me: &Me,
    stream: &StreamIdentity,
    start_ms: Option<i64>,
) -> Request {
    let expression = match from {
        // A session without an owner is left over where Java evicted the owner: it means nothing.
        Previous::Unowned => moves(counter).absent(name::OWNER),
        Previous::Owned(owner) => moves(counter)
            .equals(name::OWNER, text(owner.worker.as_str()))
            .equals_or_absent(name::KCL_SESSION, owner.session.map(number)),
    };
    let expression = expression
        .set(name::OWNER, text(me.0.as_str()))
        .set(name::KCL_SESSION, number(me.1))
        .set_if_absent(name::KCL_STREAM, stream_text(stream))
        .add_one(name::OWNER_SWITCHES)
        .remove(name::CHECKPOINT_OWNER);
    match start_ms {
        Some(start_ms) => expression.set(name::KCL_START, number(start_ms)),
        None => expression,
    }
    .update(&row(lease))
}

pub(super) fn checkpoint(lease: &LeaseKey, me: &Me, counter: u64, checkpoint: &Checkpoint) -> Request {
    checkpoints(me, counter, checkpoint).update(&row(lease))
}

pub(super) fn release(lease: &LeaseKey, me: &Me, counter: u64, checkpoint: &Checkpoint) -> Request {
    checkpoints(me, counter, checkpoint).remove(name::OWNER).remove(name::KCL_SESSION).update(&row(lease))
}

pub(super) fn shard_end(lease: &LeaseKey, me: &Me, counter: u64, children: &[ShardId]) -> Request {
    let expression = checkpoints(me, counter, &Checkpoint::ShardEnd).remove(name::OWNER).remove(name::KCL_SESSION);
    match text_set(children) {
        Some(children) => expression.set(name::CHILDREN, children),
        None => expression.remove(name::CHILDREN),
    }
    .update(&row(lease))
}

pub(super) fn disown(lease: &LeaseKey, counter: u64, from: &Me) -> Request {
    moves(counter)
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
