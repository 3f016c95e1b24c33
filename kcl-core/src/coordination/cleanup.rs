//! Determines which rows to delete, and in which order, to leave a plain KCL table. Pure.

use crate::lease::row::{RowKey, SessionNumber, WorkerId};
use crate::lease::{Table, Write};

/// Leases that no worker could take, because none serves their stream, may still name an owner
/// whose session has ended. These writes free them.
pub(crate) fn freeing(table: &Table) -> impl Iterator<Item = Write> {
    let has_ended = |(worker, number): &(WorkerId, SessionNumber)| {
        let mut of = table.sessions.iter().filter(|session| session.worker == *worker);
        of.any(|session| session.number > *number || (session.number == *number && session.state.has_ended()))
    };
    let open = table.leases.iter().filter(|lease| !lease.checkpoint.is_shard_end() && !lease.was_written_externally());
    open.filter_map(move |lease| {
        let owner = lease.owner.as_ref()?;
        let from = Some((owner.worker.clone(), owner.session?)).filter(has_ended)?;
        Some(Write::ClearOwner { lease: lease.key.clone(), counter: lease.counter, from })
    })
}

/// The deletions that leave a plain KCL table, if no worker is alive but, perhaps, the caller.
///
/// Assignment rows are deleted first, then streams, then sessions, then the fleet row, which shows
/// whether a worker joined meanwhile. A refused write means that one did, and nothing more may be
/// deleted. The caller's own session is last.
pub(crate) fn clearing(table: &Table, own: Option<&(WorkerId, SessionNumber)>) -> Vec<Write> {
    let is_own = |worker: &WorkerId, number| own.is_some_and(|own| (worker, number) == (&own.0, own.1));
    let discard = |of: fn(&RowKey) -> bool| {
        let ours = table.damaged.iter().filter(|damaged| damaged.is_ours());
        ours.filter(move |damaged| of(&damaged.key)).cloned().map(Write::Discard)
    };
    let plans =
        table.assignments.iter().map(|plan| Write::DeleteAssignment { worker: plan.worker.clone(), term: plan.term });
    let ended = table.sessions.iter().filter(|session| !is_own(&session.worker, session.number));
    let ended = ended.map(|s| Write::DeleteSession { worker: s.worker.clone(), number: s.number, own: false });
    let fleet = table.fleet.iter().map(|fleet| Write::DeleteFleet {
        term: fleet.term,
        heartbeat: fleet.heartbeat,
        wake: fleet.wake,
        sessions: fleet.sessions,
    });
    let last = own.map(|(worker, number)| Write::DeleteSession { worker: worker.clone(), number: *number, own: true });
    let streams = table.streams.iter().cloned().map(Write::DeleteStream);
    plans
        .chain(discard(|key| matches!(key, RowKey::Assignment(_))))
        .chain(streams)
        .chain(discard(|key| matches!(key, RowKey::Stream(_))))
        .chain(ended)
        .chain(discard(|key| matches!(key, RowKey::Session(_))))
        .chain(fleet)
        .chain(discard(|key| *key == RowKey::Fleet))
        .chain(last)
        .collect()
}
