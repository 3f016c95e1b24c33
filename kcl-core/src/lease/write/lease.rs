//! Applies writes to lease rows. Every write except a creation increments the counter.

use super::{Checkpoint, CheckpointExtras, Lease, Owner, SessionNumber, WorkerId, Write, next};

/// Returns the row after the write (inner `None`: deleted), or `None` if its condition does not
/// hold.
#[allow(clippy::wildcard_enum_match_arm, reason = "the caller dispatched by key; a write of another row is refused")]
pub(super) fn apply(write: &Write, old: Option<&Lease>) -> Option<Option<Lease>> {
    if let Write::CreateLease(lease) = write {
        return old.is_none().then(|| Some((**lease).clone()));
    }
    let old = old?;
    let mut new = old.clone();
    match write {
        Write::Claim { counter, from, me, stream, start_ms, .. } => {
            // The counter shows that nobody wrote the row since it was read. The session in `from`
            // keeps an old request from taking the lease from a later session of the same worker
            // (docs/protocol/claiming.md).
            let holds =
                old.counter == *counter && !old.checkpoint.is_shard_end() && old.owner.as_ref() == from.as_owner();
            if !holds {
                return None;
            }
            new.owner = Some(Owner { worker: me.0.clone(), session: Some(me.1) });
            new.owner_switches = next(new.owner_switches);
            new.stream.get_or_insert_with(|| stream.clone());
            new.start_ms = start_ms.or(old.start_ms);
        }
        Write::Checkpoint { me, counter, checkpoint, extras, .. } if owned(old, me, *counter) => {
            new.checkpoint = checkpoint.clone();
            new.extras = extras.clone();
            new.owner_switches = 0;
        }
        Write::Release { me, counter, checkpoint, extras, .. } if owned(old, me, *counter) => {
            new.checkpoint = checkpoint.clone();
            new.extras = extras.clone();
            new.owner_switches = 0;
            new.owner = None;
        }
        Write::ShardEnd { me, counter, children, .. } if owned(old, me, *counter) => {
            new.checkpoint = Checkpoint::ShardEnd;
            new.extras = CheckpointExtras::default();
            new.owner_switches = 0;
            new.owner = None;
            new.children = children.clone();
        }
        Write::QuarantineRequest { counter, parked, .. }
            if old.counter == *counter && !old.checkpoint.is_shard_end() =>
        {
            new.extras.parked = parked.clone();
        }
        Write::ClearOwner { counter, from, .. } if owned(old, from, *counter) => new.owner = None,
        Write::DeleteUnread { counter, checkpoint, start_ms, .. }
            if old.counter == *counter && old.checkpoint == *checkpoint && old.start_ms == *start_ms =>
        {
            return Some(None);
        }
        Write::DeleteLease { counter, .. } if old.counter == *counter && old.checkpoint.is_shard_end() => {
            return Some(None);
        }
        _ => return None,
    }
    // Without a new counter per write, a delayed duplicate of an earlier checkpoint could still
    // match and move the checkpoint back (docs/protocol/checkpoints.md).
    new.counter = next(new.counter);
    new.kcl_counter = Some(new.counter);
    Some(Some(new))
}

fn owned(old: &Lease, me: &(WorkerId, SessionNumber), counter: u64) -> bool {
    old.is_held_by(&me.0, me.1) && old.counter == counter && !old.checkpoint.is_shard_end()
}
